"""What drafts from the prompt are worth: tokens a second with speculation on, against off.

    speculation.py MODEL --texts DIRECTORY --tokenizer DIRECTORY [--json]

Two kinds of answers to a passage of a book:

    quote    three sentences of the passage in a row, word for word, after a sentence that is not in
             it, and so on: an answer that summarises and quotes
    new      the book's next pages, which nothing foretells

A model with random weights cannot quote, so its tokens are dictated: the engine samples from every
row of logits as ever and then takes the next token of the text. Everything else is as in a run:
drafts, their verification, steps and their cost. Off and on in turn, medians of several rounds.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import ByteLevelBPETokenizer

from foreknown.artifact import load_program, open_artifact
from foreknown.artifact.format import Artifact
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.native_sampling import RowSampling
from foreknown.report.forecast import step_price
from foreknown.report.host import host_threads, known_host
from foreknown.report.tables import Table

PASSAGE_SENTENCES, QUOTED_SENTENCES = 24, 3
"""Sentences of a passage, and of one quotation from it."""
ROUNDS = 3


class Dictation:
    """A sampler that does its work and then says what stands in a text."""

    def __init__(self, engine: Engine, text: NDArray[np.int32]) -> None:
        self._sampler, self._text = engine.postprocessor.sampler, text
        self.logprobs = self._sampler.logprobs

    def sample(
        self, logits: NDArray[np.float32], rows: list[RowSampling], positions: list[int]
    ) -> list[int]:
        self._sampler.sample(logits, rows, positions)
        return [int(self._text[p]) if p < len(self._text) else 0 for p in positions]


def dictate(engine: Engine, text: NDArray[np.int32]) -> None:
    """Let an engine say a text, from the prompt's first token on, and take as long as ever."""
    engine.postprocessor.sampler = Dictation(engine, text)  # type: ignore[assignment]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="an artifact")
    parser.add_argument("--texts", type=Path, required=True, help="a directory of *.txt books")
    parser.add_argument("--tokenizer", type=Path, required=True, help="vocab.json and merges.txt")
    parser.add_argument("--output", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    artifact = open_artifact(arguments.model)
    texts = answers(arguments.texts, arguments.tokenizer, arguments.output)
    record = measure(artifact, texts)
    if arguments.json:
        print(json.dumps(record))
    else:
        show(record)
    return 0


def answers(
    books: Path, tokenizer: Path, n_output: int
) -> dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Prompt and answer, i32, by kind."""
    encoder = ByteLevelBPETokenizer(str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt"))
    book, other = (sentences(path) for path in sorted(books.glob("*.txt"), key=size)[-2:])
    start = len(book) // 3
    passage = book[start : start + PASSAGE_SENTENCES]
    new = book[start + PASSAGE_SENTENCES : start + 4 * PASSAGE_SENTENCES]
    starts = np.random.default_rng(0).permutation(range(0, PASSAGE_SENTENCES, QUOTED_SENTENCES))
    quote = []
    for i, at in enumerate(starts):
        quote += [other[len(other) // 2 + i], *passage[at : at + QUOTED_SENTENCES]]

    def ids(parts: list[str]) -> NDArray[np.int32]:
        return np.array(encoder.encode(" ".join(parts)).ids, np.int32)

    prompt = ids(["Summarise this, and quote it:", *passage, "\n\n"])
    return {"quote": (prompt, ids(quote)[:n_output]), "new": (prompt, ids(new)[:n_output])}


def size(path: Path) -> int:
    return path.stat().st_size


def sentences(path: Path) -> list[str]:
    """A book's sentences of ordinary length, in order."""
    text = " ".join(path.read_text("utf-8", errors="replace").split())
    return [s for s in re.split(r"(?<=[.!?]) ", text) if 40 < len(s) < 300]


def measure(
    artifact: Artifact, texts: dict[str, tuple[NDArray[np.int32], NDArray[np.int32]]]
) -> dict[str, object]:
    """Tokens a second of each kind, off and on, and how many steps and drafts it took."""
    threads = host_threads()
    machine = known_host(threads)
    told = step_price(artifact, machine)
    found: dict[tuple[str, bool], list[float]] = {}
    counts: dict[str, tuple[int, int, int]] = {}
    for _ in range(ROUNDS):
        for kind, (prompt, answer) in texts.items():
            for speculate in (False, True):
                with load_program(artifact, n_threads=threads, check=False).program as program:
                    engine = Engine(program, speculate=speculate, price=told)
                    dictate(engine, np.concatenate([prompt, answer]))
                    found.setdefault((kind, speculate), []).append(speed(engine, prompt, answer))
                    if speculate:
                        counts[kind] = engine.n_steps, engine.n_drafted, engine.n_accepted
    rows = []
    for kind, (prompt, answer) in texts.items():
        off, on = (statistics.median(found[kind, s]) for s in (False, True))
        steps, drafted, accepted = counts[kind]
        ratios = [b / a for a, b in zip(found[kind, False], found[kind, True], strict=True)]
        rows.append(
            {
                "text": kind,
                "prompt_tokens": len(prompt),
                "output_tokens": len(answer),
                "off_tok_s": round(off, 2),
                "on_tok_s": round(on, 2),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(r, 3) for r in ratios],
                "steps": steps,
                "drafted": drafted,
                "accepted": accepted,
            }
        )
    return {"model": artifact.directory.name, "threads": threads, "rows": rows}


def speed(engine: Engine, prompt: NDArray[np.int32], answer: NDArray[np.int32]) -> float:
    """Tokens a second after the first, all of which must be the text's."""
    request = Request(prompt.tolist(), SamplingParams(max_tokens=len(answer), ignore_eos=True))
    said: list[int] = []
    start = end = 0.0
    for output in engine.generate([request]):
        assert output.token is not None
        said.append(output.token)
        end = time.perf_counter()
        start = start or end
    assert said == answer.tolist(), "the engine said something else than was dictated"
    return (len(answer) - 1) / (end - start)


def show(record: dict[str, object]) -> None:
    columns = ("text", "in", "out", "off tok/s", "on tok/s", "ratio", "steps", "drafted", "right")
    table = Table(f"{record['model']}, {record['threads']} threads", columns, right=columns[1:])
    rows = record["rows"]
    assert isinstance(rows, list)
    for row in rows:
        table.row(
            row["text"],
            row["prompt_tokens"],
            row["output_tokens"],
            f"{row['off_tok_s']:.1f}",
            f"{row['on_tok_s']:.1f}",
            f"{row['ratio']:.2f}",
            row["steps"],
            row["drafted"],
            row["accepted"],
        )
    table.print(sys.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
