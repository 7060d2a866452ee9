"""Finds the models and machines that a command line means: compiled if need be, and loaded."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.api import Model
from foreknown.cli.arguments import compile_options
from foreknown.cli.progress import progress
from foreknown.opening import load_model, told_price

if TYPE_CHECKING:
    from foreknown.artifact import Artifact
    from foreknown.artifact.find import Found
    from foreknown.engine import Objective
    from foreknown.machine import Machine

__all__ = [
    "Model",
    "chosen_machine",
    "found_artifact",
    "one_of_several",
    "open_model",
    "told_price",
    "wanted_objective",
]


def found_artifact(args: argparse.Namespace) -> Artifact:
    """The artifact that MODEL means, compiled if need be."""
    return _find(args, args.model).artifact


def one_of_several(
    args: argparse.Namespace, model: Path | None
) -> tuple[Artifact, Callable[[], Artifact] | None]:
    """An artifact, compiled if need be; and what makes it anew if it is ours and damaged."""
    found = _find(args, model)
    again = (lambda: _find(args, model, afresh=True).artifact) if found.kept_in_cache else None
    return found.artifact, again


@contextmanager
def open_model(args: argparse.Namespace, sequences: int = 1) -> Iterator[Model]:
    """MODEL, loaded; its threads end with the block.

    Args:
        sequences: of full context that there is memory for.
    """
    with load_model(
        lambda afresh: _find(args, args.model, afresh),
        threads=args.threads,
        sequences=sequences,
        speculate=args.speculation,
    ) as model:
        gc.freeze()  # what is there stays: to look through it would hold up a step
        yield model


def chosen_machine(args: argparse.Namespace) -> Machine:
    """The machine of the profile that was named, else this one."""
    from foreknown.report.host import host_threads, known_host, named_machine

    threads = args.threads or host_threads()
    return known_host(threads) if args.machine is None else named_machine(args.machine, threads)


def wanted_objective(
    deadline_ms: float | None, ttft_ms: float | None, tpot_ms: float | None
) -> Objective | None:
    """What is to be kept; None if nothing was said."""
    from foreknown.engine.promises import Objective

    given = (deadline_ms, ttft_ms, tpot_ms)
    return None if all(value is None for value in given) else Objective(*given)


def _find(args: argparse.Namespace, model: Path | None, afresh: bool = False) -> Found:
    from foreknown.artifact.find import find_artifact

    with progress(quiet=getattr(args, "json", False)) as tell:
        return find_artifact(model, compile_options(args), tell, afresh=afresh)
