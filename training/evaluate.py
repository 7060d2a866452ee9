"""Greedy accuracy on unseen problems: `python -m training.evaluate CHECKPOINT --problems 500`.

Every problem is of the test split, whose keys training never draws. Besides each kind it measures
reflection: the model's own answer, then its own check of that answer.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from foreknown.evaluation.problems import KINDS, Message, Problem, draw
from training.chat_format import prompt_text
from training.decode import Decoder

SEED = 2026
_CHECK = "Check your answer and correct it if it is wrong."


@dataclass(frozen=True)
class Score:
    """Right answers of n, with the 95 % Wilson interval, as shares."""

    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        z, n, share = 1.96, max(1, self.n), self.share
        middle = share + z * z / (2 * n)
        half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return (middle - half) / scale, (middle + half) / scale

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:6.1%}  [{low:.1%}, {high:.1%}]  n={self.n}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--problems", type=int, default=500, help="of each kind")
    parser.add_argument("--kind", choices=[*KINDS, "reflection"], action="append")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--show", type=int, default=0, help="replies to print of each kind")
    parser.add_argument("--json", type=Path, help="where to write the scores")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    decoder = Decoder(arguments.checkpoint, "cuda" if torch.cuda.is_available() else "cpu")
    wanted = arguments.kind or [*KINDS, "reflection"]
    scores: dict[str, Score] = {}
    for name in wanted:
        began = time.monotonic()
        measured = (
            reflection(decoder, "countdown", arguments.problems)
            | reflection(decoder, "countdown-long", arguments.problems)
            if name == "reflection"
            else accuracy(decoder, name, arguments.problems, arguments.show)
        )
        scores |= measured
        for label, score in measured.items():
            print(f"{label:36} {score}")
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    if arguments.json:
        written = {
            name: asdict(score) | {"share": score.share, "interval": score.interval}
            for name, score in scores.items()
        }
        arguments.json.write_text(json.dumps(written, indent=2) + "\n")


def problems_of(name: str, count: int) -> list[Problem]:
    """The first `count` test problems of a kind."""
    return [draw(KINDS[name], "test", SEED, index) for index in range(count)]


def accuracy(decoder: Decoder, name: str, count: int, show: int) -> dict[str, Score]:
    """The kind's score and, below it, those of its sub-kinds."""
    problems = problems_of(name, count)
    replies = decoder.replies([prompt_text(problem.prompt) for problem in problems])
    for problem, reply in zip(problems[:show], replies, strict=False):
        print(prompt_text(problem.prompt) + reply, f"[{KINDS[name].check(problem, reply)}]\n")
    right = [KINDS[name].check(p, r) for p, r in zip(problems, replies, strict=True)]
    notes: dict[str, list[bool]] = defaultdict(list)
    for problem, is_right in zip(problems, right, strict=True):
        notes[problem.note].append(is_right)
    scores = {name: Score(sum(right), count)}
    if name != "about":
        scores |= {f"{name}: {n}": Score(sum(rs), len(rs)) for n, rs in sorted(notes.items())}
    return scores


def reflection(decoder: Decoder, name: str, count: int) -> dict[str, Score]:
    """The model's own answers to a kind of problem, before and after it checks them itself."""
    kind = KINDS[name]
    problems = problems_of(name, count)
    drafts = decoder.replies([prompt_text(problem.prompt) for problem in problems])
    asked = [
        (*problem.prompt, Message("assistant", draft), Message("user", _CHECK))
        for problem, draft in zip(problems, drafts, strict=True)
    ]
    revised = decoder.replies([prompt_text(messages) for messages in asked])
    before = [kind.check(p, r) for p, r in zip(problems, drafts, strict=True)]
    after = [kind.check(p, r) for p, r in zip(problems, revised, strict=True)]
    mended = sum(not b and a for b, a in zip(before, after, strict=True))
    spoiled = sum(b and not a for b, a in zip(before, after, strict=True))
    return {
        f"reflection {name}: first answer": Score(sum(before), count),
        f"reflection {name}: after its own check": Score(sum(after), count),
        f"reflection {name}: wrong ones mended": Score(mended, count - sum(before)),
        f"reflection {name}: right ones spoiled": Score(spoiled, sum(before)),
    }


if __name__ == "__main__":
    main()
