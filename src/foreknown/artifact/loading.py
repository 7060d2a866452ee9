"""Turns an artifact into a program in this process, refusing what does not fit before it loads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from foreknown.artifact.format import COMPILE_AGAIN, OBJECT, WEIGHTS, Artifact
from foreknown.artifact.weights_memory import read_weights
from foreknown.errors import ArtifactError, DoesNotFit
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.targets.cpu.program import Program, Sizes
from foreknown.targets.cpu.toolchain import find_target, lacking
from foreknown.targets.cpu.tools import checksum


@dataclass(frozen=True)
class MemoryPlan:
    """Every byte a loaded program takes, known before it is loaded.

    Attributes:
        weights: of weights.bin, read into memory.
        state: blocks of all sequences.
        scratch: the arena between phases and each thread's own.
    """

    weights: int
    state: int
    scratch: int

    @property
    def total(self) -> int:
        return self.weights + self.state + self.scratch


@dataclass(frozen=True)
class LoadedProgram:
    """A program ready to step, and the memory it was planned to take."""

    program: Program
    memory: MemoryPlan


def plan_memory(artifact: Artifact, n_blocks: int, n_threads: int) -> MemoryPlan:
    """What loading with so many blocks of state and threads will take."""
    return memory_of(artifact.manifest.sizes, artifact.manifest.weights_bytes, n_blocks, n_threads)


def memory_of(sizes: Sizes, weights_bytes: int, n_blocks: int, n_threads: int) -> MemoryPlan:
    """What a program of these sizes takes with so many blocks of state and threads."""
    return MemoryPlan(
        weights=weights_bytes,
        state=n_blocks * sizes.block_bytes,
        scratch=sizes.arena_bytes
        + n_threads * sizes.scratch_bytes
        + (n_threads - 1) * sizes.own_bytes,
    )


def load_program(
    artifact: Artifact, *, sequences: int = 1, n_threads: int | None = None, check: bool = True
) -> LoadedProgram:
    """Read an artifact's weights and start its program.

    Args:
        sequences: how many sequences of full context its state must hold at once.
        n_threads: threads of a step; all of the process's processors if None.
        check: whether weights.bin is read through and compared with its checksum.

    Raises:
        DoesNotFit: before anything is loaded, with what would fit.
        ArtifactError: another instruction set, or a damaged file.
    """
    manifest = artifact.manifest
    target = find_target(manifest.target)
    if lacks := lacking(target):
        raise ArtifactError(
            f"this machine lacks instructions of {target.name}: {', '.join(lacks)}",
            where=str(artifact.directory),
            remedy=COMPILE_AGAIN,
        )
    n_threads = n_threads or len(os.sched_getaffinity(0))
    n_blocks = sequences * -(-manifest.sizes.context // BLOCK_TOKENS)
    memory = plan_memory(artifact, n_blocks, n_threads)
    _require_memory(artifact, memory, n_blocks)
    weights = read_weights(artifact.directory / WEIGHTS, manifest.weights_bytes, n_threads)
    program = Program(
        artifact.directory / OBJECT, weights, manifest.sizes, n_blocks=n_blocks, n_threads=n_threads
    )
    if check:
        found = checksum(weights, program.library, n_threads)
        if f"{found:016x}" != manifest.weights_checksum:
            program.close()
            raise ArtifactError(
                "weights.bin is damaged: its checksum differs",
                where=str(artifact.directory),
                remedy=COMPILE_AGAIN,
            )
    return LoadedProgram(program, memory)


def available_bytes() -> int:
    """Memory that can be had without pushing anything out, as the system says."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def installed_bytes() -> int:
    """Memory that the machine has, whoever holds it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _require_memory(artifact: Artifact, memory: MemoryPlan, n_blocks: int) -> None:
    available = available_bytes()
    if memory.total <= available:
        return
    left = available - memory.weights - memory.scratch
    block_bytes = artifact.manifest.sizes.block_bytes
    fits = left // block_bytes * BLOCK_TOKENS if block_bytes and left > 0 else 0
    raise DoesNotFit(
        f"{memory.total / 2**30:.2f} GiB are needed and {available / 2**30:.2f} GiB are free: "
        f"{memory.weights / 2**30:.2f} weights, {memory.state / 2**30:.2f} state of "
        f"{n_blocks * BLOCK_TOKENS} tokens, {memory.scratch / 2**30:.2f} scratch",
        where=str(artifact.directory),
        remedy=f"{fits} tokens of state would fit: compile with a shorter --context"
        if fits
        else "the weights alone do not fit: use a smaller format or a larger machine",
    )
