"""Objectives as bodies and headers say them, and what is answered where they cannot be kept."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from foreknown.engine.promises import LONGEST_MS, Foreseen, NotPromised, Objective
from foreknown.server.errors import Refusal
from foreknown.server.objectives import FIELDS, HEADERS, Wanted, not_promised, wanted

MS = 1_000_000


def http(*headers: tuple[str, str], arrival_ns: int = 5) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    state = {"arrival_ns": arrival_ns}
    return Request({"type": "http", "headers": raw, "state": state})


def refused(given: dict[str, Any], *headers: tuple[str, str], **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        wanted(given, http(*headers), **options)
    return caught.value


milliseconds = st.floats(1e-3, LONGEST_MS)
some = st.dictionaries(st.sampled_from(FIELDS), milliseconds, min_size=1)


@given(some, some)
def test_headers_say_what_fields_say(body: dict[str, float], head: dict[str, float]) -> None:
    named = {field: name for name, field in HEADERS.items()}
    headers = [(named[field], repr(ms)) for field, ms in head.items()]
    differ = {field for field in body.keys() & head.keys() if body[field] != head[field]}
    if differ:
        refusal = refused(body, *headers)
        assert refusal.status == 400
        assert HEADERS[refusal.param] in differ
        return
    found = wanted(body, http(*headers))
    assert found.objective == Objective(**{**head, **body})
    assert found.arrival_ns == 5
    assert not found.is_plain


def test_without_any_there_is_none() -> None:
    assert wanted({}, http()).is_plain
    assert wanted(dict.fromkeys(FIELDS), http()).is_plain
    assert not wanted({"forecast": True}, http()).is_plain
    assert wanted({"forecast": True}, http()).objective is None


NO_TIMES = ["", " ", "0", "-1", "nan", "inf", "-inf", "1e999", "0.0", "86400001", "5 s", "1_000",
            "0x10", "five", "5, 5", "+5", "٣", "1" * 400]  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("text", NO_TIMES)
def test_a_header_that_is_no_time_is_named(name: str, text: str) -> None:
    value = text.encode("utf-8").decode("latin-1")
    refusal = refused({}, (name, value))
    assert (refusal.status, refusal.param) == (400, name)
    assert name in refusal.message
    assert len(refusal.message) < 300


def test_a_header_given_twice_is_no_time() -> None:
    refusal = refused({}, ("x-slo-ttft-ms", "5"), ("x-slo-ttft-ms", "5"))
    assert refusal.param == "x-slo-ttft-ms"


@pytest.mark.parametrize(
    ("given", "headers", "name"),
    [
        ({"deadline_ms": 5.0}, (), "deadline_ms"),
        ({}, (("x-slo-tpot-ms", "5"),), "x-slo-tpot-ms"),
    ],
)
def test_where_nothing_is_promised_objectives_are_refused(
    given: dict[str, Any], headers: Any, name: str
) -> None:
    refusal = refused(given, *headers, promises=False)
    assert (refusal.status, refusal.param, refusal.code) == (400, name, "no_promises")
    assert wanted({"forecast": True}, http(), promises=False).forecast


@given(milliseconds, milliseconds, milliseconds, st.floats(0, LONGEST_MS))
def test_what_has_gone_by_is_taken_off_the_times_that_count_from_the_arrival(
    deadline: float, ttft: float, tpot: float, gone: float
) -> None:
    gone_ns = round(gone * MS)
    left = Wanted(Objective(deadline, ttft, tpot), arrival_ns=3).from_now(3 + gone_ns)
    assert left is not None
    assert left.tpot_ms == tpot
    for before, after in ((deadline, left.deadline_ms), (ttft, left.ttft_ms)):
        assert after is not None
        assert after > 0
        if before - gone > 1e-3:
            assert after == pytest.approx(before - gone, abs=2e-3)
        assert after <= before


foreseen = st.builds(Foreseen, *[st.floats(0.1, 1e6)] * 5)


@given(foreseen, some, st.floats(0, 1e4), st.sampled_from([0.0, 1e-3]) | st.floats(1, 1e6))
def test_a_refusal_says_what_could_be_promised_and_when(
    earliest: Foreseen, objective: dict[str, float], gone_ms: float, wait_ms: float
) -> None:
    calm = Foreseen(0, 0, 0, 0, 0)
    error = NotPromised(Objective(**objective), earliest, calm, wait_ms)
    refusal = not_promised(error, Objective(**objective), gone_ms)
    assert (refusal.status, refusal.code) == (429, "cannot_promise")
    retry_s = refusal.retry_after_s
    assert retry_s is not None
    assert isinstance(retry_s, int)
    assert retry_s >= 1
    assert refusal.headers["retry-after"] == str(retry_s)
    late_ms = earliest.total_ms + gone_ms - objective.get("deadline_ms", math.inf)
    if late_ms > 0:
        assert retry_s * 1e3 >= late_ms, "then it would still be too early"
    assert retry_s * 1e3 >= wait_ms
    assert ("ask for that" in refusal.remedy) == (not wait_ms)
    for body in (refusal.openai(), refusal.anthropic("req_1")):
        told = body["foreknown"]["earliest"]
        assert told["total_ms"] == pytest.approx(earliest.total_ms + gone_ms, abs=1e-3)
        assert told["ttft_ms"] == pytest.approx(earliest.ttft_ms + gone_ms, abs=1e-3)
        assert told["tpot_ms"] == pytest.approx(earliest.tpot_ms, abs=1e-3)
    assert set(refusal.openai()) == {"error", "foreknown"}


def test_what_could_never_be_kept_is_the_caller_s_to_change() -> None:
    earliest = Foreseen(ttft_ms=20, tpot_ms=5, total_ms=520, low_ms=400, high_ms=600)
    wanted = Objective(deadline_ms=500, tpot_ms=0.1)
    refusal = not_promised(NotPromised(wanted, earliest, calm=earliest), wanted, 0)
    assert (refusal.status, refusal.param, refusal.code) == (
        400, "tpot_ms", "impossible_objective",
    )  # fmt: skip
    assert refusal.retry_after_s is None
    assert "idle machine" in refusal.message


def test_that_time_went_by_before_it_was_decided_makes_nothing_impossible() -> None:
    calm = Foreseen(ttft_ms=20, tpot_ms=5, total_ms=520, low_ms=400, high_ms=600)
    wanted, left = Objective(deadline_ms=600), Objective(deadline_ms=450)
    error = NotPromised(left, calm, calm)
    assert error.never
    assert not_promised(error, wanted, gone_ms=150).status == 429


def test_other_refusals_say_nothing_of_promises() -> None:
    assert set(Refusal("no").openai()) == {"error"}
    assert set(Refusal("no").anthropic("req_1")) == {"type", "error", "request_id"}
