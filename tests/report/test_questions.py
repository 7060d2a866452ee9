"""Answers are what trying everything would give, and say what was tried."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.build import Options
from foreknown.artifact.planned import PlannedModel, Planner, planned_artifact
from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.report.forecast import Case, forecast
from foreknown.report.questions import (
    EXACTNESS,
    Wish,
    cheapest_weights,
    largest_batch,
    longest_context,
)
from tests.report.machines import MACHINE

ENOUGH = 1 << 40


@pytest.fixture(scope="module")
def model(tiny_artifact: Path) -> PlannedModel:
    return planned_artifact(open_artifact(tiny_artifact))


@pytest.fixture(scope="module")
def formats(tiny_checkpoint: Path) -> list[PlannedModel]:
    """The same model in every format."""
    planner = Planner(tiny_checkpoint)
    return [planner.planned(Options(weights=weights, context=128)) for weights in EXACTNESS]


def test_the_largest_batch(model: PlannedModel) -> None:
    case = Case(random.randint(1, 30), random.randint(2, 10))
    most = min(model.sizes.max_rows, model.sizes.max_tokens)
    all_of_them = [forecast(model, MACHINE, replace(case, batch=n)) for n in range(1, most + 1)]
    wanted = random.choice(all_of_them)
    wish = Wish(Objective(deadline_ms=wanted.total_ms), ENOUGH)
    answer = largest_batch(model, MACHINE, case, wish)
    assert answer.value == max(t.case.batch for t in all_of_them if wish.is_met(t))
    assert answer.best in answer.tried
    batches = [told.case.batch for told in answer.tried]
    assert batches == sorted(set(batches))


def test_a_batch_has_to_fit(model: PlannedModel) -> None:
    case, slow = Case(100, 20), Objective(deadline_ms=1e6)
    some = forecast(model, MACHINE, replace(case, batch=5)).memory.total
    assert largest_batch(model, MACHINE, case, Wish(slow, some)).value == 5
    assert largest_batch(model, MACHINE, case, Wish(slow, some - 1)).value < 5


def test_what_nothing_keeps(model: PlannedModel) -> None:
    answer = largest_batch(model, MACHINE, Case(20, 4), Wish(Objective(ttft_ms=1e-6), ENOUGH))
    assert answer.value is None
    assert answer.nearest.case.batch == 1
    record = answer.record()
    assert record["answer"] is None
    assert record["forecast"] is None
    assert record["nearest"]["case"]["batch"] == 1
    with pytest.raises(RequestError, match="no batch keeps first token in") as caught:
        answer.require()
    assert "batch 1" in caught.value.remedy


def test_nothing_fits_into_no_memory(model: PlannedModel) -> None:
    answer = largest_batch(model, MACHINE, Case(20, 4), Wish(Objective(ttft_ms=1e4), 0))
    assert answer.value is None
    with pytest.raises(RequestError, match=r"no batch keeps first token in .*, 0 B of memory"):
        answer.require()


def test_the_longest_context_of_an_artifact(tiny_artifact: Path, model: PlannedModel) -> None:
    planner, case = Planner(tiny_artifact), Case(1, 10)
    answer = longest_context(planner, Options(), MACHINE, case, Wish(None, ENOUGH))
    assert answer.value == model.sizes.context
    within = forecast(model, MACHINE, Case(40, 10)).ttft_ms
    wish = Wish(Objective(ttft_ms=within), ENOUGH)
    assert longest_context(planner, Options(), MACHINE, case, wish).value == 48
    with pytest.raises(RequestError, match="leave no room"):
        longest_context(planner, Options(), MACHINE, Case(1, 128), Wish(None, ENOUGH))


def test_the_longest_context_goes_by_memory(tiny_checkpoint: Path) -> None:
    planner, case = Planner(tiny_checkpoint), Case(1, 10, batch=3)
    exact = planner.planned(Options(context=64)).memory(MACHINE.threads, sequences=3).total
    answer = longest_context(planner, Options(), MACHINE, case, Wish(None, exact))
    assert answer.value == 64
    assert answer.best is not None
    assert answer.best.memory.total == exact


def test_the_cheapest_weights(formats: list[PlannedModel]) -> None:
    case = Case(20, 20)
    told = {model.weights: forecast(model, MACHINE, case) for model in formats}
    slowest = max(told.values(), key=lambda one: one.total_ms)
    for wanted in told.values():
        wish = Wish(Objective(deadline_ms=wanted.total_ms), ENOUGH)
        answer = cheapest_weights(formats, MACHINE, case, wish)
        met = [one for one in told.values() if one.total_ms <= wanted.total_ms]
        assert answer.best is not None
        assert answer.best.usd == min(one.usd for one in met)
        exact = min((one.model.weights for one in met), key=EXACTNESS.index)
        assert answer.others["most_exact"].model.weights == exact
        assert answer.record()["most_exact"] == exact
        assert len(answer.tried) == len(formats)
    few = Wish(Objective(deadline_ms=slowest.total_ms), told["int4"].memory.total)
    assert cheapest_weights(formats, MACHINE, case, few).value == "int4"
