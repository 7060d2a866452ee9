"""What strategies cost: beside what was told, and beside a single answer.

    strategies.py MODEL [--rounds 5] [--json]

MODEL is an artifact. Three tables, each line measured in turn with its comparison:

    told         whole strategies, drafts as long as they may be: forecast and measured time
    branches     16 answers to one prompt beside one
    reflection   a revision that keeps most of its draft, beside the same text written afresh

A model with random weights cannot revise, so there its tokens are dictated: the engine samples from
every row of logits as ever and then takes the next token of the text. Guesses from the prompt,
their verification, steps and their cost are as in a run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from speculation import dictate

from foreknown.artifact import load_program, open_artifact
from foreknown.artifact.format import Artifact
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.plan.price import StepPrice
from foreknown.report.forecast import step_price
from foreknown.report.host import host_threads, known_host
from foreknown.report.tables import Table
from foreknown.strategies.answer import Terms, answer
from foreknown.strategies.budget import Budget
from foreknown.strategies.compose import Kit
from foreknown.strategies.expression import parse
from foreknown.strategies.strategy import Problem

STRATEGIES = (
    *("direct", "vote(4)", "vote(16)", "best_of(4, by=judge)", "reflect(rounds=1)"),
    *("reflect(vote(4), rounds=1)", "search(4, width=4, by=logprob)", "beam(4)"),
)
PROMPT, OUTPUT = 128, 64
"""Tokens of a question and of each answer."""
DRAFT, QUESTION, INSTRUCTION = 200, 100, 24
"""Tokens of a draft that is revised, and of what stands around it."""
KEPT = 0.85
"""Of a draft's tokens; the others are replaced."""
CHANGES = (1, 5, 10)
"""Runs of tokens that they are, spread evenly over the draft."""
SEQUENCES = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="an artifact")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tables", default="told,branches,reflection", help="which of them")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    artifact, threads = open_artifact(arguments.model), host_threads()
    price = step_price(artifact, known_host(threads))
    tables = {"told": told, "branches": branches, "reflection": reflection}
    record: dict[str, Any] = {"model": artifact.directory.name}
    for name in arguments.tables.split(","):
        record[name] = tables[name](artifact, price, threads, arguments.rounds)
    if arguments.json:
        print(json.dumps(record))
    else:
        show(record)
    return 0


def told(artifact: Artifact, price: StepPrice, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Forecast and measured seconds of each strategy, one after another in every round."""
    seconds: dict[str, list[tuple[float, float]]] = {text: [] for text in STRATEGIES}
    with load_program(artifact, sequences=SEQUENCES, n_threads=threads).program as program:
        engine = Engine(program, speculate=False, price=price)
        words = np.random.default_rng(0).integers(5, program.vocab_size, 4096).tolist()
        terms = Terms(_prompt_ids(words), engine.capacity, price, 0.0, 0.0)
        params = SamplingParams(max_tokens=OUTPUT, ignore_eos=True, temperature=1.0, seed=0)
        for number in range(rounds):
            for text in STRATEGIES:
                question = f"{number} {text}"  # another one each time: nothing is found computed
                problem = Problem(({"role": "user", "content": question},), params)
                came = answer(engine, parse(text), Kit(), problem, Budget(), terms)
                seconds[text].append((came.plan.seconds, came.seconds))
    rows = []
    for text, pairs in seconds.items():
        ratios = [measured / forecast for forecast, measured in pairs]
        rows.append(
            {
                "strategy": text,
                "forecast_s": round(statistics.median(pair[0] for pair in pairs), 4),
                "measured_s": round(statistics.median(pair[1] for pair in pairs), 4),
                **_compared(ratios),
            }
        )
    return rows


def _prompt_ids(words: Sequence[int]) -> Any:
    """A question's tokens, and about as many more as the conversation after it has characters."""

    def prompt_ids(problem: Problem) -> list[int]:
        first, *later = (message["content"] for message in problem.messages)
        start = sum(first.encode()) * 31 % 2048
        text = "\n".join((*later, problem.begun))
        tail = [words[(start + 7 * i + ord(letter)) % 4096] for i, letter in enumerate(text)]
        return [words[(start + i) % 4096] for i in range(PROMPT)] + tail[: 4 * OUTPUT]

    return prompt_ids


def branches(artifact: Artifact, price: StepPrice, threads: int, rounds: int) -> dict[str, Any]:
    """Seconds of 16 answers to one prompt and of one, in turn."""
    found: dict[int, list[float]] = {1: [], 16: []}
    with load_program(artifact, sequences=SEQUENCES, n_threads=threads).program as program:
        engine = Engine(program, speculate=False, price=price)
        chance = np.random.default_rng(1)
        for _ in range(rounds):
            for samples, seconds in found.items():
                prompt = chance.integers(5, program.vocab_size, PROMPT).tolist()
                params = SamplingParams(
                    max_tokens=OUTPUT, ignore_eos=True, temperature=1.0, seed=7, logprobs=0
                )
                seconds.append(_seconds(engine, Request(prompt, params, samples=samples)))
    one, many = (statistics.median(found[samples]) for samples in (1, 16))
    ratios = [b / a for a, b in zip(found[1], found[16], strict=True)]
    return {
        "one_s": round(one, 4),
        "sixteen_s": round(many, 4),
        **_compared(ratios),
    }


def reflection(
    artifact: Artifact, price: StepPrice, threads: int, rounds: int
) -> list[dict[str, Any]]:
    """Seconds of a round of reflection and of writing its text afresh, in turn.

    What came before either is found computed: the question and the draft, or the question.
    """
    chance = np.random.default_rng(2)
    found: dict[int, list[tuple[float, float]]] = {changes: [] for changes in CHANGES}
    kept: dict[int, float] = {}
    with load_program(artifact, sequences=2, n_threads=threads).program as program:
        for changes in CHANGES * rounds:
            question, draft, instruction = (
                chance.integers(5, program.vocab_size, size).astype(np.int32)
                for size in (QUESTION, DRAFT, INSTRUCTION)
            )
            revised = revision(draft, changes, program.vocab_size, chance)
            kept[changes] = float(np.mean(revised == draft))
            seconds = []
            for parts in ([question, draft], [question]):
                engine = Engine(program, price=price)
                known = np.concatenate(parts)
                _dictated(engine, known[:-1], known[-1:])
                seconds.append(_dictated(engine, np.concatenate([known, instruction]), revised))
            found[changes].append((seconds[0], seconds[1]))
    return [
        {
            "kept": round(kept[changes], 3),
            "changes": changes,
            "revised_s": round(statistics.median(pair[0] for pair in pairs), 4),
            "afresh_s": round(statistics.median(pair[1] for pair in pairs), 4),
            **_compared([revised_s / afresh_s for revised_s, afresh_s in pairs]),
        }
        for changes, pairs in found.items()
    ]


def _compared(ratios: Sequence[float]) -> dict[str, Any]:
    return {
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def revision(
    draft: NDArray[np.int32], changes: int, vocabulary: int, chance: np.random.Generator
) -> NDArray[np.int32]:
    """A draft of which so many runs of tokens are replaced, each within its part of it."""
    revised = draft.copy()
    part = len(draft) // changes
    replaced = round(part * (1 - KEPT))
    for start in range(0, len(draft), part):
        at = start + int(chance.integers(0, part - replaced))
        revised[at : at + replaced] = chance.integers(5, vocabulary, replaced)
    return revised


def _dictated(engine: Engine, prompt: NDArray[np.int32], text: NDArray[np.int32]) -> float:
    """Seconds that an answer takes which is told word for word."""
    dictate(engine, np.concatenate([prompt, text]))
    params = SamplingParams(max_tokens=len(text), ignore_eos=True)
    return _seconds(engine, Request(prompt.tolist(), params))


def _seconds(engine: Engine, request: Request) -> float:
    start = time.perf_counter()
    for _ in engine.generate([request]):
        pass
    return time.perf_counter() - start


def show(record: dict[str, Any]) -> None:
    if rows := record.get("told"):
        show_told(record["model"], rows)
    if one := record.get("branches"):
        print(
            f"16 branches take {one['ratio']:.2f} times as long as one "
            f"({one['sixteen_s']:.2f} and {one['one_s']:.2f} s; {one['ratios']})"
        )
    for one in record.get("reflection", ()):
        print(
            f"a revision that keeps {one['kept']:.0%} and changes {one['changes']} runs of tokens "
            f"takes {one['ratio']:.2f} of writing it afresh "
            f"({one['revised_s']:.2f} and {one['afresh_s']:.2f} s; {one['ratios']})"
        )


def show_told(model: str, rows: list[dict[str, Any]]) -> None:
    columns = ("strategy", "forecast", "measured", "measured / forecast", "each")
    table = Table(f"{model}: whole strategies", columns, right=columns[1:4])
    for row in rows:
        table.row(
            row["strategy"],
            f"{row['forecast_s']:.3f} s",
            f"{row['measured_s']:.3f} s",
            f"{row['ratio']:.3f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        )
    table.print(sys.stdout)
    errors = [abs(1 / ratio - 1) for row in rows for ratio in row["ratios"]]
    print(f"median error {statistics.median(errors):.1%}, worst {max(errors):.1%}")


if __name__ == "__main__":
    raise SystemExit(main())
