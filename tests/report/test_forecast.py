"""Forecasts are the plan's costs on a machine, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.machine import Machine
from foreknown.plan.price import StepPrice, StepShape, decode_shape, prompt_shape
from foreknown.report.forecast import forecast, prompt_steps, step_costs, step_price, step_seconds

MACHINE = Machine("a machine", 2, ((1 << 20, 50.0),), 100.0, 400.0, 2.0)


def test_a_prompt_is_cut_as_the_engine_cuts_it() -> None:
    assert prompt_steps(5, 8) == [StepShape(5, 1, 15.0, 5)]
    assert prompt_steps(10, 4) == [
        StepShape(4, 0, 10.0, 4),
        StepShape(4, 0, 26.0, 8),
        StepShape(2, 1, 19.0, 10),
    ]


def test_the_parts_of_a_step_add_up(tiny_artifact: Path) -> None:
    costs, step = step_costs(open_artifact(tiny_artifact)), StepShape(4, 1, 64, 16)
    works = costs.works(step)
    assert sum(work.bytes for work in works) == pytest.approx(costs.bytes(step))
    assert sum(work.flops for work in works) == pytest.approx(costs.work(step).flops)
    least = max(costs.bytes(step) / 50e9, costs.work(step).flops / 100e9)
    assert StepPrice(costs, MACHINE).seconds(step) >= least + costs.stages * 2e-6


def test_a_lone_token_meets_only_where_something_is_shared_out(tiny_artifact: Path) -> None:
    costs = step_costs(open_artifact(tiny_artifact))
    assert costs.meetings(decode_shape(2, 16)) == costs.stages
    assert costs.meetings(decode_shape(1, 16)) == costs.shared_stages < costs.stages


def test_a_request(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    price = step_price(artifact, MACHINE)
    told = forecast(artifact, MACHINE, prompt_tokens=10, output_tokens=20)
    assert told.first_token_ms == pytest.approx(1e3 * price.seconds(prompt_shape(0, 10, 1)))
    assert told.decode_tok_s == pytest.approx(1 / price.seconds(decode_shape(1, (11 + 30) / 2)))
    assert told.memory.weights == artifact.manifest.weights_bytes


def test_longer_takes_longer(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    short = forecast(artifact, MACHINE, prompt_tokens=10, output_tokens=10)
    long = forecast(artifact, MACHINE, prompt_tokens=100, output_tokens=10)
    assert long.first_token_ms > short.first_token_ms
    assert long.decode_tok_s < short.decode_tok_s


def test_steps_are_told_at_half_of_the_context(tiny_artifact: Path) -> None:
    artifact = open_artifact(tiny_artifact)
    told, half = step_seconds(artifact, MACHINE), artifact.manifest.sizes.context / 2
    for tokens, rows in ((1, 1), (4, 4), (20, 3)):
        shape = StepShape(tokens, rows, tokens * half, rows * half)
        assert told(tokens, rows) == step_price(artifact, MACHINE).seconds(shape)
