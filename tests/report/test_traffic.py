"""Traces made to fit, and the names of prompts' blocks."""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.promises import Objective
from foreknown.errors import RequestError, TraceError
from foreknown.report.trace_forms import TracedRequest
from foreknown.report.traces import Trace
from foreknown.report.traffic import Scale, block_names, traffic
from tests.report.traffic_forms import Row, rows

WIDE = 1 << 20


def trace_of(found: list[Row]) -> Trace:
    requests = (TracedRequest(ms * 1_000_000, n, m) for ms, n, m in found)
    return Trace("a trace", "plain", tuple(requests))


@settings(deadline=None)
@given(rows, st.floats(0.01, 100), st.floats(0.01, 100))
def test_rate_divides_times_and_length_multiplies_tokens(
    found: list[Row], rate: float, length: float
) -> None:
    come = traffic(trace_of(found), Scale(rate, length), WIDE)
    assert come.n_clipped == 0
    for (ms, n, m), arrival in zip(found, come.arrivals, strict=True):
        assert arrival.time_ns == pytest.approx(ms * 1e6 / rate, abs=1)
        assert arrival.n_prompt == max(1, round(n * length))
        assert arrival.n_output == max(1, round(m * length))


@settings(deadline=None)
@given(rows, st.integers(2, 100))
def test_all_fit_the_context(found: list[Row], context: int) -> None:
    come = traffic(trace_of(found), Scale(), context)
    clipped = 0
    for (_, n, m), arrival in zip(found, come.arrivals, strict=True):
        assert arrival.n_prompt >= 1
        assert arrival.n_output >= 1
        if n + m <= context:
            assert (arrival.n_prompt, arrival.n_output) == (n, m)
            continue
        clipped += 1
        assert arrival.n_prompt + arrival.n_output == context
        # the answer is cut only where the prompt has no more than half
        assert arrival.n_output == m or arrival.n_prompt <= context // 2
    assert come.n_clipped == clipped


@settings(deadline=None)
@given(rows, st.integers(1, 40), st.floats(0.001, 100), st.floats(0.1, 10))
def test_a_stretch(found: list[Row], n: int, seconds: float, rate: float) -> None:
    come = traffic(trace_of(found), Scale(rate, seconds=seconds, requests=n), WIDE)
    expected = [ms for ms, *_ in found[:n] if ms / 1e3 <= seconds * rate]
    assert len(come.arrivals) == len(expected) >= 1


def test_objectives_of_their_own_come_first() -> None:
    own, others = Objective(ttft_ms=5), Objective(deadline_ms=7)
    requests = (TracedRequest(0, 5, 5, own, "a"), TracedRequest(0, 5, 5))
    first, second = traffic(Trace("", "", requests), Scale(), WIDE, others).arrivals
    assert (first.objective, first.user) == (own, "a")
    assert (second.objective, second.user) == (others, "")


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 12), st.floats(0.01, 3))
def test_blocks_are_equal_as_far_as_spans_are(n: int, m: int, common: int, length: float) -> None:
    """Of two prompts that part after some spans, exactly the blocks before that are equal."""

    def spans(n_prompt: int, first_own: int) -> tuple[int, ...]:
        n_spans = math.ceil(n_prompt / (512 * length))
        return tuple(i if i < common else first_own + i for i in range(n_spans))

    a, b = (
        block_names(spans(n_prompt, own), n_prompt, length)
        for n_prompt, own in ((n, 1000), (m, 2000))
    )
    assert (len(a), len(b)) == (n // 16, m // 16)
    same = min(math.floor(512 * length * common), n, m) // 16
    assert a[:same] == b[:same]
    assert not set(a[same:]) & set(b)
    assert len(set(a)) == len(a)


def test_no_spans_no_names() -> None:
    assert block_names((), 100, 1) == ()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Scale)])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_scale_that_cannot_be(field: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{field} is {value}") as caught:
        Scale(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("last_s", "rate"), [(5e9, 1.0), (1e10, 1.0), (1.0, 1e-10), (1.0, 1e-300), (86_400.0, 1e-4)]
)
def test_more_than_ten_years_are_a_wrong_unit(last_s: float, rate: float) -> None:
    trace = trace_of([(0, 5, 5), (round(last_s * 1e3), 5, 5)])
    with pytest.raises(TraceError, match=r"request 2 comes .* years after the first") as caught:
        traffic(trace, Scale(rate), WIDE)
    assert "seconds in arrival_s" in caught.value.remedy
    assert len(traffic(trace, Scale(rate, requests=1), WIDE).arrivals) == 1
    assert len(traffic(trace, Scale(1e6), WIDE).arrivals) == 2


@pytest.mark.parametrize("length", [1e308, 1e7])
def test_more_tokens_than_a_prompt_can_have(length: float) -> None:
    with pytest.raises(RequestError, match="length is 1e") as caught:
        traffic(trace_of([(0, 5, 5)]), Scale(length=length), WIDE)
    assert caught.value.field == "length"


@pytest.mark.parametrize("number", [5e-324, 1e-300, 1e300, 1.7e308])
def test_numbers_at_the_ends_of_the_scale(number: float) -> None:
    trace = trace_of([(0, 5, 5), (7, 6, 6)])
    for field in dataclasses.fields(Scale):
        if field.name != "requests":
            with suppress(TraceError, RequestError):
                assert traffic(trace, Scale(**{field.name: number}), WIDE).arrivals
