"""Requests of one caller underway: outputs as they come, counted, timed, held to what was told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.engine import Output, Request
from foreknown.engine.promises import Foreseen, NotPromised
from foreknown.errors import RequestError
from foreknown.server.accounts import Account, End, promise_headers
from foreknown.server.engine_thread import EngineThread, Feed
from foreknown.server.errors import refused, shutting_down
from foreknown.server.metrics import Metrics
from foreknown.server.objectives import Wanted, not_promised
from foreknown.server.served_model import ServedModel
from foreknown.server.underway import Usage


@dataclass
class Generation:
    """Some prompts, each with one or more samples, on their way through an engine.

    Start it, iterate over it once, and close it in any case: that ends what is left in the engine
    when a client has vanished.
    """

    model: ServedModel
    thread: EngineThread
    metrics: Metrics
    requests: Sequence[Request]
    wanted: Wanted = field(default_factory=Wanted)
    usage: Usage = field(default_factory=Usage)
    account: Account | None = None
    _feed: Feed | None = None
    _n_left: int = 0
    _submitted: bool = False
    _closed: bool = False
    _end: End | None = None

    def start(self) -> Generation:
        """Have the requests checked, and an objective reserved; they are queued when somebody
        iterates.

        So a stream's beginning is on its way before the engine takes all processors.

        Raises:
            RequestError: the engine does not take them.
            Refusal: the objective cannot be kept.
        """
        self.usage.prompt_tokens = sum(len(request.prompt) for request in self.requests)
        self._start_ns = self.model.engine.clock.now_ns()
        self._feed = self._prepared()
        self.metrics.asked(self.model.name, self.usage.prompt_tokens)
        self._n_left = len(self._feed.ids)
        self._places = {name: place for place, name in enumerate(self._feed.ids)}
        self._last_ns = [self._start_ns] * self._n_left
        self._n_tokens = [0] * self._n_left
        return self

    def _prepared(self) -> Feed:
        """A feed, with its account if anything is to be told or held against what comes."""
        wanted, prepare = self.wanted, self.thread.prepare
        told_ns, name = time.monotonic_ns(), self.model.name
        objective = wanted.from_now(told_ns)
        requests = [replace(request, objective=objective) for request in self.requests]
        forecast = self._foreseen(requests, told_ns)
        if wanted.is_plain and forecast is None:
            return prepare(self.model.index, requests)
        try:
            feed = prepare(self.model.index, requests)
        except NotPromised as error:
            self.metrics.promised(name, "refused")
            assert wanted.objective is not None
            raise not_promised(error, wanted.objective, wanted.gone_ms(told_ns)) from None
        self.account = feed.account = Account(
            wanted.objective,
            forecast,
            wanted.arrival_ns or told_ns,
            told_ns,
            feed.ids,
            tells_forecast=wanted.forecast,
        )
        if wanted.objective is not None:
            self.metrics.promised(name, "made")
        return feed

    def _foreseen(self, requests: Sequence[Request], now_ns: int) -> Foreseen | None:
        """What the first of the requests is told to take, or would have been; None: nothing is."""
        engine = self.model.engine
        if self.wanted.forecast:
            return engine.foresee(requests[0])
        if len(requests) > 1 or not self.metrics.forecast_is_due(self.model.name, now_ns):
            return None
        try:
            return engine.foresee(requests[0])
        except RequestError:  # it is refused, or nobody knows what steps take
            return None

    @property
    def is_over(self) -> bool:
        """Whether every sample has ended."""
        return self._n_left == 0

    def told(self) -> dict[str, Any]:
        """What a response says at its beginning of what it will take; nothing if nobody asked."""
        if self.account is None or self.wanted.is_plain:
            return {}
        return {"foreknown": self.account.told()}

    def outcome(self) -> dict[str, Any]:
        """The same at its end, with what it took."""
        if self.account is None or self.wanted.is_plain:
            return {}
        return {"foreknown": self.account.record()}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the head of its response says of a promise."""
        if self.account is None or self.account.promise is None:
            return []
        return promise_headers(self.account.promise)

    def close(self) -> None:
        """End what is still running, and enter in the books what became of a promise."""
        if self._feed is not None and self.account is not None and not self._closed:
            name = self.model.name
            self._end = self.account.end(time.monotonic_ns())
            if self._end is not None:
                self.metrics.promised(name, self._end)
            for what, ratio in self.account.errors.items():
                self.metrics.forecast_erred(name, what, ratio)
        self._closed = True
        if self._feed is not None and self._n_left:
            if self._submitted:
                self.thread.cancel(self.model.index, self._feed)
            else:
                self.thread.forget(self.model.index, self._feed)
            self.metrics.finished(self.model.name, "abort", self._n_left)
            self._n_left = 0

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Output]]]:
        """Groups of outputs that came together, each with its sample's place.

        Raises:
            Refusal: a sample ended in an error, or was cut off because the server stops.
        """
        assert self._feed is not None
        self._submitted = True
        self.thread.submit(self.model.index, self._feed)
        while self._n_left:
            news = [(self._places[o.request_id], o) for o in await self._feed.next()]
            for place, output in news:
                self._count(place, output)
            yield news

    def record(self) -> dict[str, Any]:
        """What a log says of it; nothing of its text."""
        return {
            "model": self.model.name,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "promise": self._end,
        }

    def _count(self, place: int, output: Output) -> None:
        metrics, name = self.metrics, self.model.name
        if output.token is not None:
            self.usage.completion_tokens += 1
            self._n_tokens[place] += 1
            gap_s = (output.time_ns - self._last_ns[place]) / 1e9
            self._last_ns[place] = output.time_ns
            if self._n_tokens[place] == 1:
                metrics.first_token(name, gap_s)
            else:
                metrics.next_token(name, gap_s)
        if output.finish_reason is None:
            return
        self._n_left -= 1
        self.usage.cached_tokens += output.n_cached
        metrics.finished(name, output.finish_reason)
        metrics.request(name, self._n_tokens[place], (output.time_ns - self._start_ns) / 1e9)
        if output.error is not None:
            raise refused(output.error)
        if output.finish_reason == "cancelled":
            raise shutting_down()
