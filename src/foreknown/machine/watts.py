"""What a machine draws: measured by the processor's own counters, or from a table.

The counters are those of RAPL (Intel Software Developer's Manual, volume 3B, chapter 15.10), which
Linux shows under /sys/class/powercap. Where there are none, or they stand still, as in most
virtual machines, the processor's share follows from its family and its number of processors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
PLATFORM = "psys"
SECONDS_EACH = 1.0
FAMILIES = (
    (("EPYC",), 0.9, 2.2),
    (("Ryzen",), 1.2, 5.5),
    (("Xeon",), 1.1, 3.0),
    (("Core(TM)", "Core Ultra"), 0.8, 4.5),
    (("Neoverse", "Graviton", "Ampere"), 0.4, 1.4),
    (("Apple",), 0.2, 4.0),
)
"""Names of processors, and watts of one of their threads idle and busy: the makers' thermal design
power by threads (AMD EPYC 7763: 280 W, 128 threads; Ryzen 9 7950X: 170 W, 32; Intel Xeon 8380: 270
W, 80; Core i9-13900K: 125 to 253 W, 32; Ampere Altra Q80: 210 W, 80; Apple M2: 20 W, 8), with
memory and losses of its supply; idle about a third of that for servers, less for others."""
OTHERS = (1.0, 4.0)


@dataclass(frozen=True)
class Watts:
    """What is drawn idle and busy, and how that is known."""

    idle: float
    busy: float
    source: str


def measured_watts(
    work: Callable[[float], object], root: Path = POWERCAP, seconds: float = SECONDS_EACH
) -> Watts | None:
    """By the processor's counters, idle and then in `work(seconds)`; None where there are none."""
    counters = _counters(root)
    idle = _draw(counters, seconds, time.sleep)
    busy = _draw(counters, seconds, work) if idle else None
    if idle is None or busy is None or busy < idle:
        return None
    return Watts(idle, busy, "measured by the processor's counters (RAPL)")


def _counters(root: Path) -> list[Path]:
    """Of whole processors; of the platform, which contains them, only where there are none.

    Zones within others have a second number, as in intel-rapl:0:1, and count with them.
    """
    zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    platform = [zone for zone in zones if _zone_name(zone) == PLATFORM]
    processors = [zone for zone in zones if zone not in platform]
    return [zone / "energy_uj" for zone in processors or platform]


def _zone_name(zone: Path) -> str:
    try:
        return (zone / "name").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _draw(counters: list[Path], seconds: float, work: Callable[[float], object]) -> float | None:
    try:
        before, start = [int(c.read_text()) for c in counters], time.perf_counter()
        work(seconds)
        after, elapsed = [int(c.read_text()) for c in counters], time.perf_counter() - start
    except (OSError, ValueError):
        return None
    joules = [(b - a) / 1e6 for a, b in zip(before, after, strict=True)]
    # a counter that stands still is not one; one that ran over tells nothing
    if not joules or any(j < 0 for j in joules) or sum(joules) <= 0:
        return None
    return round(sum(joules) / elapsed, 2)


def estimated_watts(name: str, processors: int) -> Watts:
    """From a table, by the processor's name."""
    known = ((i, b) for names, i, b in FAMILIES if any(part in name for part in names))
    idle, busy = next(known, OTHERS)
    source = f"estimate: {busy:g} W for each of {processors} processors, {idle:g} idle"
    return Watts(round(idle * processors, 2), round(busy * processors, 2), source)
