"""A request's part of a machine is no more than the machine, and goes with its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.plan.price import StepPrice, decode_shape, prompt_shape
from foreknown.server.shares import Share, share
from tests.machine.random_machines import random_machine
from tests.plan.test_price import costs

PRICE = StepPrice(costs(), random_machine(2))
LENGTHS = 40, 20


def of(company: int = 0, *lengths: int, **more: Any) -> Share:
    n_prompt, n_output = lengths or LENGTHS
    return share(PRICE, n_prompt, n_output, company, max_tokens=32, max_rows=16, **more)


def test_whoever_is_alone_pays_for_all_of_it() -> None:
    first = PRICE.seconds(prompt_shape(0, 32)) + PRICE.seconds(prompt_shape(32, 40, 1))
    later = 19 * PRICE.seconds(decode_shape(1, 50))
    assert of().busy_s == pytest.approx(first + later)
    machine = PRICE.machine
    assert of().joules == pytest.approx(machine.busy_watts * of().busy_s)
    assert of().usd == pytest.approx(machine.usd_per_hour * of().busy_s / 3600)
    assert of(0, 40, 1).busy_s == pytest.approx(first)


@given(st.integers(1, 16))
def test_samples_have_one_prompt_and_share_their_steps(samples: int) -> None:
    """The machine takes so long for all of them, and draws no more meanwhile."""
    steps = 19 * PRICE.seconds(decode_shape(samples, 50))
    assert of(samples=samples).busy_s == pytest.approx(of(0, 40, 1).busy_s + steps)


@given(st.integers(0, 40), st.integers(1, 40))
def test_all_who_decode_pay_for_a_step_together(company: int, samples: int) -> None:
    batch = min(company + samples, 16)
    told = of(company, samples=samples).busy_s - of(0, 40, 1).busy_s
    assert told / samples * batch == pytest.approx(19 * PRICE.seconds(decode_shape(batch, 50)))


@given(st.floats(0.5, 30))
def test_a_slow_machine_draws_for_longer(slower: float) -> None:
    assert of(slower=slower).joules == pytest.approx(slower * of().joules)
    assert of(slower=slower).usd == pytest.approx(slower * of().usd)


def test_nothing_is_paid_where_nobody_said_what_it_costs() -> None:
    free = StepPrice(costs(), replace(PRICE.machine, usd_per_hour=0.0))
    assert share(free, 40, 20, 0, max_tokens=32, max_rows=16).usd == 0.0
