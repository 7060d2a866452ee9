"""An estimate is marked as one, and grows with what the processor has."""

from __future__ import annotations

import pytest

from foreknown.machine.estimate import estimated_machine

NARROW, WIDE = ("avx2", "fma"), ("avx2", "fma", "avx512f", "avx512_vnni")


def test_it_is_marked() -> None:
    machine = estimated_machine("a processor", 4, NARROW)
    assert machine.estimated
    assert machine.kernels is None
    assert machine.noise >= 0.3
    assert machine.watts_from.startswith("estimate")
    assert machine.features == ("avx2", "fma")


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_wider_and_faster_processors_do_more(threads: int) -> None:
    base = estimated_machine("p", threads, NARROW, ghz=2.0, cache_bytes=32 << 20)
    wide = estimated_machine("p", threads, WIDE, ghz=2.0, cache_bytes=32 << 20)
    fast = estimated_machine("p", threads, NARROW, ghz=4.0, cache_bytes=32 << 20)
    assert wide.f32_gflop_s == 2 * base.f32_gflop_s
    assert wide.int8_gop_s > 2 * base.int8_gop_s
    assert fast.int8_gop_s == 2 * base.int8_gop_s
    assert base.bandwidth_gb_s(1 << 20) > base.bandwidth_gb_s(1 << 30) > 0
    assert base.barrier_us == (0.0 if threads == 1 else 1.0)
