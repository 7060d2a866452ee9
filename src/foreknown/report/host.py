"""The machine this process runs on: measured once, kept in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from foreknown.errors import MachineError
from foreknown.machine import Machine, Probes, measure, read_machine, write_machine
from foreknown.targets.cpu.toolchain import cache_directory


def host_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def profile_path(threads: int) -> Path:
    """Where the host's profile for so many threads is kept."""
    return cache_directory() / "machines" / f"host-{threads}.toml"


def known_host(threads: int) -> Machine | None:
    """The host's kept profile; None if it was not measured yet, or can no longer be read."""
    try:
        return read_machine(profile_path(threads))
    except MachineError:
        return None


def calibrate(
    threads: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Machine:
    """Measure the host, in under three seconds, and keep what was found.

    Raises:
        ToolchainError: the probes are not built yet and there is no compiler.
    """
    from foreknown.targets.cpu.barrier import barrier_us
    from foreknown.targets.cpu.tools import f32_gflop_s, int8_gop_s, read_gb_s

    machine = measure(Probes(read_gb_s, f32_gflop_s, int8_gop_s, barrier_us), threads, progress)
    write_machine(machine, profile_path(threads))
    return machine
