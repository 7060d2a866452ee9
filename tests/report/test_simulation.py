"""A trace on the virtual clock: laws that every simulation keeps, whatever its prices."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from foreknown.artifact import open_artifact
from foreknown.artifact.planned import planned_artifact
from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.plan.price import StepShape
from foreknown.report.host import known_host
from foreknown.report.simulation import Served, Simulation, percentiles, served, simulate
from foreknown.report.trace_forms import TracedRequest
from foreknown.report.traces import Trace, read_trace
from foreknown.report.traffic import YEAR_S, Scale, traffic
from tests.report.served import round_served
from tests.report.traffic_forms import FORMS, Row, rows, written

SERVED = round_served()


def simulated(
    found: list[Row], scale: Scale | None = None, objective: Objective | None = None
) -> Simulation:
    requests = tuple(TracedRequest(ms * 1_000_000, n, m) for ms, n, m in found)
    trace = Trace("a trace", "plain", requests)
    return simulate(SERVED, traffic(trace, scale or Scale(), SERVED.longest, objective))


def figures(done: Simulation) -> dict[str, object]:
    return {name: value for name, value in done.record.items() if name != "wall_s"}


class Slow:
    """So many years a step."""

    def __init__(self, years: float) -> None:
        self._years = years

    def seconds(self, step: StepShape) -> float:
        return self._years * YEAR_S


@pytest.mark.parametrize("years", [5.0, 100.0, 1e6])
def test_traffic_that_a_virtual_clock_cannot_tell(years: float) -> None:
    trace = Trace("a trace", "plain", (TracedRequest(0, 5, 90), TracedRequest(7, 90, 90)) * 3)
    come = traffic(trace, Scale(), SERVED.longest)
    with pytest.raises(RequestError, match="a model needs more than 146 years on a machine"):
        simulate(replace(SERVED, price=Slow(years)), come)
    assert simulate(replace(SERVED, price=Slow(1e-3)), come).record["completed"] == 6


@settings(max_examples=20, deadline=None)
@given(found=rows)
def test_the_form_of_a_trace_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, found: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("traces")
    told = []
    for text in FORMS.values():
        come = traffic(read_trace(written(folder, text(found))), Scale(), SERVED.longest)
        told.append(figures(simulate(SERVED, come)))
    assert all(each == told[0] for each in told)


@settings(deadline=None)
@given(rows)
def test_all_are_answered_and_the_books_add_up(found: list[Row]) -> None:
    done = simulated(found)
    record, line = done.record, done.timeline
    assert record["requests"] == record["completed"] == len(found)
    assert record["promises"] == {"made": 0, "kept": 0, "refused": 0}
    for one in done.completed:
        assert one.arrival.time_ns < one.first_ns <= one.last_ns
        assert (one.first_ns == one.last_ns) == (one.arrival.n_output == 1)
    # an engine with work is never idle, and one without never busy
    busy = line.busy_shares(np.asarray([0.0, done.simulated_s]))[0]
    assert done.utilisation == pytest.approx(busy, rel=1e-6)
    busy_s = record["utilisation"] * done.simulated_s
    assert record["joules"] == pytest.approx(10 * done.simulated_s + 20 * busy_s, rel=1e-3)
    assert record["usd"] == pytest.approx(0.36 * done.simulated_s / 3600, abs=1e-6)
    assert record["output_tok_s"] * done.simulated_s == pytest.approx(
        sum(one.arrival.n_output for one in done.completed), rel=1e-3
    )
    for quantity in ("ttft_ms", "e2e_ms"):
        assert record[quantity]["p50"] <= record[quantity]["p90"] <= record[quantity]["p99"]


def test_a_slow_trace_takes_as_long_as_it_is_stretched() -> None:
    """With nobody beside anybody, answers take the same and the gaps between them all else."""
    chance = np.random.default_rng()
    gaps_ms = chance.integers(2000, 9000, 30)
    found = [(int(ms), int(chance.integers(1, 60)), 20) for ms in np.cumsum(gaps_ms) - gaps_ms[0]]
    done = {rate: simulated(found, Scale(rate)) for rate in (1.0, 0.5, 0.125)}
    answer_s = done[1].record["e2e_ms"]["p99"] / 1e3
    for rate, one in done.items():
        assert one.record["ttft_ms"] == done[1].record["ttft_ms"]
        assert one.record["e2e_ms"] == done[1].record["e2e_ms"]
        assert one.simulated_s * rate == pytest.approx(done[1].simulated_s, abs=answer_s)
        assert one.utilisation / rate == pytest.approx(done[1].utilisation, rel=0.01)


def test_a_slower_machine_is_a_slower_world_but_for_who_comes() -> None:
    """Twice as long is twice of everything where requests come half as fast; where they come as
    before, they queue."""
    chance = np.random.default_rng()
    requests = tuple(
        TracedRequest(int(ns), int(chance.integers(1, 60)), 20)
        for ns in np.cumsum(chance.integers(9_000_000, 15_000_000, 60))
    )

    def waited(served: Served, rate: float) -> dict[str, dict[str, float | None]]:
        trace = Trace("a trace", "plain", requests)
        return simulate(served, traffic(trace, Scale(rate), served.longest)).times_ms

    once, slower = waited(SERVED, 1.0), SERVED.slower(2.0)
    stretched, pressed = waited(slower, 0.5), waited(slower, 1.0)
    for quantity, told in once.items():
        for share, ms in told.items():
            assert ms is not None
            assert stretched[quantity][share] == pytest.approx(2 * ms, rel=0.001)
    longest, before = pressed["ttft_ms"]["p99"], once["ttft_ms"]["p99"]
    assert longest is not None
    assert before is not None
    assert longest > 4 * before


@settings(deadline=None)
@given(rows)
def test_nobody_is_promised_the_impossible(found: list[Row]) -> None:
    done = simulated(found, objective=Objective(deadline_ms=0.5))
    record = done.record
    assert record["promises"] == {"made": 0, "kept": 0, "refused": len(found)}
    assert (record["completed"], record["utilisation"]) == (0, 0)
    assert record["ttft_ms"] == {"p50": None, "p90": None, "p99": None}
    done.print("nothing", done, io.StringIO())


@settings(deadline=None)
@given(rows)
def test_everybody_is_promised_a_day(found: list[Row]) -> None:
    record = simulated(found, objective=Objective(deadline_ms=86_400_000)).record
    assert record["promises"] == {"made": len(found), "kept": len(found), "refused": 0}


@settings(max_examples=20, deadline=None)
@given(rows)
def test_all_that_is_promised_is_kept(found: list[Row]) -> None:
    promises = simulated(found, Scale(20), Objective(ttft_ms=60, tpot_ms=5)).record["promises"]
    assert promises["made"] == promises["kept"]
    assert promises["made"] + promises["refused"] == len(found)


def test_equal_prefixes_are_computed_once() -> None:
    spans, n = (1,), 160
    requests = tuple(TracedRequest(i * 10**9, n, 4, spans=spans) for i in range(4))
    apart = tuple(one._replace(spans=()) for one in requests)
    shared, alone = (
        simulate(SERVED, traffic(Trace("", "", r), Scale(), SERVED.longest))
        for r in (requests, apart)
    )
    assert alone.record["prefix_cache_share"] == 0
    assert shared.record["prefix_cache_share"] == pytest.approx(3 * (n - 16) / 4 / n, abs=0.03)
    assert shared.utilisation < alone.utilisation


def test_percentiles() -> None:
    values = np.random.default_rng().random(101) * 100
    found = percentiles(values.tolist())
    ordered = np.sort(values)
    assert found == {f"p{p}": pytest.approx(ordered[p], abs=1e-3) for p in (50, 90, 99)}
    assert percentiles([]) == {"p50": None, "p90": None, "p99": None}


def test_for_people_and_for_json() -> None:
    done = simulated([(0, 500, 30), (10, 5, 3)], objective=Objective(deadline_ms=60_000))
    json.dumps(done.record)
    paper = io.StringIO()
    done.print("two requests", done, paper)
    text = paper.getvalue()
    for part in (
        "first token",
        "traffic: two requests",
        "2 of 2",
        "1 requests to the model's context of 256 tokens",
        "2 made, 2 kept, 0 requests refused",
        " USD; memory: 1.0 GiB",
        "a machine, 2 threads; made up",
        "times faster than real time",
        "slower: first tokens take 1.00, 1.00, 1.00 times as long, whole answers 1.00, 1.00, 1.00",
    ):
        assert part in text


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    found = [(i, 5, 5) for i in range(10)]
    requests = tuple(TracedRequest(ms, n, m) for ms, n, m in found)
    come = traffic(Trace("", "", requests), Scale(), SERVED.longest)
    simulate(SERVED, come, lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_of_an_artifact(tiny_artifact: Path) -> None:
    model = planned_artifact(open_artifact(tiny_artifact))
    host = served(model, known_host(2), 3)
    assert host.capacity.n_blocks == 3 * 128 // 16
    assert (host.longest, host.machine.threads) == (128, 2)
    assert host.memory_bytes == model.memory(2, 3).total
    requests = (TracedRequest(0, 50, 10), TracedRequest(10**9, 20, 5))
    done = simulate(host, traffic(Trace("", "", requests), Scale(), host.longest))
    assert done.record["completed"] == 2
