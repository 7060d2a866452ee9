"""Runs a strategy to its answer on an engine that belongs to the caller, within its time."""

from __future__ import annotations

import math

from foreknown.engine import Engine
from foreknown.strategies.course import Course
from foreknown.strategies.strategy import Choice

STEPS_AHEAD = 2
"""What is left must suffice for so many more steps: the one that runs, and the last outputs."""


def conduct(
    engine: Engine, course: Course, *, seconds: float = math.inf, max_tokens: float = math.inf
) -> Choice:
    """The choice of a course, at the latest when its time or its tokens are used up.

    Outputs of other requests are dropped, as by `Engine.generate`.

    Raises:
        RequestError: the engine refuses what the strategy asks for.
        ForeknownError: a request ended in an error.
    """
    start_ns = engine.clock.now_ns()
    longest_s = 0.0
    requests = course.begin()
    own: set[str] = set()
    while course.choice is None:
        for request in requests:
            own.update(engine.add_samples(request))
        began_ns = engine.clock.now_ns()
        outputs = [output for output in engine.step() if output.request_id in own]
        now_ns = engine.clock.now_ns()
        longest_s = max(longest_s, (now_ns - began_ns) / 1e9)
        requests = course.take(outputs)
        left_s = seconds - (now_ns - start_ns) / 1e9 - STEPS_AHEAD * longest_s
        is_spent = left_s <= engine.drift.stall_s or course.n_tokens >= max_tokens
        if is_spent and not course.is_over and course.choice is None:
            for request_id in course.end(requests):
                engine.cancel(request_id)
            requests = []
    return course.choice
