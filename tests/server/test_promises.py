"""Promises and forecasts over HTTP: asked for, given, refused, and counted, in every interface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.report.host import host_threads, known_host
from foreknown.targets.cpu.toolchain import TARGETS, can_run, find_target
from tests.server.test_bad_input import BODIES, Body, assert_idle, assert_refused
from tests.server.test_operation import metrics, total
from tests.serving import Served

DAY_MS = 86_400_000
EASY_MS = 36_000_000
GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")
TAKING = (*GENERATING, "/v1/embeddings")
LENGTH = {"/v1/responses": "max_output_tokens"}
everywhere = pytest.mark.parametrize("path", TAKING)
generating = pytest.mark.parametrize("path", GENERATING)
TIMES = {"ttft_ms", "tpot_ms", "total_ms"}


def told_of(body: Any) -> dict[str, Any]:
    """What a response says, wherever its interface has it."""
    found: dict[str, Any] = body["foreknown"]
    return found


def told_in(events: list[Any]) -> list[dict[str, Any]]:
    """What the events of a stream say, in order."""
    found = []
    for event in events:
        for place in (event, event.get("message"), event.get("response")):
            if isinstance(place, dict) and "foreknown" in place:
                found.append(place["foreknown"])
    return found


def asking(path: str, n_tokens: int = 6, **more: Any) -> Body:
    if path == "/v1/embeddings":
        return {**BODIES[path], **more}
    ends = {"ignore_eos": True} if path != "/v1/messages" else {}
    return {**BODIES[path], LENGTH.get(path, "max_tokens"): n_tokens, **ends, **more}


@everywhere
def test_a_promise_stands_in_the_response_with_what_it_took(served: Served, path: str) -> None:
    response = served.post(path, asking(path, deadline_ms=EASY_MS, ttft_ms=DAY_MS))
    assert response.status_code == 200, response.text
    told = told_of(response.json())
    assert told["promise"] == {"ttft_ms": DAY_MS, "tpot_ms": None, "total_ms": EASY_MS}
    assert told["kept"] is True
    assert 0 < told["actual"]["ttft_ms"] <= told["actual"]["total_ms"] < EASY_MS
    assert float(response.headers["x-foreknown-promise-total-ms"]) == EASY_MS
    assert float(response.headers["x-foreknown-promise-ttft-ms"]) == DAY_MS
    assert "x-foreknown-promise-tpot-ms" not in response.headers


@generating
def test_a_stream_begins_with_the_promise_and_ends_with_the_outcome(
    served: Served, path: str
) -> None:
    headers = {"x-slo-ttft-ms": "6e5", "x-slo-tpot-ms": "5e4"}
    events = served.events(path, asking(path, stream=True), headers=headers)
    first, *_, last = told_in(events)
    assert first == {"promise": {"ttft_ms": 600_000, "tpot_ms": 50_000, "total_ms": None}}
    assert told_in(events[:1]) == [first]
    assert last["promise"] == first["promise"]
    assert last["kept"] is True
    assert set(last["actual"]) == TIMES


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize("usage", [False, True])
def test_the_last_chunk_that_is_not_usage_is_told_once(
    served: Served, path: str, usage: bool
) -> None:
    body = asking(path, stream=True, deadline_ms=EASY_MS, n=3)
    if usage:
        body["stream_options"] = {"include_usage": True}
    events = served.events(path, body)
    outcomes = [told for told in told_in(events) if "actual" in told]
    assert len(outcomes) == 1
    assert told_in(events[-1:]) == outcomes
    assert len(told_in(events)) == 2
    assert events[-1]["choices"] == [] if usage else events[-1]["choices"][0]["finish_reason"]


@everywhere
def test_those_who_ask_for_nothing_see_nothing_of_it(served: Served, path: str) -> None:
    response = served.post(path, asking(path))
    assert "foreknown" not in response.json()
    assert not [name for name in response.headers if name.startswith("x-foreknown")]


@generating
def test_a_forecast_stands_beside_what_it_took(served: Served, path: str) -> None:
    told = told_of(served.post(path, asking(path, forecast=True)).json())
    assert set(told) == {"forecast", "actual"}
    forecast = told["forecast"]
    assert set(forecast) == TIMES | {"interval"}
    assert 0 < forecast["ttft_ms"] <= forecast["total_ms"]
    assert forecast["interval"]["low_ms"] <= forecast["total_ms"]
    assert forecast["total_ms"] <= forecast["interval"]["high_ms"]


def test_bytes_are_the_same_with_a_promise_a_forecast_and_without(served: Served) -> None:
    path = "/v1/completions"
    plain = asking(path, 40, temperature=1, seed=7)
    found = [
        served.post(path, {**plain, **more}).json()["choices"]
        for more in ({}, {"forecast": True}, {"deadline_ms": EASY_MS})
    ]
    assert found[0] == found[1] == found[2]


BAD_TIMES = [0, -1, -0.0, DAY_MS + 1, "5", True, [5], {}]


@everywhere
@pytest.mark.parametrize("field", ["deadline_ms", "ttft_ms", "tpot_ms"])
@pytest.mark.parametrize("value", BAD_TIMES, ids=repr)
def test_a_field_that_is_no_time_to_come_is_named(
    served: Served, path: str, field: str, value: Any
) -> None:
    assert_refused(served.post(path, {**asking(path), field: value}), 400, field)


@everywhere
@pytest.mark.parametrize("value", ["0", "-3", "soon", "nan", "1e300", ""])
def test_a_header_that_is_no_time_to_come_is_named(served: Served, path: str, value: str) -> None:
    for name in ("x-slo-deadline-ms", "x-slo-ttft-ms", "x-slo-tpot-ms"):
        response = served.post(path, asking(path), headers={name: value})
        assert_refused(response, 400, name, word=name)


@everywhere
def test_a_header_and_a_field_that_differ_are_refused(served: Served, path: str) -> None:
    body = asking(path, deadline_ms=EASY_MS)
    headers = {"x-slo-deadline-ms": str(EASY_MS + 1)}
    response = served.post(path, body, headers=headers)
    assert_refused(response, 400, "x-slo-deadline-ms", word="deadline")
    response = served.post(path, body, headers={"x-slo-deadline-ms": f"{EASY_MS}.0"})
    assert response.status_code == 200, "they say the same"


@everywhere
def test_what_no_machine_could_keep_is_refused_for_good(served: Served, path: str) -> None:
    response = served.post(path, asking(path, 500, deadline_ms=0.01))
    message = assert_refused(response, 400, "deadline_ms", "impossible_objective")
    assert "ms" in message
    assert "retry-after" not in response.headers
    assert set(response.json()["foreknown"]["earliest"]) == TIMES
    assert response.json()["foreknown"]["earliest"]["total_ms"] > 0.01


def test_a_forecast_of_several_prompts_is_refused(served: Served) -> None:
    body = {**asking("/v1/completions", forecast=True), "prompt": ["a", "b"]}
    assert_refused(served.post("/v1/completions", body), 400, "forecast")


FILLERS = 12
LONG = 900


@contextmanager
def filled(served: Served) -> Iterator[None]:
    """A server whose time is promised to others, who leave before their end."""
    body = asking("/v1/completions", LONG, stream=True, deadline_ms=EASY_MS)
    with httpx.Client(base_url=served.url, timeout=60) as client, ExitStack() as open_ones:
        for i in range(FILLERS):
            asked = client.stream("POST", "/v1/completions", json={**body, "prompt": [400 + i]})
            assert open_ones.enter_context(asked).status_code == 200
        yield


def assert_comes_later(refused: httpx.Response, wanted_ms: float) -> None:
    """What could be promised is later than what was wanted, or nothing could be for a while."""
    earliest_ms = refused.json()["foreknown"]["earliest"]["total_ms"]
    waits = "; ask again in" in refused.json()["error"]["message"]
    assert earliest_ms > wanted_ms or waits, refused.text


def test_what_would_break_other_s_promises_is_refused_at_once(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    alone = served.post("/v1/forecast", {"prompt_tokens": 1, "max_tokens": LONG}).json()
    # Everybody is promised so little beyond what they take together that no more fits in.
    whole: list[httpx.Response] = []
    asked_ms: list[float] = []
    together = {"prompt": [[400 + i] for i in range(FILLERS)], "n": 2}
    body = asking("/v1/completions", LONG, **together)
    body.pop("ignore_eos")
    tight = _tightest(served, body)

    def fill() -> None:
        for times in (1.0, 1.25, 1.5):  # a busier machine promises less than a moment before
            asked_ms.append(round(times * tight, 3))
            request = {**body, "deadline_ms": asked_ms[-1]}
            whole.append(served.post("/v1/completions", request))
            if whole[-1].status_code == 200:
                return

    filling = threading.Thread(target=fill)
    filling.start()
    while not served.engine()["running"]:
        assert filling.is_alive(), whole[-1].text
    wanted = {"deadline_ms": round(alone["total_ms"] * 1.6 + 80, 3)}
    refused = {}
    for path in GENERATING:
        refused[path] = served.post(path, asking(path, LONG, **wanted))
    filling.join()
    assert whole[-1].status_code == 200, whole[-1].text
    assert told_of(whole[-1].json())["promise"]["total_ms"] == asked_ms[-1]
    for response in refused.values():
        if response.status_code == 200:
            continue  # there was room after all: these end early, all of them
        if "even on an idle machine" in response.text:
            continue  # on a busy machine so much time was gone before that none was left
        message = assert_refused(response, 429, None, "cannot_promise")
        assert "earliest" in message
        assert int(response.headers["retry-after"]) >= 1
        assert_comes_later(response, wanted["deadline_ms"])
    assert [r for r in refused.values() if r.status_code == 429]
    found = metrics(served)
    n_refused = sum(r.status_code == 429 for r in refused.values())
    assert total(found, "foreknown:promises_refused_total") >= n_refused
    assert_idle(served)


def _tightest(served: Served, body: Body) -> float:
    """Nearly the shortest deadline that a request is promised."""
    low, high = 0.0, 600_000.0
    while high - low > 0.1 * high:
        middle = (low + high) / 2
        with httpx.stream(
            "POST",
            f"{served.url}/v1/completions",
            json={**body, "deadline_ms": middle, "stream": True},
            timeout=60,
        ) as response:
            low, high = (low, middle) if response.status_code == 200 else (middle, high)
        assert_idle(served)
    return high


def test_where_nothing_is_promised_objectives_are_refused(serve: Callable[..., Served]) -> None:
    served = serve("--no-promises")
    for path in TAKING:
        response = served.post(path, asking(path, deadline_ms=EASY_MS))
        assert_refused(response, 400, "deadline_ms", "no_promises")
        response = served.post(path, asking(path), headers={"x-slo-ttft-ms": "5"})
        assert_refused(response, 400, "x-slo-ttft-ms", "no_promises", "x-slo-ttft-ms")
        assert served.post(path, asking(path)).status_code == 200
    assert told_of(served.post(TAKING[0], asking(TAKING[0], forecast=True)).json())["forecast"]


def test_a_machine_that_was_never_calibrated_is_said_to_be_an_estimate(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve("--threads", "1", FOREKNOWN_CACHE=str(tmp_path))
    found = served.post("/v1/forecast", {"prompt_tokens": 5, "max_tokens": 5}).json()
    assert found["basis"]["estimated"] is True
    assert [line for line in served.log if "foreknown calibrate --threads 1 " in line]
    promised = served.post(TAKING[0], asking(TAKING[0], deadline_ms=EASY_MS)).json()
    assert told_of(promised)["kept"] is True, "promises are made all the same"


def test_promises_for_other_instructions_are_said_to_be_estimates(
    serve: Callable[..., Served], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    own = find_target("host")
    lesser = next((t for t in TARGETS.values() if can_run(t) and t != own), None)
    if lesser is None:
        pytest.skip("this machine runs no instruction set but its own")
    made = tmp_path / "small"
    compile_checkpoint(tiny_checkpoint, made, Options(target=lesser.name))
    served = serve(f"small={made}")
    asked = {"model": "small", "prompt_tokens": 5, "max_tokens": 5}
    found = served.post("/v1/forecast", asked).json()
    assert found["basis"]["estimated"] is True
    assert found["basis"]["machine"].endswith(f" as {lesser.name}")
    said = f"forecasts of small rest on an estimate for {lesser.name}"
    assert [line for line in served.log if said in line]


def test_every_promise_has_one_end_in_the_books(served: Served) -> None:
    assert_idle(served)
    before = metrics(served)
    n_kept = 5
    for _ in range(n_kept):
        served.post("/v1/completions", asking("/v1/completions", deadline_ms=EASY_MS))
    with filled(served):
        pass
    assert_idle(served)
    served.post("/v1/completions", asking("/v1/completions", 500, ttft_ms=0.001))
    served.post("/v1/completions", asking("/v1/completions", forecast=True))
    after = metrics(served)

    def grown(name: str, **labels: str) -> float:
        name = f"foreknown:{name}"
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown("promises_made_total") == n_kept + FILLERS
    assert grown("promises_refused_total") == 1
    ends = {end: grown(f"promises_{end}_total") for end in ("kept", "broken", "aborted")}
    assert sum(ends.values()) == n_kept + FILLERS, ends
    assert ends["broken"] == 0
    # one was asked for; others are made for the books, but not of those who left
    assert 1 <= grown("forecast_error_ratio_count", of="total") <= n_kept + 1
    assert 1 <= grown("forecast_error_ratio_count", of="ttft") <= n_kept + 1
    for name in ("drift_ratio", "promise_margin_ratio"):
        assert total(after, f"foreknown:{name}") > 0
    assert total(after, "foreknown:clock_jumps_total") >= 0
    promises = served.engine()["promises"]
    for fate, n in promises.items():
        assert n == total(after, f"foreknown:promises_{fate}_total")
    drift = served.engine()["drift"]
    assert set(drift) == {"ratio", "has_drifted", "margin", "clock_jumps"}


# POST /v1/forecast

PROMPTS: list[Body] = [
    {"prompt": "hello"},
    {"prompt": [300, 301, 302]},
    {"messages": [{"role": "user", "content": "hello"}]},
    {"prompt_tokens": 300},
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: next(iter(prompt)))
def test_a_forecast_runs_nothing(served: Served, prompt: Body) -> None:
    assert_idle(served)
    steps = total(metrics(served), "foreknown:engine_steps_total")
    asked = {**prompt, "max_tokens": 50, "n": 2, "deadline_ms": EASY_MS}
    found = served.post("/v1/forecast", asked).json()
    assert total(metrics(served), "foreknown:engine_steps_total") == steps
    assert found["object"] == "forecast"
    assert found["model"] == "bundled"
    assert found["prompt_tokens"] == {"prompt_tokens": 300}.get(
        next(iter(prompt)), found["prompt_tokens"]
    )
    assert found["max_tokens"] == 50
    assert 0 < found["ttft_ms"] < found["total_ms"]
    assert found["interval"]["low_ms"] <= found["total_ms"] <= found["interval"]["high_ms"]
    assert found["promise"] == {
        "possible": True, "never": False, "earliest": None, "retry_after_s": None,
    }  # fmt: skip
    assert found["queue"] == {"running": 0, "waiting": 0}
    memory = found["memory"]
    assert memory["blocks"] == 2 * -(-(found["prompt_tokens"] + 50) // 16)
    assert memory["bytes"] % memory["blocks"] == 0
    assert memory["free_blocks"] <= memory["total_blocks"]
    assert found["joules"] > 0
    assert_idle(served)


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_a_forecast_draws_no_more_than_the_machine_does(served: Served, samples: int) -> None:
    assert_idle(served)
    asked = {"prompt_tokens": 10, "max_tokens": 40, "n": samples}
    found = served.post("/v1/forecast", asked).json()
    machine = known_host(host_threads())
    most = machine.busy_watts * found["total_ms"] / 1e3
    assert 0 < found["joules"] <= 1.01 * most
    usd = machine.usd_per_hour * found["joules"] / machine.busy_watts / 3600
    assert found["usd"] == pytest.approx(usd, rel=1e-3)


def test_a_strategy_s_forecast_has_a_price_in_the_same_form(served: Served) -> None:
    said = [{"role": "user", "content": "hello"}]
    asked = {"messages": said, "max_tokens": 8, "strategy": "vote(2)"}
    found = served.post("/v1/forecast", asked).json()
    assert isinstance(found["usd"], float)


def test_forecasts_book_nothing(served: Served) -> None:
    """Else the second of two that need all of the time would be refused."""
    asked: Body = {"prompt_tokens": 100, "max_tokens": LONG}
    alone = served.post("/v1/forecast", asked).json()
    asked["deadline_ms"] = 3 * alone["interval"]["high_ms"]
    for _ in range(20):
        assert served.post("/v1/forecast", asked).json()["promise"]["possible"] is True


def test_a_forecast_says_what_could_not_be_promised(served: Served) -> None:
    asked = {"prompt_tokens": 100, "max_tokens": LONG, "deadline_ms": 0.5}
    response = served.post("/v1/forecast", asked)
    assert response.status_code == 200
    promise = response.json()["promise"]
    assert (promise["possible"], promise["never"]) == (False, True)
    assert promise["earliest"]["total_ms"] > 0.5


def test_more_takes_longer(served: Served) -> None:
    def total_ms(n_prompt: int, n_output: int) -> float:
        asked = {"prompt_tokens": n_prompt, "max_tokens": n_output}
        found: float = served.post("/v1/forecast", asked).json()["total_ms"]
        return found

    assert total_ms(10, 10) < total_ms(10, 500)
    assert total_ms(10, 10) < total_ms(900, 10)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt_tokens": 0}, "prompt_tokens"),
        ({"prompt_tokens": -5}, "prompt_tokens"),
        ({"prompt_tokens": 10**9}, "prompt_tokens"),
        ({"prompt_tokens": 5000}, "prompt_tokens"),
        ({"prompt_tokens": 1024}, "prompt_tokens"),
        ({"prompt_tokens": 5.5}, "prompt_tokens"),
        ({"prompt_tokens": "5"}, "prompt_tokens"),
        ({}, "prompt"),
        ({"prompt": "a", "prompt_tokens": 5}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [99_999_999]}, "prompt"),
        ({"messages": []}, "messages"),
        ({"prompt_tokens": 5, "max_tokens": 0}, "max_tokens"),
        ({"prompt_tokens": 5, "max_tokens": 5000}, "max_tokens"),
        ({"prompt_tokens": 5, "n": 0}, "n"),
        ({"prompt_tokens": 5, "n": 1000}, "n"),
        ({"prompt_tokens": 5, "deadline_ms": -1}, "deadline_ms"),
        ({"prompt_tokens": 5, "forecast": True}, "forecast"),
    ],
    ids=str,
)
def test_a_forecast_of_nonsense_is_refused(served: Served, change: Body, param: str) -> None:
    response = served.post("/v1/forecast", change)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
