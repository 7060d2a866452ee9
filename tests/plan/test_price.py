"""The price of a step: its parts add up, more takes longer, and what nobody measured has bounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.machine.kernels import Kernel
from foreknown.passes.pipeline import Formats, lower
from foreknown.plan.costs import Cost, phase_cost, phase_kernels
from foreknown.plan.plan import Limits, make_plan
from foreknown.plan.price import (
    UNMEASURED_MARGIN,
    StepCosts,
    StepPrice,
    StepShape,
    decode_shape,
    prompt_shape,
)
from tests.decoders import decoder
from tests.machine.random_machines import random_kernels, random_machine

shapes = st.builds(
    lambda tokens, rows, context, shared: StepShape(
        tokens, min(rows, tokens), float(tokens * context), float(context * shared)
    ),
    st.integers(1, 512),
    st.integers(0, 64),
    st.integers(1, 4096),
    st.integers(1, 16),
)


@dataclass(frozen=True)
class Priced:
    """A phase as an artifact records it."""

    stage: int
    kind: str
    function: str
    rows: str
    cost: Cost
    kernels: tuple[Kernel, ...]


@cache
def costs(layers: str = "amwer", weights: str = "int4") -> StepCosts:
    """A small decoder's, with every kind of layer."""
    formats = Formats(weights, "int8" if weights == "int4" else "f32")
    plan = make_plan(lower(decoder(layers, wide=True), 128, formats), Limits(128))
    phases = [
        Priced(
            phase.stage,
            phase.kind,
            f"{phase.kind}_{i}",
            phase.rows.value,
            phase_cost(phase, plan.constants),
            phase_kernels(phase, plan.constants),
        )
        for i, phase in enumerate(plan.phases)
    ]
    return StepCosts(phases, plan.weights_bytes)


@given(st.integers(0, 20), shapes, st.sampled_from(["int4", "as stored"]), st.integers(1, 3))
def test_phases_and_the_engine_add_up(
    seed: int, shape: StepShape, weights: str, threads: int
) -> None:
    price = StepPrice(costs(weights=weights), random_machine(seed, threads))
    parts = sum(price.phase_seconds(shape)) + price.engine_seconds(shape)
    assert price.seconds(shape) == pytest.approx(parts, rel=1e-9)


@given(shapes)
def test_on_bounds_alone_they_add_up_too(shape: StepShape) -> None:
    machine = replace(random_machine(0), kernels=None)
    price = StepPrice(costs(), machine)
    parts = sum(price.phase_seconds(shape)) + price.engine_seconds(shape)
    assert price.seconds(shape) == pytest.approx(parts, rel=1e-9)


@given(st.integers(0, 20), shapes, st.floats(1, 1e5), st.floats(1, 1e5))
def test_looking_further_back_takes_longer(
    seed: int, shape: StepShape, attended: float, kept: float
) -> None:
    price = StepPrice(costs(), random_machine(seed))
    more = shape._replace(attended=shape.attended + attended, kept=shape.kept + kept)
    assert price.seconds(more) >= price.seconds(shape) > 0


@given(st.integers(0, 20), st.integers(1, 16))
def test_a_window_is_never_looked_past(seed: int, batch: int) -> None:
    price = StepPrice(costs("w", "as stored"), random_machine(seed))
    window, far = (price.seconds(decode_shape(batch, context)) for context in (9, 4000))
    # only what is read in all grows, and with it the share that comes from memory
    assert far >= window
    kernels = replace(random_kernels(seed), streamed_shares=((1, 1.0),))
    machine = replace(random_machine(seed), kernels=kernels)
    cold = StepPrice(costs("w", "as stored"), machine)
    assert cold.seconds(decode_shape(batch, 9)) == cold.seconds(decode_shape(batch, 4000))


def test_a_second_price_is_as_good_as_the_first() -> None:
    price, fresh = (StepPrice(costs(), random_machine(4)) for _ in range(2))
    for shape in (decode_shape(3, 40), prompt_shape(0, 100, 1), decode_shape(3, 900)):
        assert price.seconds(shape) == price.seconds(shape) == fresh.seconds(shape)


def test_the_vocabulary_and_the_kept_bytes_are_the_plan_s() -> None:
    own = costs("aw", "as stored")
    assert own.vocabulary == 67
    assert own.fewest_groups == 2
    assert own.kept_bytes == own.total.bytes.per_context + 2 * 2 * 32 * 4  # a window's as well


def test_what_binds_a_step() -> None:
    slow_memory = replace(random_machine(1), kernels=None, read_gb_s=((1, 0.001),))
    bound = StepPrice(costs("am"), slow_memory).bound_by(decode_shape(1, 10))
    assert bound.startswith("bandwidth: linear_")
    slow_sums = replace(
        random_machine(1), kernels=None, read_gb_s=((1, 1e6),), int8_gop_s=1e-3, barrier_us=0.0
    )
    bound = StepPrice(costs("am"), slow_sums).bound_by(prompt_shape(0, 64, 1))
    assert bound.startswith("arithmetic: linear_")
    slow_threads = replace(slow_sums, int8_gop_s=1e9, f32_gflop_s=1e9, barrier_us=100.0)
    assert StepPrice(costs("am"), slow_threads).bound_by(decode_shape(2, 9)) == "threads meeting"


@given(st.integers(0, 20), shapes)
def test_what_calibration_does_not_measure_is_told_apart(seed: int, shape: StepShape) -> None:
    price = StepPrice(costs(), random_machine(seed))
    found = price.estimated_seconds(shape)
    phases = zip(price.costs.phases, price.phase_seconds(shape), strict=True)
    assert found == {"scan": pytest.approx(sum(s for p, s in phases if p.kind == "scan"))}
    assert StepPrice(costs("am"), random_machine(seed)).estimated_seconds(shape) == {}
    bare = replace(random_machine(seed), kernels=None)
    assert StepPrice(costs(), bare).estimated_seconds(shape) == {}


@given(st.integers(0, 20), st.floats(0.01, 3))
def test_promises_add_more_where_little_was_measured(seed: int, noise: float) -> None:
    machine = replace(random_machine(seed), noise=noise)
    measured, partly = (StepPrice(costs(*which), machine).margin for which in (("am",), ()))
    assert measured == machine.margin
    assert measured <= partly <= max(UNMEASURED_MARGIN, measured)
    assert (partly > measured) == (measured < UNMEASURED_MARGIN)


def test_first_touch_takes_the_time_of_new_pages() -> None:
    price = StepPrice(costs(), replace(random_machine(1), first_touch_gb_s=2.0))
    assert price.first_touch_seconds(1e9) == pytest.approx(0.5)
