"""Brings a model to where it can answer: found, compiled if need be, loaded, with its tokenizer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.cli.arguments import compile_options
from foreknown.cli.progress import progress
from foreknown.errors import ArtifactError

if TYPE_CHECKING:
    from foreknown.artifact import Artifact, LoadedProgram
    from foreknown.checkpoint import Checkpoint
    from foreknown.engine import Engine, Objective
    from foreknown.machine import Machine
    from foreknown.plan.price import StepPrice
    from foreknown.report.phase_times import PhaseTimes


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        resident_before: bytes this process held, less the program that was loaded.
        load_ms: to find, check and map it and to read its tokenizer; not to compile it.
        phase_times: of every step, if FOREKNOWN_DEBUG asks for them.
    """

    artifact: Artifact
    loaded: LoadedProgram
    checkpoint: Checkpoint
    engine: Engine
    resident_before: int
    load_ms: float
    phase_times: PhaseTimes | None

    @property
    def threads(self) -> int:
        return self.loaded.program.n_threads

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """A conversation as the model was taught to read it."""
        template = self.checkpoint.chat_template
        assert template is not None
        text = template.render(messages, add_generation_prompt=True)
        return self.checkpoint.tokenizer.encode(text, add_special_tokens=False)


def found_artifact(args: argparse.Namespace) -> Artifact:
    """The artifact that MODEL means, compiled if need be."""
    return _find(args, args.model)[0]


def one_of_several(
    args: argparse.Namespace, model: Path | None
) -> tuple[Artifact, Callable[[], Artifact] | None]:
    """An artifact, compiled if need be; and what makes it anew if it is ours and damaged."""
    artifact, ours = _find(args, model)
    return artifact, (lambda: _find(args, model, afresh=True)[0]) if ours else None


@contextmanager
def open_model(args: argparse.Namespace) -> Iterator[Model]:
    """MODEL, loaded; its threads end with the block."""
    from foreknown.artifact.loading import load_program
    from foreknown.checkpoint import open_checkpoint
    from foreknown.engine import Engine
    from foreknown.report.phase_times import debug_level, timed
    from foreknown.report.resident import resident_bytes

    artifact, ours = _find(args, args.model)
    start = time.perf_counter()
    resident_before = resident_bytes()
    try:
        loaded = load_program(artifact, n_threads=args.threads)
    except ArtifactError:
        if not ours:
            raise
        artifact, _ = _find(args, args.model, afresh=True)
        start = time.perf_counter()
        loaded = load_program(artifact, n_threads=args.threads)
    program_bytes = resident_bytes() - resident_before
    with loaded.program:
        checkpoint = open_checkpoint(artifact.checkpoint_directory)
        phase_times, program = (
            timed(artifact, loaded.program) if debug_level() >= 2 else (None, loaded.program)
        )
        engine = Engine(
            program,
            end_ids=checkpoint.generation.eos_token_ids,
            new_detokenizer=checkpoint.tokenizer.detokenizer if checkpoint.has_tokenizer else None,
            speculate=args.speculation,
            price=told_price(artifact, loaded.program.n_threads),
        )
        assert not checkpoint.has_tokenizer or checkpoint.tokenizer
        resident_before = resident_bytes() - program_bytes
        load_ms = (time.perf_counter() - start) * 1e3
        yield Model(artifact, loaded, checkpoint, engine, resident_before, load_ms, phase_times)


def told_price(artifact: Artifact, threads: int) -> StepPrice:
    """What steps will take on this machine, as it was measured or else is estimated."""
    from foreknown.report.forecast import step_price
    from foreknown.report.host import known_host

    return step_price(artifact, known_host(threads))


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


def _find(
    args: argparse.Namespace, model: Path | None, afresh: bool = False
) -> tuple[Artifact, bool]:
    from foreknown.artifact.find import find_artifact

    with progress(quiet=getattr(args, "json", False)) as tell:
        found = find_artifact(model, compile_options(args), tell, afresh=afresh)
    return found.artifact, found.kept_in_cache
