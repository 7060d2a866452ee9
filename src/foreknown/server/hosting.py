"""Loads the models that one server holds, each with its own plan of memory, if all of them fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from foreknown.artifact import Artifact
from foreknown.artifact.loading import MemoryPlan, available_bytes, load_program, plan_memory
from foreknown.checkpoint import open_checkpoint
from foreknown.engine import Engine
from foreknown.engine.drift import MARGIN
from foreknown.engine.warming import warm_up
from foreknown.errors import ArtifactError, DoesNotFit
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import StepPrice
from foreknown.server.answers import find_format
from foreknown.server.served_model import ServedModel

_GIB = 2**30


@dataclass(frozen=True)
class Wanted:
    """A model to be served.

    Attributes:
        name: by which requests ask for it.
        sequences: of full context that its state holds at once.
        price: what its steps take on this machine; None: nobody knows.
        again: makes the artifact anew if it turns out to be damaged; None: it is the user's own.
    """

    name: str
    artifact: Artifact
    sequences: int
    speculate: bool = True
    price: StepPrice | None = None
    again: Callable[[], Artifact] | None = None

    def memory(self, n_threads: int) -> MemoryPlan:
        """Every byte it will take."""
        blocks = self.sequences * -(-self.artifact.manifest.sizes.context // BLOCK_TOKENS)
        return plan_memory(self.artifact, blocks, n_threads)


def load_models(
    wanted: Sequence[Wanted],
    n_threads: int | None = None,
    available: Callable[[], int] = available_bytes,
) -> list[ServedModel]:
    """Load models for one server.

    Raises:
        DoesNotFit: all together need more memory than there is; nothing was loaded.
        ArtifactError: one is damaged, or made for another machine.
    """
    n_threads = n_threads or len(os.sched_getaffinity(0))
    _require_memory(wanted, n_threads, available())
    return [_load(one, index, n_threads) for index, one in enumerate(wanted)]


def _require_memory(wanted: Sequence[Wanted], n_threads: int, available: int) -> None:
    plans = [(one.name, one.memory(n_threads)) for one in wanted]
    total = sum(plan.total for _, plan in plans)
    if total <= available:
        return
    each = ", ".join(
        f"{name} {plan.total / _GIB:.2f} ({plan.weights / _GIB:.2f} weights, "
        f"{plan.state / _GIB:.2f} state)"
        for name, plan in plans
    )
    fixed = sum(plan.total - plan.state for _, plan in plans)
    state = sum(plan.state for _, plan in plans)
    share = (available - fixed) / state if state else 0
    fits = int(min(one.sequences for one in wanted) * share)
    raise DoesNotFit(
        f"{total / _GIB:.2f} GiB are needed and {available / _GIB:.2f} GiB are free: {each}",
        remedy=f"give --sequences {fits}"
        if fits > 0
        else "serve fewer models, or smaller formats of them",
    )


def _load(wanted: Wanted, index: int, n_threads: int) -> ServedModel:
    artifact, sequences = wanted.artifact, wanted.sequences
    try:
        loaded = load_program(artifact, sequences=sequences, n_threads=n_threads)
    except ArtifactError:
        if wanted.again is None:
            raise
        artifact = wanted.again()
        loaded = load_program(artifact, sequences=sequences, n_threads=n_threads)
    checkpoint = open_checkpoint(artifact.checkpoint_directory)
    template = checkpoint.chat_template
    form = find_format("\n".join(template.sources.values()) if template else "")
    new_detokenizer = None
    if checkpoint.has_tokenizer:
        new_detokenizer = partial(checkpoint.tokenizer.detokenizer, shown=form.markers)
    engine = Engine(
        loaded.program,
        end_ids=checkpoint.generation.eos_token_ids,
        new_detokenizer=new_detokenizer,
        speculate=wanted.speculate,
        price=wanted.price,
        margin=MARGIN if wanted.price is None else wanted.price.margin,
    )
    if wanted.price is not None:
        warm_up(loaded.program, wanted.price)
    compiled_s = int(artifact.directory.stat().st_mtime)
    return ServedModel(
        wanted.name, index, artifact, loaded, checkpoint, engine, form, compiled_s, wanted.price
    )
