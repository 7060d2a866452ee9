"""Who waited and who was answered, against counting them one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.rehearsal import Arrival, Outcome
from foreknown.report.timeline import timeline

TIMES = st.tuples(st.integers(0, 50), st.integers(1, 9), st.integers(0, 9), st.booleans())
outcomes = st.lists(TIMES, max_size=12).map(
    lambda found: [
        Outcome(Arrival(came, 1, 1), came + wait, came + wait + more, refused=refused)
        for came, wait, more, refused in found
    ]
)


@settings(deadline=None)
@given(outcomes)
def test_counts_are_those_of_each_moment(found: list[Outcome]) -> None:
    line = timeline(found)
    served = [one for one in found if not one.refused]
    assert (np.diff(line.times_s) > 0).all()
    moments = sorted({t for o in served for t in (o.arrival.time_ns, o.first_ns, o.last_ns)})
    assert line.times_s.tolist() == [t / 1e9 for t in moments]
    for t, waiting, answering in zip(moments, line.waiting, line.answering, strict=True):
        assert waiting == sum(o.arrival.time_ns <= t < o.first_ns for o in served)
        assert answering == sum(o.first_ns <= t < o.last_ns for o in served)
    assert line.largest_queue == max(line.waiting, default=0)


@settings(deadline=None)
@given(outcomes, st.lists(st.integers(0, 80), min_size=2, max_size=9, unique=True))
def test_windows(found: list[Outcome], edges: list[int]) -> None:
    line, edges = timeline(found), sorted(edges)
    edges_s = np.asarray(edges) / 1e9
    shares, most = line.busy_shares(edges_s), line.largest_in(line.waiting, edges_s)
    served = [one for one in found if not one.refused]
    for begin, end, share, largest in zip(edges[:-1], edges[1:], shares, most, strict=True):
        moments = range(begin, end)
        busy = sum(any(o.arrival.time_ns <= t < o.last_ns for o in served) for t in moments)
        assert share == pytest.approx(busy / (end - begin), abs=1e-6)
        assert largest == max(
            sum(o.arrival.time_ns <= t < o.first_ns for o in served) for t in moments
        )


def test_nobody() -> None:
    line = timeline([])
    assert line.largest_queue == 0
    assert line.busy_shares(np.asarray([0.0, 1.0, 2.0])).tolist() == [0, 0]
