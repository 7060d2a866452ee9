"""Forecasts are the scheduler's own steps, each at the plan's price."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.loading import load_program
from foreknown.artifact.planned import PlannedModel, planned_artifact
from foreknown.errors import RequestError
from foreknown.plan.price import decode_shape, prompt_shape
from foreknown.report.forecast import (
    Case,
    Forecast,
    forecast,
    sequences_for,
    step_price,
)
from tests.report.machines import DOCUMENTED, MACHINE


@pytest.fixture(scope="module")
def model(tiny_artifact: Path) -> PlannedModel:
    """128 tokens of context, of one layer."""
    return planned_artifact(open_artifact(tiny_artifact))


@pytest.fixture
def case() -> Case:
    chosen = random.Random()
    return Case(chosen.randint(1, 60), chosen.randint(2, 60), chosen.randint(1, 8))


def of(model: PlannedModel, case: Case) -> Forecast:
    return forecast(model, MACHINE, case)


def test_one_request_is_a_prompt_and_its_tokens(model: PlannedModel) -> None:
    price, told = step_price(model, MACHINE), of(model, Case(10, 20))
    first = price.seconds(prompt_shape(0, 10, 1))
    later = sum(price.seconds(decode_shape(1, 10 + n)) for n in range(1, 20))
    assert told.ttft_ms == pytest.approx(1e3 * first, rel=1e-3)
    assert told.total_ms == pytest.approx(1e3 * (first + later), rel=1e-3)
    assert told.tpot_ms == pytest.approx(1e3 * later / 19, rel=1e-3)
    assert told.decode_tok_s == pytest.approx(19 / later, rel=1e-3)


def test_figures_hang_together(model: PlannedModel, case: Case) -> None:
    told = of(model, case)
    assert told.tpot_ms is not None
    assert 0 < told.ttft_ms < told.total_ms
    assert told.low_ms < told.total_ms < told.high_ms
    assert told.tok_s * told.total_ms / 1e3 == pytest.approx(case.batch * case.output_tokens)
    assert told.joules * case.batch <= MACHINE.busy_watts * told.total_ms / 1e3 * 1.001
    assert told.usd * case.batch == pytest.approx(
        MACHINE.usd_per_hour * told.total_ms / 3.6e6, rel=1e-6
    )
    contexts = [context for context, _ in told.tpot_by_context]
    assert contexts[0] == case.prompt_tokens + 1
    assert contexts[-1] == case.tokens
    assert [ms for _, ms in told.tpot_by_context] == sorted(ms for _, ms in told.tpot_by_context)


def test_more_takes_longer(model: PlannedModel, case: Case) -> None:
    least = of(model, case)
    assert of(model, replace(case, prompt_tokens=case.prompt_tokens + 4)).ttft_ms > least.ttft_ms
    assert of(model, replace(case, output_tokens=case.output_tokens + 1)).total_ms > least.total_ms
    assert of(model, replace(case, batch=case.batch + 1)).total_ms > least.total_ms


def test_a_single_token_has_no_pace(model: PlannedModel) -> None:
    told = of(model, Case(10, 1))
    assert told.tpot_ms is None
    assert told.total_ms == told.ttft_ms
    assert told.record()["tpot_ms"] is None
    assert told.decode_tok_s > 0


def test_memory_is_that_of_a_program_loaded_for_the_case(
    model: PlannedModel, case: Case, tiny_artifact: Path
) -> None:
    sequences = sequences_for(model, case)
    blocks = case.batch * -(-case.tokens // 16)
    assert (sequences - 1) * model.blocks < blocks <= sequences * model.blocks
    loaded = load_program(
        open_artifact(tiny_artifact), sequences=sequences, n_threads=MACHINE.threads
    )
    with loaded.program:
        assert of(model, case).memory == loaded.memory


def test_nothing_is_told_of_what_cannot_be(model: PlannedModel) -> None:
    with pytest.raises(RequestError, match="more than the context of 128 holds") as caught:
        of(model, Case(100, 29))
    assert caught.value.too_long
    assert of(model, Case(100, 28)).total_ms > 0
    most = min(model.sizes.max_rows, model.sizes.max_tokens)
    with pytest.raises(RequestError, match=f"more than the {most} sequences"):
        of(model, Case(1, 1, most + 1))


def test_the_record(model: PlannedModel, case: Case) -> None:
    record = of(model, case).record()
    assert set(record) >= DOCUMENTED
    memory = record["memory_bytes"]
    assert memory["total"] == memory["weights"] + memory["state"] + memory["scratch"]
    assert record["interval"]["low_ms"] <= record["total_ms"] <= record["interval"]["high_ms"]
    assert record["provenance"]["model"] == "the artifact's plan"
