"""What a forecast needs of a model, from an artifact, a checkpoint, or a configuration alone.

Of what is not compiled yet the graph is captured and planned; no weight is read, nothing is
written, and no compiler runs. A deep model's identical layers are captured once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from foreknown.artifact.build import DEFAULT_CONTEXT, Options
from foreknown.artifact.extend import Outlined, extended
from foreknown.artifact.find import current_artifact, model_path
from foreknown.artifact.format import (
    Artifact,
    PhaseRecord,
    is_artifact,
    open_artifact,
    phase_records,
)
from foreknown.artifact.lasting import import_for_good
from foreknown.artifact.loading import MemoryPlan, memory_of
from foreknown.artifact.record import plan_record
from foreknown.artifact.sizes import program_sizes
from foreknown.checkpoint import open_checkpoint
from foreknown.checkpoint.config import read_config
from foreknown.errors import CaptureError, ForeknownError, RequestError, UnsupportedOp
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.plan import Limits, make_plan
from foreknown.plan.price import StepCosts
from foreknown.targets.cpu.program import Sizes
from foreknown.targets.cpu.source import generate
from foreknown.targets.cpu.toolchain import find_target

if TYPE_CHECKING:
    from foreknown.capture import Captured, Outline

MadeFrom = Literal["artifact", "checkpoint", "config"]
CONFIG = "config.json"
MOST_PERIODS = 3
"""The last layers may be unlike the others, so what the second adds may not be the third's."""
CONTEXT_STEP = 256
"""A context that is made as long as is needed is a multiple of so many tokens."""


@dataclass(frozen=True)
class PlannedModel:
    """A model as it is, or would be, compiled.

    Attributes:
        name: for people.
        made_from: an artifact; a checkpoint with its weights; a configuration alone.
        weights: format of its matrices, as `Options` names it.
        state: format of its keys and values.
        target: name of the instruction set that it is for.
        phases: with their costs.
        longest: tokens of the longest context that it can be compiled with; None: any.
    """

    name: str
    made_from: MadeFrom
    weights: str
    state: str
    target: str
    sizes: Sizes
    weights_bytes: int
    phases: tuple[PhaseRecord, ...]
    longest: int | None

    @cached_property
    def costs(self) -> StepCosts:
        """What its steps move and compute."""
        return StepCosts(self.phases, self.weights_bytes)

    @property
    def blocks(self) -> int:
        """Blocks of state of a sequence of full context."""
        return -(-self.sizes.context // BLOCK_TOKENS)

    def memory(self, n_threads: int, sequences: int = 1) -> MemoryPlan:
        """What it takes once loaded, with state for so many sequences of full context."""
        return memory_of(self.sizes, self.weights_bytes, sequences * self.blocks, n_threads)


def planned_artifact(artifact: Artifact, name: str = "") -> PlannedModel:
    """A compiled model."""
    manifest = artifact.manifest
    return PlannedModel(
        name or artifact.directory.name,
        "artifact",
        manifest.weights,
        manifest.state,
        manifest.target,
        manifest.sizes,
        manifest.weights_bytes,
        artifact.phases(),
        read_config(artifact.checkpoint_directory).max_position_embeddings,
    )


class Planner:
    """Plans one model in any format, capturing it at most once for each length of context.

    Args:
        model: an artifact, a checkpoint's directory, one with only a config.json, or such a file;
            None is the bundled model.

    Raises:
        ArtifactError: there is no such model, or an artifact is damaged.
        CheckpointError: the configuration is damaged.
    """

    def __init__(self, model: Path | None) -> None:
        self.path = model_path(model)
        self.artifact = open_artifact(self.path) if is_artifact(self.path) else None
        self._captured: dict[tuple[int, bool], Captured | Outline] = {}

    @property
    def name(self) -> str:
        return self.path.parent.name if self.path.name == CONFIG else self.path.name

    @cached_property
    def longest(self) -> int | None:
        """Tokens of the longest context that it can be planned with; None: any."""
        if self.artifact is not None:
            return self.artifact.manifest.sizes.context
        with self._directory() as directory:
            return open_checkpoint(directory).config.max_position_embeddings

    def planned(self, options: Options) -> PlannedModel:
        """The model, as it is or would be compiled with these options.

        Raises:
            RequestError: an artifact is of another format than was asked for.
            ForeknownError: the checkpoint does not compile.
        """
        if self.artifact is not None:
            return _as_it_is(self.artifact, options)
        with self._directory() as directory:
            kept = current_artifact(directory, options)
        if kept is not None:
            return planned_artifact(kept, self.name)
        return self._planned(options, self.context(options))

    def context(self, options: Options) -> int:
        """Tokens of the longest sequence that a compile with these options would give."""
        if self.artifact is not None:
            return self.artifact.manifest.sizes.context
        return options.context or min(self.longest or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    def planned_for(self, options: Options, tokens: int) -> PlannedModel:
        """The same for sequences of so many tokens, as far as the model holds them, unless the
        options say how long they may be."""
        usual, longest = self.context(options), self.longest
        if options.context is None and tokens > usual and self.artifact is None:
            most = -(-tokens // CONTEXT_STEP) * CONTEXT_STEP
            options = replace(options, context=min(most, longest or most))
        return self.planned(options)

    def planned_up_to(self, options: Options, context: int) -> PlannedModel:
        """The model for sequences of so many tokens, from what was captured for longer ones.

        Where a model's tables go by the longest sequence it may be told a little too large.
        """
        if self.artifact is not None:
            return self.planned(options)
        return self._planned(options, context)

    @contextmanager
    def _directory(self) -> Iterator[Path]:
        """The checkpoint's directory; a file by itself is given one for as long as it takes."""
        if self.path.is_dir():
            yield self.path
        elif self.path.name == CONFIG:
            yield self.path.parent
        else:
            with TemporaryDirectory(prefix="foreknown-") as directory:
                (Path(directory) / CONFIG).symlink_to(self.path)
                try:
                    yield Path(directory)
                except ForeknownError as error:
                    where = str(self.path) if directory in error.where else error.where
                    raise type(error)(error.what, where=where, remedy=error.remedy) from error

    def _planned(self, options: Options, context: int) -> PlannedModel:
        with self._directory() as directory:
            has_weights = open_checkpoint(directory).tensors is not None
            outlined = self._outlined(directory, options, context)
        return PlannedModel(
            self.name,
            "checkpoint" if has_weights else "config",
            options.weights,
            options.formats.state,
            find_target(options.target).name,
            outlined.sizes,
            outlined.weights_bytes,
            phase_records({"phases": outlined.phases}),
            self.longest,
        )

    def _outlined(self, directory: Path, options: Options, context: int) -> Outlined:
        """The plan's outline: of a model whose layers repeat, from one with few of them."""
        import_for_good("foreknown.capture")
        from foreknown.capture import Captured, capture, capture_outline

        key = self.context(options), options.trust_code
        more: dict[str, Any] = {"context": key[0], "trust_code": options.trust_code}
        captured = self._captured.get(key)
        if captured is None:
            with suppress(CaptureError, UnsupportedOp):
                captured = capture_outline(directory, **more)
        if captured is not None and not isinstance(captured, Captured):
            self._captured[key] = captured
            whole = _extended(captured, options, context)
            if whole is not None:
                return whole
            captured = None
        self._captured[key] = captured = captured or capture(directory, **more)
        return _outline_of(captured, options, context)


def _extended(outline: Outline, options: Options, context: int) -> Outlined | None:
    """A whole plan from those of a few periods; None if they are not alike."""
    longer = _outline_of(outline.captured(1), options, context)
    for periods in range(2, min(MOST_PERIODS, outline.whole - 1) + 1):
        shorter, longer = longer, _outline_of(outline.captured(periods), options, context)
        whole = extended(shorter, longer, outline.whole - periods)
        if whole is not None:
            return whole
    return None


def _outline_of(captured: Captured, options: Options, context: int) -> Outlined:
    from foreknown.passes.pipeline import lower

    context = min(context, captured.context)
    graph = lower(captured.graph, context, options.formats)
    limits = Limits(context, min(options.max_tokens, context), options.max_rows)
    plan = make_plan(graph, limits, weights=options.weights)
    generated = generate(plan)
    record: dict[str, Any] = plan_record(plan, generated, options.formats.bits)
    return Outlined(tuple(record["phases"]), program_sizes(plan, generated), plan.weights_bytes)


def _as_it_is(artifact: Artifact, options: Options) -> PlannedModel:
    manifest = artifact.manifest
    asked = {
        "weights": (options.weights, "as stored", manifest.weights),
        "state": (options.state, None, manifest.state),
        "context": (options.context, None, manifest.sizes.context),
    }
    for name, (wanted, unsaid, has) in asked.items():
        if wanted not in (unsaid, has):
            raise RequestError(
                f"the artifact's {name} is {has}, not {wanted}",
                where=str(artifact.directory),
                remedy="name the checkpoint it was made of, or its config.json",
            )
    return planned_artifact(artifact)
