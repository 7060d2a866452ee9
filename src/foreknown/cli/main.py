"""Finds the command and turns every error into a message and an exit status.

Exit status: 0 done; 1 it could not be done (what, where and what to do stand on standard error);
2 the command line makes no sense; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from foreknown import __version__
from foreknown.errors import ForeknownError

COMMANDS = {
    "compile": "compile a checkpoint into an artifact",
    "run": "continue one prompt",
    "chat": "talk with a model",
    "serve": "answer many users over HTTP, as OpenAI's and Anthropic's clients speak it",
    "forecast": "what a case will take: time, memory, energy, price; or what keeps an objective",
    "inspect": "show what was compiled: graph, phases, memory, C, assembly",
    "simulate": "serve a trace of requests on the virtual clock, and say how it goes",
    "evaluate": "how often strategies are right on tasks, and what that takes",
    "bench": "measure a model against this machine's limits",
    "coverage": "which model types of the installed transformers compile exactly",
    "calibrate": "measure this machine once, for forecasts",
}
DONE, FAILED, INTERRUPTED = 0, 1, 130
WITH_TRACEBACK = "FOREKNOWN_TRACEBACK"


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with `only`, just the options of that command, as start-up counts."""
    parser = argparse.ArgumentParser(
        prog="foreknown",
        description="Compiles a trained language model into a program whose speed, memory, cost "
        "and bits are known before it runs.",
        epilog="MODEL is an artifact, or a checkpoint (compiled on first use and kept in the "
        "cache), or left out: the bundled model. `foreknown COMMAND --help` says more.",
    )
    parser.add_argument("--version", action="version", version=f"foreknown {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if only in (None, name):
            _module(name).add_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    only = next((word for word in given if word in COMMANDS), "")
    try:
        args = build_parser(only).parse_args(given)
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else FAILED
    try:
        status: int = _module(args.command).run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        if os.environ.get(WITH_TRACEBACK):
            raise
        print("\nstopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # the reader has left; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except ForeknownError as error:
        if os.environ.get(WITH_TRACEBACK):
            raise
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except (MemoryError, OSError) as error:
        if os.environ.get(WITH_TRACEBACK):
            raise
        print(f"error: {_system(error)}", file=sys.stderr)
        return FAILED


def _system(error: MemoryError | OSError) -> ForeknownError:
    """What the system refused, in our form."""
    more = f"{WITH_TRACEBACK}=1 shows where in Foreknown it happened"
    if isinstance(error, MemoryError):
        return ForeknownError("there is not enough memory", remedy=more)
    where = " -> ".join(str(f) for f in (error.filename, error.filename2) if f)
    return ForeknownError(error.strerror or str(error), where=where, remedy=more)


def _module(command: str) -> Any:
    return importlib.import_module(f"foreknown.cli.{command}")
