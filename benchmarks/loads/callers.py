"""Callers who wait for nobody: each comes at its time, with an objective, whoever is there."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loads.connection import Connection, Disconnected, Response, connect, post
from loads.servers import Server
from loads.users import Question

PATH = "/v1/completions"
LATEST = 5
"""Broken promises that are told one by one."""


@dataclass(frozen=True)
class Caller:
    """One request.

    Attributes:
        question: its prompt, and how many tokens it asks for.
        objective: what it wants kept, in milliseconds; it judges by it in any case.
    """

    question: Question
    objective: dict[str, float] = field(default_factory=dict)

    def request(self, model: str, *, says_so: bool) -> bytes:
        """What is sent.

        Args:
            says_so: whether the server is told of the objective.
        """
        told = self.objective if says_so else {}
        return post(PATH, {**self.question.body(model), **told})


@dataclass(frozen=True)
class Seen:
    """What one caller saw.

    Attributes:
        at_s: when it came.
        status: of the response; 0: none came in time.
        decided_ms: from asking to the response's head.
        ttft_ms: to the first token; None: none came.
        tpot_ms: from one token to the next, in the mean.
        total_ms: to the last one; None: it did not come in time.
        promised: what the server said of a promise.
        kept: whether it says that it was; None: it says nothing.
    """

    caller: Caller
    at_s: float
    status: int
    decided_ms: float | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    total_ms: float | None = None
    n_tokens: int = 0
    promised: dict[str, Any] | None = None
    kept: bool | None = None

    @property
    def is_met(self) -> bool:
        """Whether the caller had what it wanted, by its own clock."""
        if self.total_ms is None or self.ttft_ms is None:
            return False
        took = {
            "deadline_ms": self.total_ms,
            "ttft_ms": self.ttft_ms,
            "tpot_ms": self.tpot_ms or 0.0,
        }
        return all(took[name] <= ms for name, ms in self.caller.objective.items())


def poisson_s(chance: random.Random, rate: float, seconds: float) -> list[float]:
    """Times of arrivals within a span, so many a second in the mean."""
    times, at_s = [], chance.expovariate(rate)
    while at_s < seconds:
        times.append(at_s)
        at_s += chance.expovariate(rate)
    return times


async def open_loop(
    server: Server,
    callers: Sequence[Caller],
    times_s: Sequence[float],
    patience_s: float,
    *,
    says_so: bool,
) -> list[Seen]:
    """Let each caller ask at its time; what they saw, in order.

    Args:
        patience_s: after the last arrival; then who still waits leaves.
    """
    requests = [caller.request(server.model, says_so=says_so) for caller in callers]
    responses: list[Response | None] = [None] * len(callers)

    async def call(place: int) -> None:
        connection: Connection = await connect(server.port)
        try:
            responses[place] = connection.write(requests[place])
            await connection.finished()
        except Disconnected:
            pass
        finally:
            connection.abort()

    start_s = time.perf_counter()
    waiting = []
    for place, at_s in enumerate(times_s):
        await asyncio.sleep(start_s + at_s - time.perf_counter())
        waiting.append(asyncio.create_task(call(place)))
    if waiting:
        _, pending = await asyncio.wait(waiting, timeout=patience_s)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    triples = zip(callers, times_s, responses, strict=True)
    return [_seen(caller, at_s, response) for caller, at_s, response in triples]


def _seen(caller: Caller, at_s: float, response: Response | None) -> Seen:
    if response is None or response.status == 0:
        return Seen(caller, at_s, 0)
    decided_ms = 1e3 * (response.head_s - response.sent_s)
    if response.status != 200:
        return Seen(caller, at_s, response.status, decided_ms)
    times, n_tokens, kept = [], 0, None
    promised: dict[str, Any] | None = None
    for came_s, event in response.events():
        told = event.get("foreknown", {})
        promised = told.get("promise", promised)
        kept = told.get("kept", kept)
        if usage := event.get("usage"):
            n_tokens = usage["completion_tokens"]
        if any(choice["text"] for choice in event.get("choices", ())):
            times.append(1e3 * (came_s - response.sent_s))
    is_whole = response.whole and n_tokens == caller.question.n_output and times
    return Seen(
        caller,
        at_s,
        200,
        decided_ms,
        ttft_ms=times[0] if times else None,
        tpot_ms=(times[-1] - times[0]) / (n_tokens - 1) if is_whole and n_tokens > 1 else None,
        total_ms=times[-1] if is_whole else None,
        n_tokens=n_tokens,
        promised=promised,
        kept=kept,
    )


async def closed_loop(
    server: Server, questions: Sequence[Question], n_users: int, seconds: float
) -> tuple[float, float]:
    """Requests and output tokens a second with so many users who ask again and again."""
    places = iter(range(10**9))
    finished: list[tuple[float, int]] = []
    start_s = time.perf_counter()
    end_s = start_s + seconds

    async def user() -> None:
        while time.perf_counter() < end_s:
            question = questions[next(places) % len(questions)]
            connection = await connect(server.port)
            try:
                response = connection.write(post(PATH, question.body(server.model)))
                await connection.finished()
            finally:
                connection.abort()
            if response.status != 200:
                raise Disconnected
            finished.append((time.perf_counter(), question.n_output))

    await asyncio.gather(*(user() for _ in range(n_users)))
    # Until the end, everybody was busy.
    counted = [tokens for at_s, tokens in finished if at_s <= end_s]
    return len(counted) / seconds, sum(counted) / seconds


def figures(seen: Sequence[Seen], seconds: float) -> dict[str, Any]:
    """What all callers saw together.

    Args:
        seconds: in which they came.
    """
    admitted = [one for one in seen if one.status == 200]
    refused = [one for one in seen if one.status == 429]
    told = [one for one in admitted if one.promised is not None]
    met = [one for one in admitted if one.is_met]
    n_kept = sum(one.kept is True for one in told)
    n_broken = sum(one.kept is False for one in told)
    return {
        "offered": len(seen),
        "admitted": len(admitted),
        "refused": len(refused),
        "impossible": sum(one.status == 400 for one in seen),
        "failed": sum(one.status not in (200, 400, 429) for one in seen),
        "promised": len(told),
        "kept": n_kept,
        "broken": n_broken,
        "kept_share": n_kept / len(told) if told else None,
        "met": len(met),
        "met_share_of_admitted": len(met) / len(admitted) if admitted else None,
        "goodput_requests_s": len(met) / seconds,
        "goodput_tok_s": sum(one.n_tokens for one in met) / seconds,
        "refusal_ms": _percentiles([one.decided_ms for one in refused]),
        "admission_ms": _percentiles([one.decided_ms for one in told]),
        "broken_by_ms": _percentiles([_late_ms(one) for one in told if one.kept is False]),
        "latest": _latest([one for one in told if one.kept is False]),
    }


def _latest(broken: Sequence[Seen]) -> list[dict[str, Any]]:
    """The promises that were missed by most, for whoever looks for the reason."""
    ordered = sorted(broken, key=_late_ms, reverse=True)[:LATEST]
    return [
        {
            "at_s": round(one.at_s, 3),
            "late_ms": round(_late_ms(one), 3),
            "wanted": one.caller.objective,
            "came": {
                name: None if ms is None else round(ms, 3)
                for name, ms in (
                    ("deadline_ms", one.total_ms),
                    ("ttft_ms", one.ttft_ms),
                    ("tpot_ms", one.tpot_ms),
                )
            },
            "n_prompt": len(one.caller.question.prompt),
            "n_output": one.caller.question.n_output,
        }
        for one in ordered
    ]


def _late_ms(seen: Seen) -> float:
    """By how much a caller's objective was missed; a pace counts over all its tokens."""
    pace = (seen.tpot_ms or 0.0) - seen.caller.objective.get("tpot_ms", float("inf"))
    return max(
        (seen.total_ms or 0.0) - seen.caller.objective.get("deadline_ms", float("inf")),
        (seen.ttft_ms or 0.0) - seen.caller.objective.get("ttft_ms", float("inf")),
        pace * max(seen.n_tokens - 1, 0),
    )


def _percentiles(times_ms: Sequence[float | None]) -> dict[str, float] | None:
    ordered = sorted(ms for ms in times_ms if ms is not None)
    if not ordered:
        return None
    return {
        f"p{share}": round(ordered[min(len(ordered) - 1, len(ordered) * share // 100)], 3)
        for share in (50, 99)
    }
