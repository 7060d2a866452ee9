"""A course's rounds on an engine that serves others, until it has chosen or its time is over."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from foreknown.engine import Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.engine.promises import NotPromised, Objective
from foreknown.errors import ForeknownError
from foreknown.server.engine_thread import EngineThread, Feed
from foreknown.server.errors import refused, shutting_down
from foreknown.strategies.course import Course, Reach
from foreknown.strategies.strategy import Choice

Wants = Callable[[], Objective | None]
"""What the next round is to be promised; None: nothing."""


class Rounds:
    """The rounds of one course; each is a request like any other.

    Args:
        index: the engine's place in its thread.
        wants: asked before each round.
        max_tokens: that drafts may take, all together.
    """

    def __init__(
        self,
        thread: EngineThread,
        index: int,
        course: Course,
        wants: Wants,
        max_tokens: float = math.inf,
    ) -> None:
        self._thread, self._index = thread, index
        self._course, self._wants, self._max_tokens = course, wants, max_tokens
        self._feed: Feed | None = None
        self._submitted = False
        self._names: dict[str, str] = {}
        self._in_haste: tuple[Choice, Reach] | None = None  # while a thread has the course

    def begin(self, otherwise: Objective | None) -> None:
        """Have the first round checked, and promised what it wants, or else something less.

        Raises:
            NotPromised: neither can be.
            RequestError: the engine does not take it.
        """
        requests = self._course.begin()
        if otherwise is None:
            self._prepare(requests, None)
            return
        with suppress(NotPromised):
            self._prepare(requests, self._wants())
            return
        self._prepare(requests, otherwise)

    async def choice(self, patience_s: float | None, last_s: float) -> tuple[Choice, Reach | None]:
        """What the course chooses, and where it stopped if it had to.

        Args:
            patience_s: after which it has to; None: never.
            last_s: that it may take to choose then.

        Raises:
            Refusal: a round ended in an error, or the server stops.
        """
        course = self._course
        playing = asyncio.ensure_future(self._play())
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(playing), patience_s)
        finally:
            playing.cancel()
        if course.choice is None and self._in_haste is None:
            self._in_haste = course.hasty()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(course.end), last_s)
        if course.choice is not None:
            return course.choice, course.reach
        assert self._in_haste is not None
        return self._in_haste

    def drop(self) -> None:
        """End what is left of a round in the engine."""
        feed, self._feed = self._feed, None
        if feed is None:
            return
        if self._submitted:
            self._thread.cancel(self._index, feed)
        else:
            self._thread.forget(self._index, feed)

    async def _play(self) -> None:
        course = self._course
        while course.choice is None:
            if self._feed is not None:
                self._submitted = True
                self._thread.submit(self._index, self._feed)
            has_come = self._feed is None  # there was no room for any of it
            while not has_come:
                assert self._feed is not None
                has_come = course.take(self._renamed(await self._feed.next()))
                if course.n_tokens >= self._max_tokens:
                    await asyncio.to_thread(course.end)
                    return
            self._feed = None
            requests = await self._next()
            if course.choice is None:
                try:
                    self._prepare(requests, self._wants())
                except NotPromised:
                    self._prepare(requests, None)

    async def _next(self) -> list[Request]:
        """What it asks for next, by a thread: verifiers take long, and others' tokens go on."""
        self._in_haste = self._course.hasty()
        try:
            requests = await asyncio.to_thread(self._course.go_on)
        except ForeknownError as error:
            raise refused(error, "strategy") from None
        self._in_haste = None
        return requests

    def _prepare(self, requests: Sequence[Request], objective: Objective | None) -> None:
        """A feed for a round, of which one draft is promised: what is told of it is told soon.

        Raises:
            NotPromised, RequestError: see `EngineThread.prepare`.
        """
        if not requests:
            return
        wanted = list(requests) if objective is None else _one_promised(requests, objective)
        self._feed = self._thread.prepare(self._index, wanted)
        names = [name for one in requests for name in answer_ids(one, one.id)]
        self._names = dict(zip(self._feed.ids, names, strict=True))
        self._submitted = False

    def _renamed(self, outputs: Sequence[Output]) -> list[Output]:
        """The engine's outputs under the names that the course gave.

        Raises:
            Refusal: one ended in an error, or because the server stops.
        """
        for output in outputs:
            if output.error is not None:
                raise refused(output.error)
            if output.finish_reason == "cancelled":
                raise shutting_down()
        return [output._replace(request_id=self._names[output.request_id]) for output in outputs]


def _one_promised(requests: Sequence[Request], objective: Objective) -> list[Request]:
    """The same drafts, the first of which wants something kept."""
    first, *others = requests
    if first.samples == 1 or first.beams is not None:
        return [replace(first, objective=objective), *others]
    seed = first.params.seed
    assert seed is not None
    rest = replace(first.params, seed=seed + 1)  # as the engine draws samples of one request
    return [
        replace(first, samples=1, objective=objective),
        replace(first, samples=first.samples - 1, params=rest),
        *others,
    ]
