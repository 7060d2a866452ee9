"""Puts arrivals on a real engine at the times at which they come, as a server would."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foreknown.engine import Engine, Request, SamplingParams
from foreknown.engine.rehearsal import Arrival

LEAD_NS = 50_000_000
"""Until the first arrival, so that it finds the loop waiting."""


@dataclass(frozen=True)
class Replayed:
    """What the real clock showed.

    Attributes:
        ttft_ms: of each arrival, from when it came to its first token.
        e2e_ms: ... and to its last.
        n_output: tokens that each was given.
        steps_s: what each step took.
        span_s: from the first arrival to the last token.
    """

    ttft_ms: list[float]
    e2e_ms: list[float]
    n_output: list[int]
    steps_s: list[float]
    span_s: float

    @property
    def busy_s(self) -> float:
        """All steps together."""
        return sum(self.steps_s)


def replay(
    engine: Engine,
    arrivals: Sequence[Arrival],
    vocabulary: int,
    seed: int,
    progress: Callable[[int, int], None],
    idle: Callable[[int], None],
) -> Replayed:
    """Random prompts of the arrivals' lengths, answered by so many tokens as they have.

    Args:
        engine: idle.
        progress: told how many have come, and of how many.
        idle: passes so many nanoseconds in which nothing is to be done.
    """
    chance = np.random.default_rng(seed)
    requests = [_request(arrival, vocabulary, chance) for arrival in arrivals]
    numbers: dict[str, int] = {}
    first_ns, last_ns, n_output = ([0] * len(arrivals) for _ in range(3))
    clock, n_come, steps_s = time.monotonic_ns, 0, list[float]()
    start_ns = clock() + LEAD_NS
    while n_come < len(arrivals) or engine.has_work:
        now_ns = clock() - start_ns
        while n_come < len(arrivals) and arrivals[n_come].time_ns <= now_ns:
            numbers[engine.add(requests[n_come])] = n_come
            n_come += 1
            progress(n_come, len(arrivals))
        if not engine.has_work:
            idle(arrivals[n_come].time_ns - now_ns)
            continue
        begin_ns = clock()
        outputs = engine.step()
        now_ns = clock()
        steps_s.append((now_ns - begin_ns) / 1e9)
        for output in outputs:
            if output.error is not None:
                raise output.error
            number = numbers[output.request_id]
            last_ns[number] = now_ns - start_ns
            if not n_output[number]:
                first_ns[number] = last_ns[number]
            n_output[number] += 1
    times = list(zip(arrivals, first_ns, last_ns, strict=True))
    return Replayed(
        [(first - arrival.time_ns) / 1e6 for arrival, first, _ in times],
        [(last - arrival.time_ns) / 1e6 for arrival, _, last in times],
        n_output,
        steps_s,
        max(last_ns) / 1e9,
    )


def _request(arrival: Arrival, vocabulary: int, chance: np.random.Generator) -> Request:
    params = SamplingParams(max_tokens=arrival.n_output, temperature=0, ignore_eos=True)
    return Request(chance.integers(0, vocabulary, arrival.n_prompt).tolist(), params)
