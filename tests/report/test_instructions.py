"""Code for another instruction set is no faster than measured, and said to be an estimate."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from foreknown.artifact import open_artifact
from foreknown.artifact.planned import PlannedModel, planned_artifact
from foreknown.errors import MachineError
from foreknown.plan.price import StepPrice, StepShape, decode_shape, prompt_shape
from foreknown.report.forecast import Case, forecast, step_price
from foreknown.report.host import estimated_host
from foreknown.report.instructions import OtherInstructions, host_for, machine_for
from foreknown.report.provenance import machine_origin
from foreknown.targets.cpu.toolchain import TARGETS, can_run, find_target
from tests.machine.random_machines import random_machine
from tests.plan.test_price import costs, shapes

FOREIGN = "x86-64-v3" if platform.machine() == "aarch64" else "aarch64"


@pytest.fixture(scope="module")
def lesser() -> str:
    """An instruction set that this machine runs and that is not its own."""
    found = [t.name for t in TARGETS.values() if can_run(t) and t != find_target("host")]
    if not found:
        pytest.skip("this machine runs no instruction set but its own")
    return found[0]


@pytest.fixture(scope="module")
def model(tiny_artifact: Path) -> PlannedModel:
    return planned_artifact(open_artifact(tiny_artifact))


def test_its_own_instructions_are_as_measured() -> None:
    machine = random_machine(0)
    for name in ("host", find_target("host").name):
        assert machine_for(name, machine) is machine


@given(shapes)
def test_others_take_no_less(lesser: str, shape: StepShape) -> None:
    for weights in ("int4", "as stored"):
        for machine in (random_machine(3), replace(random_machine(3), kernels=None)):
            own = StepPrice(costs(weights=weights), machine)
            other = StepPrice(costs(weights=weights), machine_for(lesser, machine))
            assert other.seconds(shape) >= own.seconds(shape) * (1 - 1e-9)


def test_what_computes_takes_longer_by_its_arithmetic(lesser: str) -> None:
    machine = random_machine(3)
    other = machine_for(lesser, machine)
    assert other.f32_gflop_s <= machine.f32_gflop_s
    assert other.int8_gop_s < machine.int8_gop_s
    own = StepPrice(costs(), machine)
    prompt = prompt_shape(0, 512, 1)
    took = StepPrice(costs(), other).seconds(prompt)
    assert took >= own.costs.work(prompt).int8_ops / other.int8_gop_s / 1e9
    # many threads' worth of memory: one token waits for its weights, whatever the instructions
    slow_memory = replace(machine, kernels=None, read_gb_s=((1 << 10, 0.01),))
    token = decode_shape(1, 10)
    prices = [StepPrice(costs(), m) for m in (slow_memory, machine_for(lesser, slow_memory))]
    assert prices[1].seconds(token) == pytest.approx(prices[0].seconds(token), rel=1e-2)


def test_they_are_an_estimate_and_say_so(lesser: str) -> None:
    machine = random_machine(0)
    other = machine_for(lesser, machine)
    assert isinstance(other, OtherInstructions)
    assert (other.estimated, other.instructions) == (True, lesser)
    assert other.noise > machine.noise
    assert other.busy_watts == machine.busy_watts
    assert other.name == f"{machine.name} as {lesser}"
    origin = machine_origin(other)
    assert f"estimate for {lesser}" in origin
    assert "measured by" not in origin
    assert machine_for(lesser, other) is other


def test_of_a_machine_that_was_never_calibrated_too(lesser: str) -> None:
    machine = estimated_host(2)
    other = machine_for(lesser, machine)
    assert other.int8_gop_s < machine.int8_gop_s
    assert f"estimate for {lesser}" in machine_origin(other)


def test_a_forecast_is_of_the_model_s_instructions(lesser: str, model: PlannedModel) -> None:
    case, machine = Case(20, 10), random_machine(1)
    own = forecast(model, machine, case)
    other = forecast(replace(model, target=lesser), machine, case)
    assert own.machine is machine
    assert other.total_ms >= own.total_ms
    record = other.record()
    assert record["machine"].endswith(f" as {lesser}")
    assert f"estimate for {lesser}" in record["provenance"]["machine"]
    assert f"estimate for {lesser}" in other.short_record()["basis"]
    assert record["interval"]["high_ms"] >= 1.49 * record["total_ms"]


def test_what_this_machine_cannot_run_has_no_time(model: PlannedModel) -> None:
    with pytest.raises(MachineError, match=f"lacks instructions of {FOREIGN}") as caught:
        step_price(replace(model, target=FOREIGN), random_machine(0))
    assert caught.value.where == model.name
    assert caught.value.remedy
    assert host_for(FOREIGN, 2) is None
    assert host_for("host", 2) is not None
