"""What each format of weights costs in quality, beside llama.cpp: divergence and perplexity.

    quality.py [MODEL ...] [--text FILE] [--json]

MODEL is bundled, stories260K, babyllama (all three if none is named) or the directory of a
Llama-shaped checkpoint, which is then judged on --text. The reference is transformers in f32,
eager; the row "f32" of each system shows how near it comes with the same weights. Divergences are
in nats, over the positions of texts that the model knows (passages.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from divergence import Divergence, Logits, Passage, divergence
from passages import BUNDLED, SHARED, TALES, file_text, own_stories, problems
from systems.conversions import AS_F32, ConversionFailed, Conversions
from systems.environment import PeersMissing, make_environment
from systems.our_logits import matrices, matrix_bytes, our_logits
from systems.worker import Worker, WorkerFailed

from foreknown.artifact import open_artifact
from foreknown.errors import ForeknownError
from foreknown.report.host import host_threads
from foreknown.report.tables import Table

STORY_MODELS = ("stories260K", "babyllama")
LLAMA_FORMATS = (AS_F32, "Q8_0", "Q4_0")
OUR_FORMATS = ("f32", "bf16", "int8", "int4")


@dataclass(frozen=True)
class Row:
    """One system's divergence on one text."""

    model: str
    text: str
    system: str
    weights: str
    bits_per_weight: float
    divergence: Divergence


def main() -> int:
    arguments = parse()
    rows: list[Row] = []
    try:
        python = None if arguments.peers == "none" else make_environment(arguments.environment)
        for name in arguments.models or ["bundled", *STORY_MODELS]:
            checkpoint = checkpoint_of(name)
            if checkpoint.is_dir():
                rows += judge(name, checkpoint, python, arguments)
            else:
                print(f"{name} is left out: {checkpoint} is not there", file=sys.stderr)
    except (ConversionFailed, ForeknownError, PeersMissing, WorkerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"rows": [record(row) for row in rows]}))
    else:
        print_rows(rows)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", metavar="MODEL", nargs="*")
    parser.add_argument("--text", type=Path, help="what a checkpoint's directory is judged on")
    parser.add_argument(
        "--ours", default=",".join(OUR_FORMATS), help="formats: WEIGHTS or WEIGHTS/STATE"
    )
    parser.add_argument("--peers", choices=["llama.cpp", "none"], default="llama.cpp")
    parser.add_argument("--environment", type=Path, default=Path("build/peers"))
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument("--tokens", type=int, default=8192, help="of each text, at most")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    known = {"bundled", *STORY_MODELS}
    if set(arguments.models) - known and not arguments.text:
        parser.error("a checkpoint's directory needs --text, a file that it is judged on")
    return arguments


def checkpoint_of(name: str) -> Path:
    """Where a model lies."""
    if name == "bundled":
        return BUNDLED
    return SHARED / "models" / name if name in STORY_MODELS else Path(name).absolute()


def judge(
    name: str, checkpoint: Path, python: Path | None, arguments: argparse.Namespace
) -> list[Row]:
    """Every format of every system on every text of a model."""
    conversions = Conversions(checkpoint, arguments.work.absolute())
    sizes = matrices(checkpoint)
    n_weights = sum(sizes.values())
    texts = texts_of(name, checkpoint, conversions, arguments)
    expected = {text: reference(checkpoint, passages) for text, passages in texts.items()}
    rows = []
    for weights in arguments.ours.split(","):
        artifact = open_artifact(conversions.ours(weights))
        bits = 8 * matrix_bytes(artifact, list(sizes)) / n_weights
        for text, passages in texts.items():
            found = our_logits(artifact, [p.tokens for p in passages], arguments.threads)
            measured = divergence(passages, expected[text], found)
            rows.append(Row(name, text, "foreknown", weights, bits, measured))
    if python is None:
        return rows
    try:
        files = {kind: conversions.gguf(python, kind) for kind in LLAMA_FORMATS}
    except ConversionFailed as error:
        print(f"{name}: llama.cpp is left out. {error}", file=sys.stderr)
        return rows
    for kind, gguf in files.items():
        log = conversions.log(f"run-logits-{kind}")
        with Worker(python, "llama_logits", [str(gguf), str(arguments.threads)], log) as worker:
            bits = 8 * worker.ask("matrix_bytes") / n_weights
            for text, passages in texts.items():
                measured = divergence(passages, expected[text], llama_logits(worker, passages))
                rows.append(Row(name, text, "llama.cpp", kind, bits, measured))
    return rows


def texts_of(
    name: str, checkpoint: Path, conversions: Conversions, arguments: argparse.Namespace
) -> dict[str, list[Passage]]:
    """The texts that a model is judged on, by name."""
    if name == "bundled":
        return {"problems": problems(arguments.tokens)}
    context = json.loads((checkpoint / "config.json").read_text())["max_position_embeddings"]
    context = min(context, 512)
    if name not in STORY_MODELS:
        text = file_text(arguments.text, checkpoint, context, arguments.tokens)
        return {arguments.text.stem: text}
    artifact = open_artifact(conversions.ours("f32"))
    return {
        "own stories": own_stories(artifact, checkpoint / "golden.json", arguments.tokens),
        "Grimm": file_text(TALES, checkpoint, context, arguments.tokens),
    }


def reference(checkpoint: Path, passages: Sequence[Passage]) -> list[Logits]:
    """What transformers computes in f32."""
    from foreknown.capture.reference import eager_logits

    return eager_logits(checkpoint, [passage.tokens for passage in passages])


def llama_logits(worker: Worker, passages: Sequence[Passage]) -> Iterator[Logits]:
    """llama.cpp's, by way of files."""
    with tempfile.TemporaryDirectory() as directory:
        worker.ask("logits", sequences=[p.tokens for p in passages], directory=directory)
        for number in range(len(passages)):
            yield np.load(Path(directory) / f"{number}.npy")


def record(row: Row) -> dict[str, Any]:
    """As JSON shows it."""
    flat = asdict(row)
    return {**flat, **flat.pop("divergence")}


def print_rows(rows: Sequence[Row]) -> None:
    """For people."""
    columns = ("", "bits a weight", "divergence", "perplexity", "same choice")
    for model, text in dict.fromkeys((row.model, row.text) for row in rows):
        table = Table(f"{model} on {text}", columns, right=columns[1:])
        for row in rows:
            if (row.model, row.text) == (model, text):
                table.row(
                    f"{row.system} {row.weights}",
                    f"{row.bits_per_weight:.2f}",
                    f"{row.divergence.kl:.2e}",
                    f"{row.divergence.perplexity:.4f}",
                    f"{row.divergence.same_choice:.2%}",
                )
        table.print(sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
