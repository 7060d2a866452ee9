"""What lies in an artifact, and how a damaged or foreign one is told apart.

    manifest.json     versions, target, sizes, limits, digests of every other file
    plan.json         phases with their costs, constants, buffers, state slots
    graph.txt         the graph in the IR's text
    program.c, .so    generated source and its shared object
    weights.bin       packed constants, each on its own pages
    checkpoint/       config, tokenizer, chat template, generation defaults as they were found

The manifest is written last, into a directory that gets its name last: a crash leaves nothing
that loads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foreknown.errors import ArtifactError
from foreknown.machine.kernels import Kernel, read_kernel
from foreknown.plan.costs import Cost, Formula
from foreknown.targets.cpu.program import Sizes

FORMAT = 5
MANIFEST, PLAN, GRAPH = "manifest.json", "plan.json", "graph.txt"
SOURCE, OBJECT, WEIGHTS, CHECKPOINT = "program.c", "program.so", "weights.bin", "checkpoint"
COMPILE_AGAIN = "compile the checkpoint again with this version on this machine"


@dataclass(frozen=True)
class Manifest:
    """The facts that a loader needs, and what the files must be.

    Attributes:
        version: Foreknown's, for people.
        target: name of the instruction set it was built for.
        weights: how matrices are stored: "as stored", "f32", "bf16", "int8" or "int4".
        state: how keys and values are kept: "f32", "bf16" or "int8".
        sizes: what the program must be given.
        weights_bytes: size of weights.bin.
        weights_checksum: fk_checksum of weights.bin, in hexadecimal.
        files: sha256 of every other file by its path inside the artifact.
        origin: of everything the artifact was made from: the same again is up to date.
        weights_origin: of the tensors and their packing: the same again reuses weights.bin.
        compile_seconds: how long compiling took, by part.
    """

    version: str
    target: str
    weights: str
    state: str
    sizes: Sizes
    weights_bytes: int
    weights_checksum: str
    files: dict[str, str]
    origin: str
    weights_origin: str
    compile_seconds: dict[str, float]
    format: int = FORMAT


@dataclass(frozen=True)
class PhaseRecord:
    """One phase as the plan recorded it.

    Attributes:
        stage: barriers before it.
        kind: rows, linear, experts, attend or scan.
        function: its function in program.c.
        nodes: its operations, in order.
        cost: bytes and operations as formulas.
        rows: "T" where it runs over the step's tokens, "R" over its selected rows.
        kernels: what it asks of a machine.
    """

    stage: int
    kind: str
    function: str
    nodes: tuple[str, ...]
    cost: Cost
    rows: str
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class Artifact:
    """An artifact whose manifest has been read and whose files have been looked at, not loaded."""

    directory: Path
    manifest: Manifest

    @property
    def checkpoint_directory(self) -> Path:
        """The checkpoint's text files: tokenizer, template, configs."""
        return self.directory / CHECKPOINT

    def plan(self) -> dict[str, Any]:
        """plan.json: phases, constants, buffers, slots."""
        result: dict[str, Any] = json.loads((self.directory / PLAN).read_text())
        return result

    def phases(self) -> tuple[PhaseRecord, ...]:
        """The plan's phases with their costs."""
        return phase_records(self.plan())

    def text(self, name: str) -> str:
        """One of the artifact's text files."""
        return (self.directory / name).read_text()


def phase_records(plan: Mapping[str, Any]) -> tuple[PhaseRecord, ...]:
    """The phases of a plan's record."""
    return tuple(
        PhaseRecord(
            p["stage"],
            p["kind"],
            p["function"],
            tuple(p["nodes"]),
            Cost(*(Formula(**p["cost"][kind]) for kind in ("bytes", "flops", "int8_ops"))),
            p["rows"],
            tuple(map(read_kernel, p["kernels"])),
        )
        for p in plan["phases"]
    )


def is_artifact(directory: Path) -> bool:
    """Whether a directory looks like an artifact at all."""
    return (directory / MANIFEST).is_file()


def open_artifact(directory: Path) -> Artifact:
    """Read a manifest and check every file but the weights against it.

    Raises:
        ArtifactError: a file is missing or damaged, or of another format.
    """
    path = directory / MANIFEST
    try:
        text = path.read_text()
        raw = json.loads(text)
    except FileNotFoundError:
        raise ArtifactError(
            "this is no artifact: it has no manifest",
            where=str(directory),
            remedy="foreknown compile CHECKPOINT -o ARTIFACT makes one",
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"the manifest cannot be read: {error}", where=str(path), remedy=COMPILE_AGAIN
        ) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise ArtifactError(
            f"the artifact has format {found}, this version reads format {FORMAT}",
            where=str(path),
            remedy=COMPILE_AGAIN,
        )
    try:
        raw.pop("checksum", None)
        manifest = Manifest(**{**raw, "sizes": Sizes(**raw["sizes"])})
    except (TypeError, KeyError) as error:
        raise ArtifactError(
            f"the manifest lacks or has an unknown field: {error}",
            where=str(path),
            remedy=COMPILE_AGAIN,
        ) from None
    if text != manifest_json(manifest):
        raise ArtifactError("the manifest is damaged", where=str(path), remedy=COMPILE_AGAIN)
    for name, digest in manifest.files.items():
        file = directory / name
        if not file.is_file() or file_digest(file) != digest:
            state = "damaged" if file.is_file() else "missing"
            raise ArtifactError(f"{name} is {state}", where=str(directory), remedy=COMPILE_AGAIN)
    return Artifact(directory, manifest)


def file_digest(path: Path) -> str:
    """sha256 of a small file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest_json(manifest: Manifest) -> str:
    """The manifest's text, with a checksum of itself, so that damage anywhere in it shows."""
    record = asdict(manifest)
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "checksum": checksum}, indent=2) + "\n"
