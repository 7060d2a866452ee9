"""Forecasts are the scheduler's own steps, each at the plan's price."""

from __future__ import annotations

import random
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from foreknown.artifact import open_artifact
from foreknown.artifact.loading import load_program
from foreknown.artifact.planned import PlannedModel, planned_artifact
from foreknown.errors import RequestError
from foreknown.plan.price import StepPrice, decode_shape, prompt_shape
from foreknown.report.forecast import (
    Case,
    Forecast,
    forecast,
    sequences_for,
    step_price,
)
from foreknown.report.forecast_tables import print_forecast, print_grid
from tests.machine.random_machines import random_machine
from tests.plan.test_price import costs
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
    """But for batches of two tokens each: of 32,000 pairs of cases six of these took less for more,
    as schedules may (Graham's anomalies)."""
    if case.batch > 1:
        case = replace(case, output_tokens=max(case.output_tokens, 3))
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


def test_what_a_model_cannot_hold_is_no_matter_of_the_compile(model: PlannedModel) -> None:
    too_long = Case(100, 29)
    with pytest.raises(RequestError) as caught:
        of(model, too_long)
    assert (
        caught.value.remedy == "ask for fewer: 128 tokens are the most that the model itself holds"
    )
    with pytest.raises(RequestError) as caught:
        of(replace(model, longest=None), too_long)
    assert "compile with a longer --context" in caught.value.remedy
    with pytest.raises(RequestError) as caught:
        of(replace(model, longest=4096, made_from="config"), too_long)
    assert "give a longer --context" in caught.value.remedy


def test_what_was_not_measured_has_its_share_of_the_time(model: PlannedModel, case: Case) -> None:
    machine = random_machine(1)
    price = StepPrice(costs("amr"), machine)
    told = forecast(model, machine, case, price)
    ((kind, share),) = told.estimated
    assert kind == "scan"
    assert 0 < share < 1
    assert told.record()["estimated_share"] == {"scan": pytest.approx(share, abs=1e-4)}
    much = replace(told, estimated=(("scan", 0.412),))
    assert much.provenance["machine"].endswith("; estimate: scan, 41 % of the time")
    assert told.noise == pytest.approx(0.07 + share * (0.5 - 0.07))
    assert told.high_ms == pytest.approx(told.total_ms * (1 + told.noise))
    all_measured = forecast(model, machine, case, StepPrice(costs("am"), machine))
    assert all_measured.estimated == ()
    assert all_measured.noise == machine.noise
    assert "estimate" not in all_measured.provenance["machine"]


def test_the_shares_are_those_of_the_steps(model: PlannedModel) -> None:
    machine, case = random_machine(2), Case(40, 20, batch=2)
    price = StepPrice(costs("amr"), machine)
    prompt, token = prompt_shape(0, 40), decode_shape(2, 50)
    scans = 2 * price.estimated_seconds(prompt)["scan"]
    scans += 19 * price.estimated_seconds(token)["scan"]
    whole = 2 * price.seconds(prompt) + 19 * price.seconds(token)
    assert dict(forecast(model, machine, case, price).estimated)["scan"] == pytest.approx(
        scans / whole
    )


def test_what_does_not_fit_says_so(model: PlannedModel, case: Case) -> None:
    needed = of(model, case).memory.total
    assert "fits" not in of(model, case).record()
    for room, fits in ((needed, True), (needed - 1, False)):
        told = forecast(model, MACHINE, case, room_bytes=room)
        record = told.record()
        assert (record["fits"], record["room_bytes"]) == (fits, room)
        assert told.total_ms == of(model, case).total_ms
        text = StringIO()
        print_forecast(told, None, text)
        print_grid([told, told], None, text)
        assert ("does not fit: there are" in text.getvalue()) != fits
        assert ("too much memory: 2 of 2 need more than" in text.getvalue()) != fits


def test_the_record(model: PlannedModel, case: Case) -> None:
    record = of(model, case).record()
    assert set(record) >= DOCUMENTED
    memory = record["memory_bytes"]
    assert memory["total"] == memory["weights"] + memory["state"] + memory["scratch"]
    assert record["interval"]["low_ms"] <= record["total_ms"] <= record["interval"]["high_ms"]
    assert record["provenance"]["model"] == "the artifact's plan"
