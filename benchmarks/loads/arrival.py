"""What an arriving long prompt does to those who are decoding: the gaps between their tokens."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from itertools import pairwise
from typing import Any

from loads.connection import END_OF_EVENT, Connection, Response, connect, post
from loads.figures import spread
from loads.servers import Server
from loads.side_by_side import Load
from loads.users import BadAnswer, Question, answered, random_prompt

LONG_PROMPT = 1000
"""Tokens of the prompt that arrives."""
SETTLED = 24
"""Tokens that everybody has before the first arrival, and in between two of them."""
SHORT_PROMPT = 32
LONGEST_WAIT_S = 300.0


def arrivals(server: Server, n_users: int, load: Load, n_arrivals: int) -> dict[str, Any]:
    """The largest gap of anybody while a prompt is taken in, against the median gap.

    Raises:
        BadAnswer: a user's answer ended too early, or was refused.
    """
    return asyncio.run(_arrivals(server, n_users, load, n_arrivals))


async def _arrivals(server: Server, n_users: int, load: Load, n_arrivals: int) -> dict[str, Any]:
    chance = random.Random(load.seed)
    connections = [await connect(server.port) for _ in range(n_users)]
    spans = []
    try:
        responses = [
            connection.write(post("/v1/completions", _endless(chance, load).body(server.model)))
            for connection in connections
        ]
        for _ in range(n_arrivals):
            await _settle(responses, connections)
            question = Question(random_prompt(chance, LONG_PROMPT, load.vocabulary), 1)
            answer = await answered(server, question)
            spans.append((answer.sent_s, answer.token_s[0]))
        await _settle(responses, connections)
    finally:
        for connection in connections:
            connection.abort()
    times = [[at_s for at_s, _ in response.events()] for response in responses]
    rows = [_row(times, spans, place) for place in range(n_arrivals)]
    return {
        "users": n_users,
        "prompt": LONG_PROMPT,
        "arrivals": rows,
        "to_median_before": spread([row["to_median_before"] for row in rows]),
        "to_median_during": spread([row["to_median_during"] for row in rows]),
        "p99_to_median_before": spread([row["p99_to_median_before"] for row in rows]),
        "calm_to_median_before": spread([row["calm_to_median_before"] for row in rows]),
        "first_ms": spread([row["first_ms"] for row in rows]),
    }


def _endless(chance: random.Random, load: Load) -> Question:
    """A user who is still decoding when the last prompt has arrived."""
    return Question(random_prompt(chance, SHORT_PROMPT, load.vocabulary), load.n_output)


async def _settle(responses: list[Response], connections: list[Connection]) -> None:
    """Wait until everybody has some more tokens."""
    targets = [response.body.count(END_OF_EVENT) + SETTLED for response in responses]
    end_s = time.monotonic() + LONGEST_WAIT_S
    while any(
        response.body.count(END_OF_EVENT) < target
        for response, target in zip(responses, targets, strict=True)
    ):
        if any(response.status not in (0, 200) for response in responses):
            raise BadAnswer("a user was refused: see the server's log")
        if any(connection.usable for connection in connections) or time.monotonic() > end_s:
            raise BadAnswer("a user's answer ended before the last arrival: raise --output")
        await asyncio.sleep(0.05)


def _row(times: list[list[float]], spans: list[tuple[float, float]], place: int) -> dict[str, Any]:
    """One arrival: gaps that overlap it, against those since the arrival before."""
    begin_s, end_s = spans[place]
    since_s = spans[place - 1][1] if place else times[0][0]
    gaps = [(a, b) for one in times for a, b in pairwise(one)]
    during = [b - a for a, b in gaps if b > begin_s and a < end_s]
    before = [b - a for a, b in gaps if a >= since_s and b <= begin_s]
    return {
        "first_ms": round(1e3 * (end_s - begin_s), 1),
        "largest_gap_ms": round(1e3 * max(during), 2),
        "median_before_ms": round(1e3 * statistics.median(before), 2),
        "median_during_ms": round(1e3 * statistics.median(during), 2),
        "to_median_before": round(max(during) / statistics.median(before), 3),
        "to_median_during": round(max(during) / statistics.median(during), 3),
        "p99_to_median_before": round(_p99(during) / statistics.median(before), 3),
        "calm_to_median_before": round(max(before) / statistics.median(before), 3),
    }


def _p99(gaps: list[float]) -> float:
    return statistics.quantiles(gaps, n=100)[98]
