"""Runs a strategy to its answer on an engine that belongs to the caller, within its time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from foreknown.engine import Engine
from foreknown.strategies.course import Course
from foreknown.strategies.strategy import Choice

STALL_SHARE = 0.2
"""Of the time, at most, that is kept for stalls: else those of a bad machine would take it all."""
STEPS_AHEAD = 2
"""What is left must suffice for so many more steps: the one that runs, and the last outputs."""


def conduct(
    engine: Engine,
    course: Course,
    *,
    seconds: float = math.inf,
    max_tokens: float = math.inf,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Choice:
    """The choice of a course, at the latest when its time or its tokens are used up.

    Outputs of other requests are dropped, as by `Engine.generate`. Whatever it is ended by, none of
    its requests is left behind.

    Args:
        is_stopped: whether somebody wants the best so far; asked between any two steps.

    Raises:
        RequestError: the engine refuses what the strategy asks for.
        ForeknownError: a request ended in an error.
    """
    own: set[str] = set()
    limits = _Limits(seconds, max_tokens, is_stopped)
    try:
        return _conduct(engine, course, limits, own)
    except BaseException:
        _cancel(engine, own)
        raise


class _Limits(NamedTuple):
    seconds: float
    max_tokens: float
    is_stopped: Callable[[], bool]


def _conduct(engine: Engine, course: Course, limits: _Limits, own: set[str]) -> Choice:
    """See `conduct`; the ids of its requests are put into `own`."""
    start_ns = engine.clock.now_ns()
    longest_s = 0.0
    requests = course.begin()
    while course.choice is None:
        for request in requests:
            own.update(engine.add_samples(request))
        began_ns = engine.clock.now_ns()
        outputs = [output for output in engine.step() if output.request_id in own]
        now_ns = engine.clock.now_ns()
        longest_s = max(longest_s, (now_ns - began_ns) / 1e9)
        has_come = course.take(outputs)
        left_s = limits.seconds - (now_ns - start_ns) / 1e9 - STEPS_AHEAD * longest_s
        is_spent = (
            left_s <= min(engine.drift.stall_s, STALL_SHARE * limits.seconds)
            or course.n_tokens >= limits.max_tokens
        )
        if is_spent or limits.is_stopped():
            _cancel(engine, course.end())
            break
        requests = course.go_on() if has_come else []
        if course.is_over:
            _cancel(engine, own)
    assert course.choice is not None
    return course.choice


def _cancel(engine: Engine, request_ids: Iterable[str]) -> None:
    """End what need not come any more, and take its last outputs."""
    if sum(engine.cancel(request_id) for request_id in request_ids):
        engine.step()
