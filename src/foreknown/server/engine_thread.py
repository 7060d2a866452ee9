"""One thread that runs the steps of all engines, and the feeds that carry their outputs out of it.

An engine belongs to one thread, and a step takes all processors: so all models share this thread,
a step each in turn. Everything else happens on the event loop; the two meet in a queue of commands
and in one call to the loop for each step.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue

from foreknown.engine import Engine, Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.errors import ForeknownError
from foreknown.server.accounts import Account

_log = logging.getLogger(__name__)

RECENT = 120
"""Steps that are remembered, for people to look at."""


class Feed:
    """The outputs of a caller's requests, as they come; belongs to the event loop.

    Attributes:
        ids: the engine's names of all their samples, in order.
        requests: as the engine takes them.
        account: that takes note of each output's arrival; None: nobody asked for one.
    """

    def __init__(self, ids: list[str], requests: Sequence[Request]) -> None:
        self.ids, self.requests = ids, requests
        self.account: Account | None = None
        self._news: list[Output] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, outputs: list[Output]) -> None:
        self._news += outputs
        if self.account is not None:
            self.account.deliver(outputs, time.monotonic_ns())
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def next(self) -> list[Output]:
        """All outputs since the last call, waiting for one if there are none."""
        while not self._news:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
            self._reader = None
        news, self._news = self._news, []
        return news


class EngineThread:
    """Runs engines in a thread of its own.

    Args:
        engines: all of them; used by nobody else once the thread has started.
        watch: is shown an engine after each of its steps, with its place.
        may_step: whether it is an engine's turn; see `Turns`.

    Attributes:
        recent: of each engine, the last steps: (when it ended, ns by its clock; what it took, ns;
            tokens it gave).
        failure: why an engine's step went wrong, by the engine's place; its requests were ended
            with an error.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        watch: Callable[[int, Engine], None] = lambda index, engine: None,
        may_step: Callable[[Engine], bool] = lambda engine: True,
    ) -> None:
        self._engines, self._watch, self._may_step = tuple(engines), watch, may_step
        self._feeds: list[dict[str, Feed]] = [{} for _ in engines]
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engines", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._names = count()
        self._n_prepared = [0] * len(engines)  # written by the event loop alone
        self._n_taken = [0] * len(engines)  # written by the engines' thread alone
        self.recent: list[deque[tuple[int, int, int]]] = [deque(maxlen=RECENT) for _ in engines]
        self.failure: dict[int, BaseException] = {}

    def start(self) -> None:
        """Begin; outputs go to the event loop that calls this."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step it is in."""
        self._commands.put(self._stop)
        if self._thread.ident is not None:
            self._thread.join()

    def prepare(self, index: int, requests: Sequence[Request]) -> Feed:
        """A feed for requests to an engine, of which none has begun.

        What an engine would refuse is refused here, on the event loop, so nobody waits for the
        step that runs. Objectives are reserved here, those of all requests or none.

        Raises:
            RequestError: the engine would refuse one.
            NotPromised: the objective of one cannot be kept.
        """
        for request in requests:
            self._engines[index].check(request)
        named = [replace(request, id=f"{next(self._names)}") for request in requests]
        self._reserve(self._engines[index], named)
        feed = Feed([name for one in named for name in answer_ids(one, one.id)], named)
        self._n_prepared[index] += len(feed.ids)
        return feed

    def _reserve(self, engine: Engine, requests: Sequence[Request]) -> None:
        reserved: list[Request] = []
        try:
            for request in requests:
                if request.objective is not None:
                    engine.reserve(request)
                    reserved.append(request)
        except BaseException:
            _release(engine, reserved)
            raise

    def submit(self, index: int, feed: Feed) -> None:
        """Queue a feed's requests with their engine."""

        def add() -> None:
            self._n_taken[index] += len(feed.ids)
            self._feeds[index].update(dict.fromkeys(feed.ids, feed))
            try:
                for request in feed.requests:
                    self._engines[index].add_samples(request)
            except Exception as error:
                self._fail(index, feed, error)

        self._commands.put(add)

    def forget(self, index: int, feed: Feed) -> None:
        """Take back a feed that was never submitted."""
        self._n_prepared[index] -= len(feed.ids)
        _release(self._engines[index], feed.requests)

    def n_queued(self, index: int) -> int:
        """Samples that were prepared and that the engine has not seen yet."""
        return self._n_prepared[index] - self._n_taken[index]

    def cancel(self, index: int, feed: Feed) -> None:
        """End what is left of a request; its blocks are free before the next step."""
        self._commands.put(lambda: self._cancel(index, feed))

    def cancel_all(self) -> None:
        """End everything; each sample's last output says that it was cancelled."""

        def cancel() -> None:
            for engine, feeds in zip(self._engines, self._feeds, strict=True):
                for name in feeds:
                    engine.cancel(name)

        self._commands.put(cancel)

    def _cancel(self, index: int, feed: Feed) -> None:
        for name in feed.ids:
            self._feeds[index].pop(name, None)
            self._engines[index].cancel(name)

    def _stop(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        while not self._stopping:
            for index, engine in enumerate(self._engines):
                self._obey()  # what was promised during another's step is there before this one
                if self._stopping:
                    return
                if engine.has_work and self._may_step(engine):
                    self._step(index, engine)

    def _obey(self) -> None:
        """Do what was asked for; wait for it if there is nothing else to do."""
        if not any(engine.has_work for engine in self._engines):
            self._commands.get()()
        try:
            while True:
                self._commands.get_nowait()()
        except Empty:
            pass

    def _step(self, index: int, engine: Engine) -> None:
        start_ns = engine.clock.now_ns()
        try:
            outputs = engine.step()
            end_ns = engine.clock.now_ns()
            self.recent[index].append((end_ns, end_ns - start_ns, len(outputs)))
            self._watch(index, engine)
        except Exception as error:
            _log.exception("a step failed", extra={"event": "step_failed"})
            self.failure[index] = error
            outputs = self._all_failed(index, engine)
        news: dict[Feed, list[Output]] = {}
        feeds = self._feeds[index]
        for output in outputs:
            feed = feeds.get(output.request_id)
            if feed is None:
                continue
            news.setdefault(feed, []).append(output)
            if output.finish_reason is not None:
                del feeds[output.request_id]
        if news and self._loop is not None:
            self._loop.call_soon_threadsafe(_hand_over, list(news.items()))
            self._loop.call_soon_threadsafe(_note_exit, engine, engine.clock.now_ns())

    def _fail(self, index: int, feed: Feed, error: Exception) -> None:
        """End what could not be queued after all, such as an answer whose grammar fails."""
        why = error
        if not isinstance(why, ForeknownError):
            _log.exception("a request failed", extra={"event": "request_failed"})
            why = ForeknownError("the engine failed", remedy="look at the server's log")
        self._cancel(index, feed)
        _release(self._engines[index], feed.requests)
        outputs = [Output(name, 0, None, finish_reason="error", error=why) for name in feed.ids]
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_hand_over, [(feed, outputs)])

    def _all_failed(self, index: int, engine: Engine) -> list[Output]:
        why = ForeknownError("the engine failed", remedy="look at the server's log")
        now_ns = engine.clock.now_ns()
        names = list(self._feeds[index])
        for name in names:
            engine.cancel(name)
        return [Output(name, now_ns, None, finish_reason="error", error=why) for name in names]


def _release(engine: Engine, requests: Sequence[Request]) -> None:
    """Drop what was reserved for requests that the engine will not see."""
    for request in requests:
        if request.objective is not None:
            engine.release(request.id)


def _note_exit(engine: Engine, step_end_ns: int) -> None:
    """On the event loop, when callers were handed what a step gave: how long that took."""
    now_ns = engine.clock.now_ns()
    engine.drift.exit_s.see((now_ns - step_end_ns) / 1e9, now_ns / 1e9)


def _hand_over(news: list[tuple[Feed, list[Output]]]) -> None:
    for feed, outputs in news:
        feed.put(outputs)
