"""Arguments that several commands share, and values that argparse has no type for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.opening import MOST_CONTEXT, MOST_SEQUENCES, MOST_THREADS

if TYPE_CHECKING:
    from foreknown.artifact.build import Options

CALIBRATION_BYTES = 1 << 16
SEQUENCES = 16

TARGETS = ("host", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni", "aarch64", "aarch64-dotprod")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for whole numbers within bounds."""

    def number(text: str) -> int:
        expected = f"at least {least}" if most is None else f"from {least} to {most}"
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {expected}")
        return value

    return number


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL, and how it is compiled if it is a checkpoint."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        type=Path,
        help="artifact or checkpoint directory; the bundled model if left out",
    )
    add_compile_options(parser.add_argument_group("if MODEL is a checkpoint"))


def add_compile_options(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--weights",
        choices=("f32", "bf16", "int8", "int4"),
        help="format of the matrices; as the checkpoint stores them if not given",
    )
    parser.add_argument(
        "--state",
        choices=("f32", "bf16", "int8"),
        help="format of kept keys and values; if not given f32, for int4 weights int8",
    )
    parser.add_argument(
        "--group",
        type=int,
        choices=(32, 64),
        default=32,
        help="weights that share a scale in int8 and int4: 64 is smaller and faster, 32 more exact",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="a text like those to come: int8 and int4 weights err least where it says it matters",
    )
    parser.add_argument(
        "--context",
        type=whole(1, MOST_CONTEXT),
        metavar="N",
        help="tokens of the longest sequence; the model's own, up to 4096, if not given",
    )
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="host",
        help="instruction set (default: this machine's)",
    )
    parser.add_argument(
        "--trust-checkpoint-code",
        action="store_true",
        help="run the Python code that the checkpoint brings",
    )


def compile_options(args: argparse.Namespace) -> Options:
    from foreknown.artifact.build import Options

    return Options(
        weights=args.weights or "as stored",
        state=args.state,
        group=args.group,
        calibration=_text(args.calibration) if args.calibration else "",
        context=args.context,
        target=args.target,
        trust_code=args.trust_checkpoint_code,
    )


def _text(path: Path) -> str:
    """The beginning of a text: more than calibration reads.

    Raises:
        RequestError: it cannot be read, or is no text.
    """
    from foreknown.errors import RequestError

    try:
        with path.open("rb") as file:
            return file.read(CALIBRATION_BYTES).decode("utf-8", errors="ignore")
    except OSError as error:
        raise RequestError(
            f"the calibration text cannot be read: {error.strerror}",
            where=str(path),
            remedy="name a file of text, or leave --calibration out",
        ) from None


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=whole(1, MOST_THREADS),
        metavar="N",
        help="threads of a step; all processors of this process if not given",
    )


def add_sequences(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--sequences",
        type=whole(1, MOST_SEQUENCES),
        default=SEQUENCES,
        metavar="N",
        help=f"sequences of full context that there is room for (default {SEQUENCES})",
    )


def add_speculation(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--no-speculation",
        dest="speculation",
        action="store_false",
        help="never guess tokens ahead; the answer is the same, at most later",
    )


def add_json(parser: argparse.ArgumentParser, what: str = "print JSON") -> None:
    parser.add_argument("--json", action="store_true", help=what)
