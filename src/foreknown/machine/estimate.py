"""A machine that nobody measured, as its features let expect it: a bound to be checked.

Widths of vectors and what processors of the last years reach of them. Nothing here is tuned to a
machine; `foreknown calibrate` replaces all of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from foreknown.machine.machine import Machine
from foreknown.machine.watts import estimated_watts

DEFAULT_GHZ = 2.5
REACHED = 0.5
"""Of the peak: what generated code comes to, all in all."""
CACHE_GB_S, MEMORY_GB_S, MOST_MEMORY_GB_S = 40.0, 12.0, 150.0
"""Of one thread from the last cache and from memory; of all threads from memory at most."""
CACHE_BYTES = 8 << 20
BARRIER_US = 1.0


def estimated_machine(
    name: str, threads: int, features: Iterable[str], ghz: float = 0.0, cache_bytes: int = 0
) -> Machine:
    """What so many threads of a processor with these features should do.

    Args:
        ghz: its clock; 0: not known.
        cache_bytes: its last cache; 0: not known.
    """
    known = frozenset(features)
    lanes, dots = 4, 16
    if "avx2" in known:
        lanes, dots = 8, 32
    if "avx512f" in known:
        lanes, dots = 16, 64
    if {"avx512_vnni", "asimddp"} & known:
        dots = 4 * dots
    a_second = (ghz or DEFAULT_GHZ) * threads * REACHED
    cache = cache_bytes or CACHE_BYTES
    memory = min(MEMORY_GB_S * threads, max(MOST_MEMORY_GB_S, MEMORY_GB_S))
    watts = estimated_watts(name, threads)
    return Machine(
        name=name,
        threads=threads,
        read_gb_s=((cache // 2, CACHE_GB_S * threads), (4 * cache, memory)),
        f32_gflop_s=a_second * lanes * 4,
        int8_gop_s=a_second * dots * 2,
        barrier_us=BARRIER_US if threads > 1 else 0.0,
        estimated=True,
        quiet=True,
        noise=0.5,
        idle_watts=watts.idle,
        busy_watts=watts.busy,
        watts_from=watts.source,
        features=tuple(sorted(known)),
    )
