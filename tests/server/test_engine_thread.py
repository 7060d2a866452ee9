"""The thread that runs engines: what goes in, what comes out, and what happens when one fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from foreknown.engine import Engine, MonotonicClock, Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.errors import RequestError
from foreknown.server.engine_thread import EngineThread, Feed

N_TOKENS = 5


class Counting:
    """An engine that answers each request with the tokens 0, 1, …, one a step, until it is told
    to break."""

    def __init__(self, n_tokens: int = N_TOKENS) -> None:
        self.n_tokens = n_tokens
        self.clock = MonotonicClock()
        self.left: dict[str, int] = {}
        self.news: list[Output] = []
        self.broken = False
        self.n_added = 0
        self.surprise: Exception = RequestError("the grammar fails")

    @property
    def has_work(self) -> bool:
        return bool(self.left or self.news)

    def check(self, request: Request) -> None:
        if not request.prompt:
            raise RequestError("the prompt is empty")

    def add_samples(self, request: Request) -> list[str]:
        if request.prompt[0] < 0:
            raise self.surprise
        self.n_added += 1
        names = answer_ids(request, request.id)
        self.left.update(dict.fromkeys(names, self.n_tokens))
        return names

    def cancel(self, name: str) -> bool:
        if self.left.pop(name, None) is None:
            return False
        self.news.append(Output(name, 0, None, finish_reason="cancelled"))
        return True

    def step(self) -> list[Output]:
        if self.broken and self.left:
            raise RuntimeError("broken")
        outputs, self.news = self.news, []
        for name in list(self.left):
            self.left[name] -= 1
            reason: Any = None if self.left[name] else "length"
            outputs.append(
                Output(name, 0, self.n_tokens - 1 - self.left[name], finish_reason=reason)
            )
            if reason:
                del self.left[name]
        return outputs


def running(engines: list[Any], body: Callable[[EngineThread], Awaitable[None]]) -> None:
    async def run() -> None:
        thread = EngineThread(engines)
        thread.start()
        try:
            async with asyncio.timeout(10):
                await body(thread)
        finally:
            thread.stop()

    asyncio.run(run())


def begun(thread: EngineThread, index: int, requests: list[Request]) -> Feed:
    feed = thread.prepare(index, requests)
    thread.submit(index, feed)
    return feed


async def whole(feed: Feed) -> dict[str, list[Output]]:
    got: dict[str, list[Output]] = {name: [] for name in feed.ids}
    while not all(outputs and outputs[-1].finish_reason for outputs in got.values()):
        for output in await feed.next():
            got[output.request_id].append(output)
    return got


def test_requests_of_several_engines_come_back_whole_and_in_order() -> None:
    engines = [Counting(), Counting()]

    async def body(thread: EngineThread) -> None:
        two = [Request([1], samples=2), Request([2])]
        for feed in [begun(thread, i % 2, two) for i in range(6)]:
            assert len(feed.ids) == 3
            for outputs in (await whole(feed)).values():
                assert [output.token for output in outputs] == list(range(N_TOKENS))

    running(engines, body)
    assert [engine.n_added for engine in engines] == [6, 6]


def test_all_requests_of_a_caller_are_taken_or_none() -> None:
    engine = Counting()

    async def body(thread: EngineThread) -> None:
        with pytest.raises(RequestError, match="the prompt is empty"):
            thread.prepare(0, [Request([1]), Request([])])
        forgotten = thread.prepare(0, [Request([1], samples=3)])
        assert thread.n_queued(0) == 3
        thread.forget(0, forgotten)
        assert thread.n_queued(0) == 0

    running([engine], body)
    assert not engine.left


@pytest.mark.parametrize(
    ("error", "said"),
    [(RequestError("the grammar fails"), "grammar"), (OSError("secret"), "engine failed")],
)
def test_what_fails_on_its_way_in_is_ended_with_an_error(
    error: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Counting(n_tokens=10**9)
    engine.surprise = error

    async def body(thread: EngineThread) -> None:
        feed = begun(thread, 0, [Request([1], samples=2), Request([-1])])
        for outputs in (await whole(feed)).values():
            assert outputs[-1].finish_reason == "error"
            assert said in str(outputs[-1].error)
        assert not engine.left
        assert thread.n_queued(0) == 0

    with caplog.at_level(logging.CRITICAL):
        running([engine], body)


def test_a_cancelled_request_is_ended_in_the_engine() -> None:
    engine = Counting(n_tokens=10**9)

    async def body(thread: EngineThread) -> None:
        feed = begun(thread, 0, [Request([1], samples=3)])
        thread.cancel(0, feed)
        while engine.left:
            await asyncio.sleep(0.001)

    running([engine], body)


def test_cutting_off_says_so_to_everyone() -> None:
    engine = Counting(n_tokens=10**9)

    async def body(thread: EngineThread) -> None:
        feeds = [begun(thread, 0, [Request([1])]) for _ in range(2)]
        thread.cancel_all()
        for feed in feeds:
            (outputs,) = (await whole(feed)).values()
            assert outputs[-1].finish_reason == "cancelled"

    running([engine], body)


def test_a_step_that_fails_ends_its_own_engines_requests_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = Counting(), Counting()

    async def body(thread: EngineThread) -> None:
        bad.broken = True
        doomed = begun(thread, 1, [Request([1])])
        fine = begun(thread, 0, [Request([1])])
        (outputs,) = (await whole(doomed)).values()
        assert outputs[-1].finish_reason == "error"
        assert "broken" not in str(outputs[-1].error)
        (outputs,) = (await whole(fine)).values()
        assert outputs[-1].finish_reason == "length"
        assert list(thread.failure) == [1]
        assert not bad.left

    with caplog.at_level(logging.ERROR):
        running([good, bad], body)
    assert "a step failed" in caplog.text


def test_the_stand_in_has_what_the_thread_asks_of_engines() -> None:
    for name in ("check", "add_samples", "cancel", "step", "has_work"):
        assert hasattr(Engine, name)
