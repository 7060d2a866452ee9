"""Runs a generated program as another processor would, by emulation: built with a small driver
in C (driver.c) for 64-bit Arm, statically, and run under qemu's user mode.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foreknown.graph.batch import Batch
from foreknown.targets.cpu.toolchain import FLAGS, RUNTIME, cache_directory
from tests.executors import Array, Compiled, blocks_of

DRIVER = Path(__file__).with_name("driver.c")


def qemu() -> str | None:
    """The emulator, if it is installed."""
    return shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def build_for_arm(source: Path, made: Path, *flags: str) -> None:
    """Compile one C file with the compiler of the `ziglang` package."""
    import ziglang

    zig = str(Path(ziglang.__file__).parent / "zig")
    kept = [f for f in FLAGS if f not in {"-shared", "-fPIC"}]
    target = ["-target", "aarch64-linux-musl", "-static"]
    command = [zig, "cc", *target, *kept, f"-I{RUNTIME}", *flags, "-o", str(made), str(source)]
    cache = str(cache_directory() / "zig")
    places = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **places})


def run_under_qemu(
    program: Compiled, steps: Sequence[Batch], directory: Path, n_threads: int
) -> list[Array]:
    """Logits of each step, computed on an emulated Arm processor."""
    emulator = qemu()
    assert emulator is not None
    source, made = directory / "program.c", directory / "program"
    source.write_text(program.source.text + DRIVER.read_text())
    build_for_arm(source, made)
    sizes = program.sizes
    header = (
        *(program.weights.size, sizes.arena_bytes, sizes.scratch_bytes, sizes.block_bytes),
        *(blocks_of(steps), sizes.logits_offset, sizes.vocab_size, n_threads, len(steps)),
        sizes.own_bytes,
    )
    given, results = directory / "steps", directory / "logits"
    with given.open("wb") as out:
        out.write(np.array(header, np.int64).tobytes())
        for step in steps:
            counts = (len(step.tokens), len(step.rows), *step.block_tables.shape)
            out.write(np.array(counts, np.int32).tobytes())
            arrays = (step.tokens, step.positions, step.sequence, step.block_tables, step.rows)
            for array in arrays:
                out.write(np.ascontiguousarray(array, np.int32).tobytes())
    command = [emulator, str(made), str(program.weights_file), str(given), str(results)]
    subprocess.run(command, check=True, timeout=300)
    whole = np.fromfile(results, np.float32).reshape(-1, sizes.vocab_size)
    ends = np.cumsum([len(step.rows) for step in steps])
    return np.split(whole, ends[:-1])
