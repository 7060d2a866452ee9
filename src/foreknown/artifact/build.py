"""Compiles a checkpoint into an artifact: capture, passes, plan, source, object, packed weights.

Everything is written into a directory beside the destination, which takes the destination's name
when it is complete. What an earlier artifact at the destination already holds is reused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foreknown import __version__
from foreknown.artifact.destination import directory_for, require_replaceable
from foreknown.artifact.format import (
    CHECKPOINT,
    GRAPH,
    MANIFEST,
    OBJECT,
    PLAN,
    SOURCE,
    WEIGHTS,
    Artifact,
    Manifest,
    file_digest,
    is_artifact,
    manifest_json,
    open_artifact,
)
from foreknown.artifact.lasting import import_for_good
from foreknown.artifact.origin import origin
from foreknown.artifact.pack import pack
from foreknown.artifact.record import plan_record
from foreknown.artifact.sizes import program_sizes
from foreknown.checkpoint import Checkpoint, open_checkpoint
from foreknown.errors import CheckpointError, ForeknownError
from foreknown.graph.ir import Graph
from foreknown.graph.text import print_graph
from foreknown.plan.plan import Limits, Plan, make_plan
from foreknown.targets.cpu.source import generate
from foreknown.targets.cpu.toolchain import cached_shared_object, find_target
from foreknown.targets.cpu.tools import file_checksum

if TYPE_CHECKING:
    from foreknown.passes.lower_bits import Importance, StateFormat
    from foreknown.passes.pipeline import Formats

DEFAULT_CONTEXT = 4096
"""Tokens of a sequence unless the user says otherwise, or the model holds fewer."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """What a user may choose about a compile.

    Attributes:
        weights: "as stored", "f32", "bf16", "int8" or "int4".
        state: of keys and values: "f32", "bf16" or "int8"; None goes with the weights.
        group: of int8 and int4 weights: 32 or 64 elements share a scale.
        calibration: a text by which to tell which of their columns matter; "" goes by norms alone.
        context: tokens of the longest sequence; None takes the model's, up to DEFAULT_CONTEXT.
        target: an instruction set's name, or "host".
        trust_code: whether Python code in the checkpoint may run.
        max_tokens: tokens of the largest step.
        max_rows: rows of logits of the largest step.
    """

    weights: str = "as stored"
    state: StateFormat | None = None
    group: int = 32
    calibration: str = ""
    context: int | None = None
    target: str = "host"
    trust_code: bool = False
    max_tokens: int = 512
    max_rows: int = 64

    @property
    def formats(self) -> Formats:
        """Formats of weights and state."""
        from foreknown.passes.pipeline import Formats

        usual: dict[str, StateFormat] = {"int4": "int8"}
        return Formats(self.weights, self.state or usual.get(self.weights, "f32"), self.group)


@dataclass
class _Clock:
    """Seconds spent on each part of a compile."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def compile_checkpoint(
    source: Path,
    destination: Path,
    options: Options = Options(),
    progress: Progress = lambda part, done, total: None,
) -> Artifact:
    """Compile a Hugging Face directory into an artifact at `destination`.

    Args:
        progress: told a part's name, how much of it is done and how much there is.

    Raises:
        CheckpointError: files are missing, damaged or contradict each other.
        UnsupportedOp: the model does something that the graph or the target cannot.
        ArtifactError: the destination cannot be written, or holds something else.
    """
    from foreknown.passes.pipeline import lower

    destination = destination.expanduser().absolute()
    require_replaceable(destination)
    clock = _Clock()
    target = find_target(options.target)
    options = replace(options, target=target.name)
    checkpoint = open_checkpoint(source)
    made_from = origin(checkpoint, options)
    kept = _intact(destination)
    if kept is not None and kept.manifest.origin == made_from:
        progress("up to date", 1, 1)
        return kept
    with clock.part("capture"):
        progress("capturing the graph", 0, 1)
        _require_readable(checkpoint)
        captured = _capture(source, options, checkpoint.config.max_position_embeddings)
        progress("capturing the graph", 1, 1)
    bits = options.formats.bits
    importance: Importance = {}
    if options.calibration and bits:
        with clock.part("calibration"):
            progress("running the calibration text", 0, 1)
            importance = _importance(captured, checkpoint, options)
            progress("running the calibration text", 1, 1)
    with clock.part("plan"):
        graph = lower(captured.graph, captured.context, options.formats, importance)
        limits = Limits(
            captured.context, min(options.max_tokens, captured.context), options.max_rows
        )
        plan = make_plan(graph, limits, weights=options.weights)
        generated = generate(plan)
    with clock.part("compile"):
        progress("compiling", 0, 1)
        made = cached_shared_object(generated.text, target)
        progress("compiling", 1, 1)
    fingerprint = _fingerprint(plan, checkpoint.tensors.fingerprint() if checkpoint.tensors else "")
    with directory_for(destination, plan.weights_bytes) as partial:
        (partial / GRAPH).write_text(print_graph(graph))
        (partial / SOURCE).write_text(generated.text)
        (partial / PLAN).write_text(json.dumps(plan_record(plan, generated, bits), indent=1) + "\n")
        shutil.copyfile(made, partial / OBJECT)
        for name in checkpoint.text_files():
            copy = partial / CHECKPOINT / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(checkpoint.directory / name, copy)
        if checkpoint.has_tokenizer:
            # one file says it all, and opens faster than vocabulary and merges
            text = checkpoint.tokenizer.backend.to_str()
            (partial / CHECKPOINT / "tokenizer.json").write_text(text)
        with clock.part("pack"):
            weights_checksum = _weights(
                partial / WEIGHTS, kept, fingerprint, plan, captured.weights, progress
            )
        manifest = Manifest(
            version=__version__,
            target=target.name,
            weights=options.weights,
            state=options.formats.state,
            sizes=program_sizes(plan, generated),
            weights_bytes=plan.weights_bytes,
            weights_checksum=weights_checksum,
            files={
                str(file.relative_to(partial)): file_digest(file)
                for file in sorted(partial.rglob("*"))
                if file.is_file() and file.name != WEIGHTS
            },
            origin=made_from,
            weights_origin=fingerprint,
            compile_seconds=clock.seconds,
        )
        (partial / MANIFEST).write_text(manifest_json(manifest))
    return Artifact(destination, manifest)


def _importance(captured: Any, checkpoint: Checkpoint, options: Options) -> Importance:
    from foreknown.artifact.calibration import column_importance
    from foreknown.passes.pipeline import lower

    if not checkpoint.has_tokenizer:
        raise CheckpointError(
            "a calibration text needs a tokenizer, and there is none",
            where=str(checkpoint.directory),
            remedy="add tokenizer.json, or leave --calibration out",
        )
    return column_importance(
        lower(captured.graph, captured.context),
        captured.weights,
        checkpoint.tokenizer.encode(options.calibration),
        context=captured.context,
        n_threads=len(os.sched_getaffinity(0)),
    )


def _capture(source: Path, options: Options, model_context: int | None) -> Any:
    import_for_good("foreknown.capture")
    from foreknown.capture import capture

    context = options.context or min(model_context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    return capture(source, context=context, trust_code=options.trust_code)


def _fingerprint(plan: Plan, tensors: str) -> str:
    """Of the tensors and of how they are packed: equal fingerprints have equal weights.bin."""
    digest = hashlib.sha256(f"{__version__} {tensors}".encode())
    for constant in plan.constants.values():
        record = Graph("constant", {"value": constant.node})
        digest.update(print_graph(record).encode())
        place = f"{constant.layout} {constant.stored} {constant.offset} {constant.bytes}"
        digest.update(place.encode())
    return digest.hexdigest()


def _weights(
    path: Path,
    kept: Artifact | None,
    fingerprint: str,
    plan: Plan,
    weights: Any,
    progress: Progress,
) -> str:
    """Pack weights.bin, or take over the one that lies at the destination; returns its checksum."""
    total = plan.weights_bytes
    if kept is not None and kept.manifest.weights_origin == fingerprint:
        os.link(kept.directory / WEIGHTS, path)
        progress("reusing packed weights", total, total)
        return kept.manifest.weights_checksum
    done = 0

    def wrote(size: int) -> None:
        nonlocal done
        done += size
        progress("packing weights", done, total)

    with path.open("wb") as file:
        file.truncate(total)
        pack(plan.constants.values(), weights, file, wrote)
    return f"{file_checksum(path):016x}"


def _intact(destination: Path) -> Artifact | None:
    """The artifact that lies at the destination, if there is one and nothing of it is damaged."""
    if not is_artifact(destination):
        return None
    try:
        artifact = open_artifact(destination)
    except ForeknownError:
        return None
    path, manifest = destination / WEIGHTS, artifact.manifest
    if not path.is_file() or path.stat().st_size != manifest.weights_bytes:
        return None
    return artifact if f"{file_checksum(path):016x}" == manifest.weights_checksum else None


def _require_readable(checkpoint: Checkpoint) -> None:
    """Have damage show before minutes of work, not after."""
    if checkpoint.tensors is None:
        raise CheckpointError(
            "there are no weights",
            where=str(checkpoint.directory),
            remedy="add the *.safetensors files",
        )
    if checkpoint.has_tokenizer:
        assert checkpoint.tokenizer
    assert checkpoint.generation
    assert checkpoint.pooling is None or checkpoint.pooling.mode
    assert checkpoint.chat_template is None or checkpoint.chat_template.sources
