"""Brings a model to where it can answer: loaded, with its tokenizer, its engine and their price.

What takes long to import is imported when it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from foreknown.errors import ArtifactError, RequestError

if TYPE_CHECKING:
    from foreknown.api import Model
    from foreknown.artifact import Artifact
    from foreknown.artifact.build import Options
    from foreknown.artifact.find import Found
    from foreknown.passes.lower_bits import StateFormat
    from foreknown.plan.price import StepPrice

MOST_THREADS = 1024
MOST_SEQUENCES = 1 << 30
MOST_CONTEXT = 1 << 30
WEIGHTS = ("f32", "bf16", "int8", "int4")
STATES = ("f32", "bf16", "int8")
GROUPS = (32, 64)


def chosen_options(
    weights: str | None,
    state: StateFormat | None,
    group: int,
    context: int | None,
    *,
    trust_code: bool,
) -> Options:
    """How a checkpoint is compiled; see `foreknown.open`.

    Raises:
        RequestError: one of them is none that there is.
    """
    from foreknown.artifact.build import Options

    check_choice("weights", weights, (None, *WEIGHTS))
    check_choice("state", state, (None, *STATES))
    check_choice("group", group, GROUPS)
    if context is not None:
        check_whole("context", context, MOST_CONTEXT)
    stored = weights or "as stored"
    return Options(stored, state, group, context=context, trust_code=trust_code)


def load_model(
    find: Callable[[bool], Found],
    *,
    threads: int | None = None,
    sequences: int = 1,
    speculate: bool = True,
) -> Model:
    """A model that was found, ready to answer.

    Args:
        find: gives its artifact; told whether to make it afresh, since it has shown damage.
        threads, sequences, speculate: see `foreknown.open`.

    Raises:
        RequestError: a number outside its range.
        ForeknownError: it is damaged, or does not fit.
    """
    from foreknown.api import Model
    from foreknown.artifact.loading import load_program
    from foreknown.checkpoint import open_checkpoint
    from foreknown.engine import Engine
    from foreknown.report.phase_times import debug_level, timed
    from foreknown.report.resident import resident_bytes

    check_whole("sequences", sequences, MOST_SEQUENCES)
    if threads is not None:
        check_whole("threads", threads, MOST_THREADS)
    found = find(False)
    start = time.perf_counter()
    resident_before = resident_bytes()
    try:
        loaded = load_program(found.artifact, sequences=sequences, n_threads=threads)
    except ArtifactError:
        if not found.kept_in_cache:
            raise
        found = find(True)
        start = time.perf_counter()
        loaded = load_program(found.artifact, sequences=sequences, n_threads=threads)
    artifact = found.artifact
    program_bytes = resident_bytes() - resident_before
    with ExitStack() as unless_it_opens:
        unless_it_opens.enter_context(loaded.program)
        checkpoint = open_checkpoint(artifact.checkpoint_directory)
        phase_times, program = (
            timed(artifact, loaded.program) if debug_level() >= 2 else (None, loaded.program)
        )
        price = told_price(artifact, loaded.program.n_threads)
        engine = Engine(
            program,
            end_ids=checkpoint.generation.eos_token_ids,
            new_detokenizer=checkpoint.tokenizer.detokenizer if checkpoint.has_tokenizer else None,
            speculate=speculate,
            price=price,
        )
        grown = resident_bytes() - program_bytes
        load_ms = (time.perf_counter() - start) * 1e3
        model = Model(artifact, loaded, checkpoint, engine, price, grown, load_ms, phase_times)
        unless_it_opens.pop_all()
    return model


def told_price(artifact: Artifact, threads: int) -> StepPrice:
    """What steps will take on this machine, as it was measured or else is estimated."""
    from foreknown.report.forecast import step_price
    from foreknown.report.host import known_host

    return step_price(artifact, known_host(threads))


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse what is none of the choices.

    Raises:
        RequestError: it is not.
    """
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise RequestError(f"{name} is {value!r}, where one of {listed} is expected", field=name)


def check_whole(name: str, value: object, most: int) -> None:
    """Refuse what is no whole number from 1 to `most`.

    Raises:
        RequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestError(
            f"{name} is {value!r}, where a whole number from 1 to {most} is expected",
            remedy=f"give one, or leave {name} out",
            field=name,
        )
