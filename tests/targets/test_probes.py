"""Calibration's probes are plans like any other, small enough for a last cache."""

from __future__ import annotations

import pytest

from foreknown.machine.kernels import Attention, Kernel, Product, Rows
from foreknown.plan.costs import phase_kernels
from foreknown.targets.cpu.barrier import barrier_us
from foreknown.targets.cpu.probes import MAX_TOKENS, PROBES, Probe, probe_plan

MOST_BYTES = 11.5 * 2**20
"""Beside 4 KiB pages of state, what a cache of 16 MiB holds in spite of neighbours."""


def kernels(probe: Probe) -> list[Kernel]:
    plan = probe_plan(probe)
    return [k for phase in plan.phases for k in phase_kernels(phase, plan.constants)]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.format)
def test_a_probe_has_its_formats_and_a_size_that_can_be_cached(probe: Probe) -> None:
    own, plan = kernels(probe), probe_plan(probe)
    assert {k.weights for k in own if isinstance(k, Product)} == {probe.format}
    assert {k.kept for k in own if isinstance(k, Attention)} == {probe.state}
    assert plan.limits.max_tokens == MAX_TOKENS
    assert plan.weights_bytes <= MOST_BYTES
    assert min(k.groups for k in own if isinstance(k, Attention)) >= 2  # lone tokens run alone


def test_probes_have_between_them_all_that_is_fitted() -> None:
    every = [k for probe in PROBES for k in kernels(probe)]
    products = {k.weights for k in every if isinstance(k, Product)}
    assert products == {"f32", "bf16", "int8/32", "int8/64", "int4/32", "int4/64"}
    for kept in ("f32", "bf16", "int8"):
        shared = {k.heads // k.groups for k in every if isinstance(k, Attention) and k.kept == kept}
        assert len(shared) >= 3
    kinds = {kind for k in every if isinstance(k, Rows) for kind, _ in k.counts}
    assert kinds >= {"cheap", "function", "reduced", "quantised", "stored", "kilobytes"}


@pytest.mark.parametrize("threads", [1, 2])
def test_meetings_take_time_where_there_is_somebody_to_meet(threads: int) -> None:
    assert (barrier_us(threads) > 0) == (threads > 1)
