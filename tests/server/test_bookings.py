"""What is reserved for requests is given back, however they end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from foreknown.engine import MonotonicClock, Output, Request
from foreknown.engine.drift import Drift
from foreknown.engine.intake import answer_ids
from foreknown.engine.promises import Foreseen, NotPromised, Objective, Promise
from foreknown.errors import ForeknownError, RequestError
from foreknown.server.engine_thread import EngineThread
from foreknown.server.errors import Refusal
from foreknown.server.generation import Generation
from foreknown.server.metrics import FORECAST_EVERY_NS, Metrics
from foreknown.server.objectives import Wanted

ROOM = 12
"""Bookings that the stand-in takes at once."""
FORESEEN = Foreseen(ttft_ms=5, tpot_ms=1, total_ms=60_000, low_ms=1, high_ms=90_000)
OUT_OF_REACH = Objective(tpot_ms=1)
"""What it never promises, however long ago the request came."""


class Booking:
    """An engine that books, and that tells a request's tokens one a step, as the real one does:
    what has come to it is its own to give back.
    """

    def __init__(self) -> None:
        self.clock = MonotonicClock()
        self.drift = Drift.told(0.1)
        self.booked: dict[str, set[str]] = {}  # request -> its answers that have not ended
        self.left: dict[str, int] = {}
        self.news: list[Output] = []
        self.broken = False
        self.most_booked = 0
        self.n_steps = self.n_drafted = self.n_accepted = 0

    @property
    def has_work(self) -> bool:
        return bool(self.left or self.news)

    def check(self, request: Request) -> None:
        if not request.prompt:
            raise RequestError("the prompt is empty", field="prompt")

    def foresee(self, request: Request) -> Foreseen:
        return FORESEEN

    def reserve(self, request: Request) -> Promise:
        assert request.objective is not None
        assert request.id not in self.booked
        if len(self.booked) >= ROOM or request.objective == OUT_OF_REACH:
            raise NotPromised(request.objective, FORESEEN, Foreseen(0, 0, 0, 0, 0))
        self.booked[request.id] = set(answer_ids(request, request.id))
        self.most_booked = max(self.most_booked, len(self.booked))
        wanted = request.objective
        return Promise(wanted.ttft_ms, wanted.tpot_ms, wanted.deadline_ms)

    def release(self, request_id: str) -> None:
        self.booked.pop(request_id, None)

    def add_samples(self, request: Request) -> list[str]:
        if request.prompt[0] < 0:
            raise RequestError("the grammar fails")
        names = answer_ids(request, request.id)
        self.left.update(dict.fromkeys(names, request.params.max_tokens or 1))
        return names

    def cancel(self, name: str) -> bool:
        if self.left.pop(name, None) is None:
            return False
        self._ended(name)
        self.news.append(Output(name, 0, None, finish_reason="cancelled"))
        return True

    def step(self) -> list[Output]:
        if self.broken and self.left:
            raise RuntimeError("broken")
        outputs, self.news = self.news, []
        for name in list(self.left):
            self.left[name] -= 1
            reason: Any = None if self.left[name] else "length"
            outputs.append(Output(name, 0, 1, finish_reason=reason))
            if reason:
                del self.left[name]
                self._ended(name)
        return outputs

    def _ended(self, name: str) -> None:
        for request_id, answers in list(self.booked.items()):
            answers.discard(name)
            if not answers:
                del self.booked[request_id]


def model_of(engine: Any) -> Any:
    return SimpleNamespace(name="m", index=0, engine=engine)


def running(engine: Any, body: Callable[[EngineThread, Metrics], Awaitable[None]]) -> Metrics:
    metrics = Metrics([("m", engine)])

    async def run() -> None:
        thread = EngineThread([engine])
        thread.start()
        try:
            async with asyncio.timeout(60):
                await body(thread, metrics)
        finally:
            thread.stop()

    asyncio.run(run())
    return metrics


def generation(
    engine: Any,
    thread: EngineThread,
    metrics: Metrics,
    requests: list[Request],
    objective: Objective | None,
) -> Generation:
    wanted = Wanted(objective, arrival_ns=engine.clock.now_ns())
    return Generation(model_of(engine), thread, metrics, requests, wanted)


def prompt(first: int, n_tokens: int, samples: int = 1) -> Request:
    from foreknown.engine import SamplingParams

    return Request([first], SamplingParams(max_tokens=n_tokens), samples=samples)


async def one_caller(
    chance: random.Random, engine: Booking, thread: EngineThread, metrics: Metrics
) -> str:
    """Asks for something, and behaves like some callers do; what came of it."""
    late, fine = Objective(deadline_ms=1e-6), Objective(deadline_ms=60_000)
    objective = chance.choices([late, OUT_OF_REACH, fine, None], [1, 1, 6, 2])[0]
    way = chance.choice(["whole", "whole", "left", "never", "fails", "empty"])
    requests = [
        prompt(1, chance.randint(1, 6), chance.randint(1, 3)) for _ in range(chance.randint(1, 3))
    ]
    if way == "fails":
        requests.append(prompt(-1, 2))
    if way == "empty":
        requests.append(Request([]))
    asked = generation(engine, thread, metrics, requests, objective)
    await asyncio.sleep(chance.random() * 0.02)
    try:
        asked.start()
    except (RequestError, Refusal) as error:
        return "refused" if isinstance(error, Refusal) else "invalid"
    if objective is not None:
        assert metrics.promises("m")["made"] > 0
    try:
        if way == "never":
            await asyncio.sleep(chance.random() * 0.002)
            return way
        n_left = chance.randint(0, 3)
        async for _ in asked:
            n_left -= 1
            if way == "left" and n_left < 0:
                return way
    except ForeknownError:
        return "failed"
    finally:
        asked.close()
        asked.close()  # a second time changes nothing
    return "whole"


def test_nothing_is_left_of_500_mixed_requests() -> None:
    engine, seed = Booking(), random.randrange(10**6)
    ends: Counter[str] = Counter()

    async def body(thread: EngineThread, metrics: Metrics) -> None:
        chance = random.Random(seed)
        for _ in range(10):
            callers = [one_caller(chance, engine, thread, metrics) for _ in range(50)]
            ends.update(await asyncio.gather(*callers))
        while engine.has_work or thread.n_queued(0):
            await asyncio.sleep(0.001)

    metrics = running(engine, body)
    assert engine.booked == {}, seed
    assert engine.left == {}
    assert {"whole", "refused", "left", "never", "failed", "invalid"} <= set(ends), ends
    told = metrics.promises("m")
    assert told["made"] == told["kept"] + told["broken"] + told["aborted"]
    assert all(told[fate] for fate in ("made", "kept", "broken", "aborted", "refused")), told
    assert engine.most_booked <= ROOM


def test_of_several_prompts_all_are_promised_or_none() -> None:
    engine = Booking()

    async def body(thread: EngineThread, metrics: Metrics) -> None:
        many = [prompt(1, 2) for _ in range(ROOM + 1)]
        with pytest.raises(Refusal, match="the earliest that could be"):
            generation(engine, thread, metrics, many, Objective(ttft_ms=9)).start()
        assert engine.booked == {}
        assert thread.n_queued(0) == 0
        asked = generation(engine, thread, metrics, many[:ROOM], Objective(ttft_ms=60_000)).start()
        assert len(engine.booked) == ROOM
        assert asked.told() == {
            "foreknown": {"promise": {"ttft_ms": 60_000.0, "tpot_ms": None, "total_ms": None}}
        }
        asked.close()
        assert engine.booked == {}

    told = running(engine, body).promises("m")
    assert told == {"made": 1, "kept": 0, "broken": 0, "aborted": 1, "refused": 1}


async def until_broken(asked: Generation) -> None:
    """Read what comes; the engine breaks at the first of it."""
    async for _ in asked:
        asked.model.engine.broken = True  # type: ignore[attr-defined]


def test_a_failed_step_breaks_no_promise_that_was_not_due() -> None:
    engine = Booking()

    async def body(thread: EngineThread, metrics: Metrics) -> None:
        for deadline_ms in (60_000, 1e-3):
            engine.broken = False
            asked = generation(
                engine, thread, metrics, [prompt(1, 10**6, 2)], Objective(deadline_ms=deadline_ms)
            ).start()
            with pytest.raises(ForeknownError, match="the engine failed"):
                await until_broken(asked)
            asked.close()
        while engine.has_work:
            await asyncio.sleep(0.001)

    told = running(engine, body).promises("m")
    assert (told["aborted"], told["broken"]) == (1, 1)
    assert engine.booked == {}


def test_those_who_ask_for_nothing_are_told_nothing() -> None:
    engine = Booking()

    async def body(thread: EngineThread, metrics: Metrics) -> None:
        asked = generation(engine, thread, metrics, [prompt(1, 3)], None).start()
        async for _ in asked:
            assert engine.booked == {}
        assert asked.told() == asked.outcome() == {}
        assert asked.headers() == []
        asked.close()

    assert not any(running(engine, body).promises("m").values())


def test_a_forecast_a_second_is_held_against_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody asks to be told one."""
    engine = Booking()
    erred: list[str] = []

    async def body(thread: EngineThread, metrics: Metrics) -> None:
        monkeypatch.setattr(metrics, "forecast_erred", lambda m, of, ratio: erred.append(of))
        for n_tokens in (3, 5):
            asked = generation(engine, thread, metrics, [prompt(1, n_tokens)], None).start()
            async for _ in asked:
                pass
            assert asked.told() == asked.outcome() == {}
            asked.close()
        assert metrics.forecast_is_due("m", time.monotonic_ns() + FORECAST_EVERY_NS)

    running(engine, body)
    assert sorted(erred) == ["total", "ttft"]


def test_the_stand_in_has_what_the_server_asks_of_engines() -> None:
    from foreknown.engine import Engine

    for name in ("check", "foresee", "reserve", "release", "add_samples", "cancel", "step"):
        assert hasattr(Engine, name)
