"""The machine this process runs on: measured once and kept in the user's cache, else estimated."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from foreknown.errors import MachineError
from foreknown.machine import Machine, Probes, measure, read_machine, write_machine
from foreknown.machine.estimate import estimated_machine
from foreknown.machine.machine import check_price, check_watts
from foreknown.machine.processor import processor_name
from foreknown.machine.watts import Watts, estimated_watts, measured_watts
from foreknown.targets.cpu.toolchain import TARGETS, cache_directory, host_features

Progress = Callable[[int, int], None]
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
LONGEST_TOLD = 200
BY_HAND = "as given to calibrate"
_log = logging.getLogger(__name__)


def host_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def profile_path(threads: int) -> Path:
    """Where the host's profile for so many threads is kept."""
    return cache_directory() / "machines" / f"host-{threads}.toml"


def known_host(threads: int) -> Machine:
    """The host's kept profile; an estimate if it was not measured yet.

    One that is damaged, or of another machine, is as good as none, and a line of the log (standard
    error, unless the process logs elsewhere) says so once.
    """
    try:
        return _kept(threads) or estimated_host(threads)
    except MachineError as error:
        _tell(
            f"the kept profile is not used, nor its price and watts: {error.what} ({error.where}); "
            f"what follows rests on an estimate: foreknown calibrate --threads {threads} measures "
            "this machine"
        )
        return estimated_host(threads)


def _kept(threads: int) -> Machine | None:
    """The host's kept profile; None: there is none.

    Raises:
        MachineError: it is damaged, or of another machine.
    """
    path = profile_path(threads)
    with suppress(OSError):
        if not path.exists():
            return None
    return named_machine(path, threads)


@cache
def _tell(line: str) -> None:
    """Log a line once in this process, however many models are opened on this machine."""
    _log.warning("%s", line)


def named_machine(path: Path, threads: int) -> Machine:
    """The profile in a file that a user named, for this machine.

    Raises:
        MachineError: it cannot be read, or is of another machine.
    """
    machine = read_machine(path)
    differences = _differences(machine, threads)
    if differences:
        raise MachineError(
            f"the profile is of another machine: {'; '.join(differences)}",
            where=str(path),
            remedy="foreknown calibrate measures this one",
        )
    return machine


def estimated_host(threads: int) -> Machine:
    """The host as its features let expect it."""
    return estimated_machine(
        processor_name(), threads, _features(), _clock_ghz(), _last_cache_bytes()
    )


def calibrate(
    threads: int,
    progress: Progress = lambda done, total: None,
    *,
    usd_per_hour: float | None = None,
    watts: tuple[float, float] | None = None,
    minutes: int = 0,
) -> Machine:
    """Measure the host, in under thirty seconds, and keep what was found.

    Args:
        usd_per_hour: what it costs; None: as the kept profile says, if it does and is of this
            machine.
        watts: what it draws idle and busy; None: as given before, or measured or estimated.
        minutes: of measuring kernels instead: for a machine that is no two of them alike.

    Raises:
        MachineError: a price or watts that make no sense.
        ToolchainError: the probes are not built yet and there is no compiler.
    """
    from foreknown.report.calibration import first_touch_gb_s, measure_kernels
    from foreknown.targets.cpu.barrier import barrier_us
    from foreknown.targets.cpu.tools import f32_gflop_s, int8_gop_s, read_gb_s

    try:
        kept = _kept(threads)
    except MachineError as error:
        kept = None
        _tell(
            f"the kept profile is replaced: {error.what} ({error.where}); a price or watts that it "
            "had are not taken over: --usd-per-hour and --watts give them"
        )
    power = None
    if watts is not None:  # refused before anything is measured
        check_watts(*watts)
        power = Watts(*watts, BY_HAND)
    elif kept is not None and kept.watts_from == BY_HAND:
        power = Watts(kept.idle_watts, kept.busy_watts, BY_HAND)
    if usd_per_hour is None:
        usd_per_hour = kept.usd_per_hour if kept is not None else 0.0
    check_price(usd_per_hour)
    bounds = measure(Probes(read_gb_s, f32_gflop_s, int8_gop_s, barrier_us), threads)
    kernels, noise, quiet = measure_kernels(threads, progress, minutes)
    if power is None:
        power = measured_watts(lambda seconds: f32_gflop_s(threads, seconds)) or estimated_watts(
            processor_name(), threads
        )
    machine = replace(
        bounds,
        first_touch_gb_s=first_touch_gb_s(),
        kernels=kernels,
        quiet=quiet,
        noise=round(noise, 4),
        idle_watts=power.idle,
        busy_watts=power.busy,
        watts_from=power.source,
        usd_per_hour=usd_per_hour,
        features=_features(),
        date=datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
    )
    write_machine(machine, profile_path(threads))
    return machine


def _differences(machine: Machine, threads: int) -> list[str]:
    """What tells a profile's machine from the host, for people."""
    found = []
    for what, its, ours in (
        ("the processor is", machine.name, processor_name()),
        ("its features are", " ".join(machine.features), " ".join(_features())),
        ("its threads are", str(machine.threads), str(threads)),
    ):
        if its != ours:
            found.append(f"{what} {_printable(its) or 'none'}, here {ours or 'none'}")
    return found


def _printable(text: str) -> str:
    """What a file says, fit for a message."""
    return "".join(c if c.isprintable() else " " for c in text[:LONGEST_TOLD])


def _features() -> tuple[str, ...]:
    """Features of the host by which code is chosen."""
    told = {feature for target in TARGETS.values() for feature in target.needs}
    return tuple(sorted(told & host_features()))


def _clock_ghz() -> float:
    """The processor's clock as the system tells it; 0 if it does not."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("cpu MHz"):
                return float(line.split(":", 1)[1]) / 1e3
    return 0.0


def _last_cache_bytes() -> int:
    """The largest cache as the system tells it; 0 if it does not."""
    units = {"K": 1 << 10, "M": 1 << 20}
    sizes = [0]
    for file in CACHES.glob("index*/size"):
        with suppress(OSError, ValueError, KeyError):
            text = file.read_text().strip()
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes)
