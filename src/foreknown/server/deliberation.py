"""A strategy's answer underway: its rounds on an engine that serves others, and in time.

Each round is a request like any other. A deadline is promised for the first one, by the time that
the plan has for it or else by the end, so that there is an answer then whatever comes; later rounds
are promised theirs if that can be, and else take what is left. Shortly before the time is over the
best so far is the answer, whatever the engine is doing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from foreknown.engine import Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.engine.output import FinishReason
from foreknown.engine.promises import LONGEST_MS, NotPromised, Objective, Promise
from foreknown.errors import ForeknownError
from foreknown.server.accounts import promise_headers, promise_record
from foreknown.server.engine_thread import EngineThread, Feed
from foreknown.server.errors import refused, shutting_down
from foreknown.server.metrics import Metrics
from foreknown.server.objectives import Wanted, not_promised
from foreknown.server.served_model import ServedModel
from foreknown.server.underway import Usage
from foreknown.strategies.answer import Answer, Terms, planned
from foreknown.strategies.budget import Budget, Fitted
from foreknown.strategies.compose import Kit, built
from foreknown.strategies.cost import Beside
from foreknown.strategies.course import Course, Reach
from foreknown.strategies.expression import Call
from foreknown.strategies.strategy import Choice, Part, Problem

LAST_S = 0.005
"""Before the end, to choose and to write the answer; the event loop's lateness comes on top."""
LEAST_S = 0.001


@dataclass(frozen=True)
class Wish:
    """How a caller wants an answer made.

    Attributes:
        call: the strategy.
        kit: what it uses.
        budget: what it may take.
        trace: whether the answer says how it came about.
        reach: of an answer before, to have the same one.
    """

    call: Call
    kit: Kit
    budget: Budget
    trace: bool = False
    reach: Reach | None = None


class Deliberation:
    """A strategy on its way to an answer; see `Underway`.

    Args:
        prompt_ids: the tokens of a problem.
        request: of whom and how.
    """

    def __init__(
        self,
        model: ServedModel,
        thread: EngineThread,
        metrics: Metrics,
        wish: Wish,
        problem: Problem,
        prompt_ids: Callable[[Problem], Sequence[int]],
        request: Request,
        wanted: Wanted,
    ) -> None:
        self._model, self._thread, self._metrics = model, thread, metrics
        self._wish, self._problem, self._wanted = wish, problem, wanted
        self._request = request
        self._terms = self._terms_now(prompt_ids)
        limit_s = wish.budget.seconds(self._terms.watts, self._terms.usd_per_hour)
        self._is_promised = wanted.objective is not None
        if wanted.objective is not None:
            assert wanted.objective.deadline_ms is not None
            limit_s = min(limit_s, wanted.objective.deadline_ms / 1e3)
        self._limit_s = limit_s
        self._course: Course | None = None
        self._plan: Fitted | None = None
        self._feed: Feed | None = None
        self._submitted = False
        self._answer: Answer | None = None
        self._is_choosing = self._closed = False
        self.usage = Usage()

    async def start(self) -> Deliberation:
        """Plan it, and have its first round checked, and promised if a deadline was asked for.

        Raises:
            Refusal: the strategy or its prompts make no sense here, or the deadline cannot be kept.
        """
        try:
            plan, course = await asyncio.to_thread(self._planned)
            self._plan, self._course = plan, course
            requests = await asyncio.to_thread(course.begin)
            self._begin_ns = self._model.engine.clock.now_ns()
            self._feed = self._promised(requests) if self._is_promised else self._plain(requests)
        except ForeknownError as error:
            raise refused(error, "strategy") from None
        if self._is_promised:
            self._metrics.promised(self._model.name, "made")
        self._count()
        return self

    @property
    def is_over(self) -> bool:
        """Whether there is an answer."""
        return self._answer is not None

    def told(self) -> dict[str, Any]:
        """What is planned, and what of it is promised."""
        assert self._plan is not None
        planned = {
            "strategy": {
                "asked": str(self._wish.call),
                "done": str(self._plan.call),
                "fits": self._plan.fits,
            },
            "forecast": self._terms.taken(self._plan.cost.seconds, self._plan.cost.n_tokens),
        }
        return {"foreknown": {**planned, **self._promise_record()}}

    def outcome(self) -> dict[str, Any]:
        """The same, and what came of it."""
        if self._answer is None:
            return self.told()
        record = self._answer.record(self._terms, trace=self._wish.trace)
        del record["text"]
        return {"foreknown": {**record, **self._promise_record()}}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the head of its response says of a promise."""
        promise = self._promise
        return [] if promise is None or self._feed is None else promise_headers(promise)

    def record(self) -> dict[str, Any]:
        """What a log says of it; nothing of its text."""
        return {
            "model": self._model.name,
            "strategy": self._wish.call.name,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "promise": self._fate() if self._is_promised and self._closed else None,
        }

    def close(self) -> None:
        """End what is still running, and enter in the books what became of a promise."""
        if self._closed:
            return
        self._closed = True
        self._drop()
        if self._is_promised and self._plan is not None:
            self._metrics.promised(self._model.name, self._fate())

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Output]]]:
        """The answer, when there is one.

        Raises:
            Refusal: a round ended in an error, or the server stops.
        """
        assert self._course is not None
        choice = await self._chosen(self._course)
        self._drop()
        self._count()
        self._answer = self._answered(self._course, choice)
        finish: FinishReason = "stop" if choice.is_whole else "length"
        metrics, seconds = self._metrics, self._answer.seconds
        metrics.deliberated(self._model.name, self._wish.call.name, finish, seconds, self.usage)
        yield [(0, Output("", time.monotonic_ns(), None, choice.text, finish_reason=finish))]

    # The course

    def _terms_now(self, prompt_ids: Callable[[Problem], Sequence[int]]) -> Terms:
        """What an answer is made with, beside those that are being made."""
        engine, price = self._model.engine, self._model.price
        if price is None:
            raise refused(ForeknownError("this server cannot tell what a strategy takes"))
        machine = price.machine
        beside = Beside(price, engine.company(), engine.drift.ratio)
        return Terms(prompt_ids, engine.capacity, beside, machine.busy_watts, machine.usd_per_hour)

    def _planned(self) -> tuple[Fitted, Course]:
        """As much of the strategy as there is time for, and its beginning."""
        wish, left_s = self._wish, self._left_s
        budget, call = wish.budget, wish.call
        if left_s < math.inf and wish.reach is None:
            budget = replace(budget, deadline_ms=min(1e3 * max(left_s, LEAST_S), LONGEST_MS))
        plan = planned(call, wish.kit, self._problem, budget, self._terms)
        if wish.reach is not None:  # what was done is to be done again, whatever it takes
            plan = replace(plan, call=call)
        course = Course(
            built(plan.call, wish.kit),
            self._problem,
            self._terms.prompt_ids,
            self._terms.capacity.context,
            request=self._request,
            bound=wish.reach,
        )
        return plan, course

    async def _chosen(self, course: Course) -> Choice:
        """The course's choice, or what there is when its time is over."""
        rounds = asyncio.ensure_future(self._rounds(course))
        try:
            await asyncio.wait_for(asyncio.shield(rounds), self._patience_s)
            is_late = False
        except TimeoutError:
            is_late = True
        finally:
            rounds.cancel()
        if is_late and course.choice is None and not self._is_choosing:
            left_s = max(self._left_s - LEAST_S, LEAST_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.to_thread(course.end), left_s)
        return course.choice or _standby(course)

    async def _rounds(self, course: Course) -> None:
        most = self._wish.budget.max_tokens or math.inf
        while course.choice is None:
            assert self._feed is not None
            self._submitted = True
            self._thread.submit(self._model.index, self._feed)
            has_come = False
            while not has_come:
                has_come = course.take(self._renamed(await self._feed.next()))
                if course.n_tokens >= most:
                    await asyncio.to_thread(course.end)
                    return
            self._feed = None
            requests = await self._next(course)
            if course.choice is None:
                self._feed = self._promised_or_plain(requests)

    async def _next(self, course: Course) -> list[Request]:
        """What it asks for next; verifiers may take long, so others' tokens do not wait for it."""
        self._is_choosing = True
        try:
            requests = await asyncio.to_thread(course.go_on)
        except ForeknownError as error:
            raise refused(error, "strategy") from None
        self._is_choosing = False
        return requests

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

    # The engine

    def _plain(self, requests: Sequence[Request], objective: Objective | None = None) -> Feed:
        """A feed for a round."""
        wanted = [replace(request, objective=objective) for request in requests]
        feed = self._thread.prepare(self._model.index, wanted)
        names = [name for one in requests for name in answer_ids(one, one.id)]
        self._names = dict(zip(feed.ids, names, strict=True))
        self._submitted = False
        return feed

    def _promised(self, requests: Sequence[Request]) -> Feed:
        """A feed for the first round, which is promised for when it is planned, or for the end.

        Raises:
            Refusal: neither can be.
        """
        wanted, gone_ns = self._wanted, time.monotonic_ns()
        objective = wanted.from_now(gone_ns)
        assert objective is not None
        assert wanted.objective is not None
        try:
            return self._plain(requests, self._share_of_time())
        except NotPromised:
            pass
        try:
            return self._plain(requests, objective)
        except NotPromised as error:
            self._metrics.promised(self._model.name, "refused")
            raise not_promised(error, wanted.objective, wanted.gone_ms(gone_ns)) from None

    def _promised_or_plain(self, requests: Sequence[Request]) -> Feed:
        if self._is_promised:
            try:
                return self._plain(requests, self._share_of_time())
            except NotPromised:
                pass
        return self._plain(requests)

    def _share_of_time(self) -> Objective:
        """When the next round is to be over, if each takes its share of the time that is left."""
        assert self._course is not None
        assert self._plan is not None
        ends_s, n_done = self._plan.cost.ends_s, self._course.n_rounds - 1
        begun_s = ends_s[n_done - 1] if 0 < n_done <= len(ends_s) else 0.0
        share = 1.0
        if n_done < len(ends_s) and ends_s[-1] > begun_s:
            share = (ends_s[n_done] - begun_s) / (ends_s[-1] - begun_s)
        left_ms = 1e3 * max(self._left_s - LAST_S, LEAST_S)
        return Objective(deadline_ms=max(share * left_ms, 1e3 * LEAST_S))

    def _drop(self) -> None:
        """End what is left of a round."""
        feed, self._feed = self._feed, None
        if feed is None:
            return
        if self._submitted:
            self._thread.cancel(self._model.index, feed)
        else:
            self._thread.forget(self._model.index, feed)

    # Time and books

    @property
    def _gone_s(self) -> float:
        return self._wanted.gone_ms(time.monotonic_ns()) / 1e3

    @property
    def _left_s(self) -> float:
        return self._limit_s - self._gone_s

    @property
    def _patience_s(self) -> float | None:
        """How long to wait for the choice; None: as long as it takes."""
        if self._limit_s == math.inf or self._wish.reach is not None:
            return None
        late_s = self._model.engine.drift.exit_s.value
        return max(self._left_s - LAST_S - min(late_s, self._limit_s / 4), 0.0)

    @property
    def _promise(self) -> Promise | None:
        wanted = self._wanted.objective
        return None if wanted is None else Promise.of(wanted)

    def _promise_record(self) -> dict[str, Any]:
        if self._promise is None:
            return {}
        record: dict[str, Any] = {"promise": promise_record(self._promise)}
        if self._answer is not None:
            record["kept"] = self._fate() == "kept"
        return record

    def _fate(self) -> Any:
        """How the promise came out."""
        if self._answer is None:
            return "broken" if self._left_s < 0 else "aborted"
        return "kept" if self._answer.seconds <= self._limit_s else "broken"

    def _count(self) -> None:
        assert self._course is not None
        course = self._course
        self.usage = Usage(course.n_prompt, course.n_cached, course.n_tokens)

    def _answered(self, course: Course, choice: Choice) -> Answer:
        assert self._plan is not None
        return Answer.of(
            self._wish.call, self._plan, course, choice, self._gone_s, self._begin_ns
        )


def _standby(course: Course) -> Choice:
    """The last whole draft, while the course still weighs what it has."""
    draft = course.standby
    note = {"chosen": "the last whole draft: there was no time to choose"}
    if draft is None:
        return Choice("", 0.0, False, Part("standby", notes=note))
    return Choice(draft.text, draft.logprob, False, Part("standby", (draft,), note))
