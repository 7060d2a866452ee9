"""A machine's description, and its text: a TOML file that a person can read and correct."""

from __future__ import annotations

import math
import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foreknown.errors import MachineError

FORMAT = 2
AGAIN = "foreknown calibrate measures this machine again"


@dataclass(frozen=True)
class Machine:
    """What a step can count on, with a given number of threads.

    Attributes:
        name: for people; for the host, its processor's.
        threads: of a step.
        read_gb_s: pairs of a working set in bytes, ascending, and the bandwidth of reading it
            over and over, in 1e9 bytes a second.
        f32_gflop_s: multiply-adds counted as two operations, in 1e9 a second.
        int8_gop_s: the same of exact products of 8-bit codes.
        barrier_us: what a meeting of all threads between two stages takes.

    Raises:
        MachineError: a number that no machine has.
    """

    name: str
    threads: int
    read_gb_s: tuple[tuple[int, float], ...]
    f32_gflop_s: float
    int8_gop_s: float
    barrier_us: float

    def __post_init__(self) -> None:
        sizes = [size for size, _ in self.read_gb_s]
        if not sizes or sizes != sorted(set(sizes)) or sizes[0] <= 0:
            raise MachineError("the working sets are not in ascending order", remedy=AGAIN)
        for name, value in (
            ("f32_gflop_s", self.f32_gflop_s),
            ("int8_gop_s", self.int8_gop_s),
            ("threads", self.threads),
            *((f"read_gb_s of {size} bytes", speed) for size, speed in self.read_gb_s),
        ):
            if not (math.isfinite(value) and value > 0):
                raise MachineError(f"{name} is {value}, not above zero", remedy=AGAIN)
        if not (math.isfinite(self.barrier_us) and self.barrier_us >= 0):
            raise MachineError(f"barrier_us is {self.barrier_us}", remedy=AGAIN)

    def bandwidth_gb_s(self, working_set_bytes: float) -> float:
        """Bandwidth of reading a working set, between the measured ones by its logarithm."""
        below = self.read_gb_s[0]
        for above in self.read_gb_s:
            if working_set_bytes <= above[0]:
                if above is below:
                    break
                part = math.log(working_set_bytes / below[0]) / math.log(above[0] / below[0])
                return below[1] + part * (above[1] - below[1])
            below = above
        return below[1]


def machine_toml(machine: Machine) -> str:
    """The description's text."""
    table = "\n".join(f"  [{size}, {speed:.3f}]," for size, speed in machine.read_gb_s)
    name = machine.name.replace("\\", "/").replace('"', "'")
    return (
        f"# Measured by `foreknown calibrate`; a forecast is made of these numbers.\n"
        f"format = {FORMAT}\n"
        f'name = "{name}"\n'
        f"threads = {machine.threads}\n"
        f"f32_gflop_s = {machine.f32_gflop_s:.3f}\n"
        f"int8_gop_s = {machine.int8_gop_s:.3f}\n"
        f"barrier_us = {machine.barrier_us:.3f}\n"
        f"read_gb_s = [  # working set in bytes, 1e9 bytes a second\n{table}\n]\n"
    )


def write_machine(machine: Machine, path: Path) -> None:
    """Keep a description, whole or not at all.

    Raises:
        MachineError: it cannot be written there.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(machine_toml(machine), "utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise MachineError(
            f"the machine's profile cannot be kept: {error.strerror or error}",
            where=str(path),
            remedy="set FOREKNOWN_CACHE to a directory that can be written",
        ) from None


def read_machine(path: Path) -> Machine:
    """A description from its file.

    Raises:
        MachineError: it is missing, damaged, or of another format.
    """
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        if raw.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        table = tuple((int(size), float(speed)) for size, speed in raw.pop("read_gb_s"))
        return Machine(read_gb_s=table, **raw)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MachineError(
            f"the machine's profile cannot be read: {error}", where=str(path), remedy=AGAIN
        ) from None
