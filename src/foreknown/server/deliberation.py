"""A strategy's answer underway: planned, made in time, and held to what was told of it.

A deadline is promised for one draft of its first round, by the time that the plan has for it or
else by the end, so that there is an answer then whatever comes; one of each later round is promised
if that can be, and all others take what is left. Shortly before the time is over the best so far is
the answer, whatever the engine is doing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from foreknown.engine import Output, Request
from foreknown.engine.drift import Worst
from foreknown.engine.output import FinishReason
from foreknown.engine.promises import LONGEST_MS, NotPromised, Objective, Promise
from foreknown.errors import ForeknownError
from foreknown.plan.price import Slower
from foreknown.server.accounts import End, promise_headers, promise_record
from foreknown.server.engine_thread import EngineThread
from foreknown.server.errors import refused
from foreknown.server.metrics import Metrics
from foreknown.server.objectives import Wanted, not_promised
from foreknown.server.rounds import Rounds
from foreknown.server.served_model import ServedModel
from foreknown.server.underway import Usage
from foreknown.strategies.answer import Answer, Terms, begun
from foreknown.strategies.auto import AUTO, best_measured
from foreknown.strategies.budget import Budget, Fitted
from foreknown.strategies.compose import Kit, with_effort
from foreknown.strategies.cost import Beside, Cost
from foreknown.strategies.course import Course, Reach
from foreknown.strategies.expression import Call
from foreknown.strategies.strategy import Problem

CHOICE_S, LAST_S = 0.015, 0.045
"""Before the end, to choose, and to choose and write the answer: callers, who may share the
machine, were seen to have it 15 ms after it was sent."""
LATE_SHARE = 0.45
"""Of the time, at most, that is kept for what others were late by, of late."""
LEAST_S = 0.001
PLAN_SHARE = 0.2
"""Of the time that is left, at most, to plan."""
PLAN_S = 1.0
_PLANNER = ThreadPoolExecutor(1, "planner")
"""One: planning is Python's work, and two would be in each other's way and in the engines'."""


@dataclass(frozen=True)
class Wish:
    """How a caller wants an answer made.

    Attributes:
        call: the strategy.
        kit: what it uses.
        budget: what it may take.
        verifier: the kit's, as it was named.
        trace: whether the answer says how it came about.
        reach: of an answer before, to have the same one.
    """

    call: Call
    kit: Kit
    budget: Budget
    verifier: str = ""
    trace: bool = False
    reach: Reach | None = None


class Deliberation:
    """A strategy on its way to an answer; see `Underway`.

    Args:
        prompt_ids: the tokens of a problem.
        request: of whom and how.
        lateness: how late answers were that had to stop, against when they were told to.
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
        lateness: Worst,
    ) -> None:
        self._lateness = lateness
        self._model, self._thread, self._metrics = model, thread, metrics
        self._wish, self._problem, self._wanted, self._request = wish, problem, wanted, request
        self._terms = _terms_now(model, prompt_ids)
        self._limit_s = wish.budget.seconds(self._terms.watts, self._terms.usd_per_hour)
        if wanted.objective is not None:
            assert wanted.objective.deadline_ms is not None
            self._limit_s = min(self._limit_s, wanted.objective.deadline_ms / 1e3)
        self._plan: Fitted | None = None
        self._course: Course | None = None
        self._rounds: Rounds | None = None
        self._answer: Answer | None = None
        self._is_made = self._is_closed = False
        self._plan_until_s = math.inf
        self._begin_ns = 0
        self._why = ""
        self.usage = Usage()

    async def start(self) -> Deliberation:
        """Plan it, and have its first round checked, and promised if a deadline was asked for.

        Raises:
            Refusal: the strategy or its prompts make no sense here, or the deadline cannot be kept.
        """
        try:
            await self._begin()
        except NotPromised as error:
            assert self._wanted.objective is not None
            self._metrics.promised(self._model.name, "refused")
            gone_ms = self._wanted.gone_ms(time.monotonic_ns())
            raise not_promised(error, self._wanted.objective, gone_ms) from None
        self._is_made = self._wanted.objective is not None
        if self._is_made:
            self._metrics.promised(self._model.name, "made")
        self._begin_ns = self._model.engine.clock.now_ns()
        self._count()
        return self

    async def foresee(self) -> NotPromised | None:
        """Plan it and see whether its deadline could be promised; nothing is run or kept.

        Returns:
            why it could not.

        Raises:
            Refusal: see `start`.
        """
        try:
            await self._begin()
        except NotPromised as error:
            return error
        finally:
            self.close()
        return None

    async def _begin(self) -> None:
        """Plan, and have the first round checked, and promised what is wanted."""
        try:
            self._plan, course = await self._soon_planned()
            self._course, most = course, self._wish.budget.max_tokens or math.inf
            self._rounds = Rounds(
                self._thread, self._model.index, course, self._share_of_time, most
            )
            self._rounds.begin(self._wanted.from_now(time.monotonic_ns()))
        except NotPromised:
            raise
        except ForeknownError as error:
            raise refused(error, "strategy") from None

    @property
    def is_over(self) -> bool:
        """Whether there is an answer."""
        return self._answer is not None

    @property
    def draft_tokens(self) -> int:
        """That each draft has at most."""
        return self._problem.params.max_tokens or 0

    def told(self) -> dict[str, Any]:
        """What is planned, and what of it is promised."""
        assert self._plan is not None
        strategy = {
            "asked": str(self._wish.call),
            "done": str(self._plan.call),
            "fits": self._plan.fits,
        }
        forecast = self._terms.taken(self._plan.seconds, self._plan.cost.n_tokens)
        return self._told({"strategy": strategy, "forecast": forecast})

    def outcome(self) -> dict[str, Any]:
        """The same, and what came of it."""
        if self._answer is None:
            return self.told()
        record = self._answer.record(self._terms, trace=self._wish.trace)
        del record["text"]
        return self._told(record)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the head of its response says of a promise."""
        promise = self._promise
        return [] if promise is None else promise_headers(promise)

    def record(self) -> dict[str, Any]:
        """What a log says of it; nothing of its text."""
        return {
            "model": self._model.name,
            "strategy": self._wish.call.name,
            "prompt_tokens": self.usage.prompt_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "promise": self._fate() if self._is_made and self._is_closed else None,
        }

    def close(self) -> None:
        """End what is still running, and enter in the books what became of a promise."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._rounds is not None:
            self._rounds.drop()
        if self._is_made:
            self._metrics.promised(self._model.name, self._fate())

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Output]]]:
        """The answer, when there is one.

        Raises:
            Refusal: a round ended in an error, or the server stops.
        """
        assert self._rounds is not None
        assert self._course is not None
        assert self._plan is not None
        patience_s, asked_s = self._patience_s, self._gone_s
        choice, reach = await self._rounds.choice(patience_s, CHOICE_S)
        if patience_s is not None and reach is not None:
            now_s = time.monotonic()
            self._lateness.see(max(self._gone_s - asked_s - patience_s, 0.0), now_s)
        self._rounds.drop()
        self._count()
        self._answer = replace(
            Answer.of(
                self._wish.call, self._plan, self._course, choice, self._gone_s, self._begin_ns
            ),
            reach=reach,
            why=self._why,
        )
        reason: FinishReason = "stop" if choice.finish_reason == "stop" else "length"
        metrics, seconds = self._metrics, self._answer.seconds
        metrics.deliberated(self._model.name, self._wish.call.name, reason, seconds, self.usage)
        now_ns = time.monotonic_ns()
        yield [(0, Output("", now_ns, None, choice.text, finish_reason=reason))]

    # Planning

    async def _soon_planned(self) -> tuple[Fitted, Course]:
        """The plan; the least that can be done where others are planned for too long."""
        loop = asyncio.get_running_loop()
        if self._patience_s is None:
            return await loop.run_in_executor(_PLANNER, self._planned)
        patience_s = min(PLAN_SHARE * self._left_s, PLAN_S)
        self._plan_until_s = time.monotonic() + patience_s
        planning = loop.run_in_executor(_PLANNER, self._planned)
        try:
            return await asyncio.wait_for(asyncio.shield(planning), 1.5 * patience_s)
        except TimeoutError:
            planning.cancel()
            return self._unplanned()

    def _is_late(self) -> bool:
        """Whether planning has taken long enough."""
        return time.monotonic() > self._plan_until_s

    def _planned(self) -> tuple[Fitted, Course]:
        """As much of the strategy as there is time for, and its beginning."""
        wish, left_s = self._wish, self._left_s
        budget, call, kit, problem = wish.budget, wish.call, wish.kit, self._problem
        if left_s < math.inf and wish.reach is None:
            budget = replace(budget, deadline_ms=min(1e3 * max(left_s, LEAST_S), LONGEST_MS))
        if call.name == AUTO:
            weights = self._model.artifact.manifest.weights_checksum
            found = best_measured(
                weights, kit, problem, budget, self._terms, verifier=wish.verifier
            )
            call, kit, problem, self._why = found.call, found.kit, found.problem, found.why
        given = (call, kit, problem, budget, self._terms, wish.reach)
        return begun(*given, is_late=self._is_late, request=self._request)

    def _unplanned(self) -> tuple[Fitted, Course]:
        """The least of the strategy, of which is only known that it ends when it has to: the
        planner is busy, and to plan here would hold up everybody."""
        wish, problem = self._wish, self._problem
        if wish.call.name == AUTO:
            call, self._why = Call("direct"), "there was no time to choose"
        else:
            call = with_effort(wish.call, 0.0)
        longest = Cost((max(self._left_s, LEAST_S),), problem.params.max_tokens or 0)
        given = (call, wish.kit, problem, wish.budget, self._terms)
        return begun(*given, plan=Fitted(call, longest, fits=False), request=self._request)

    def _share_of_time(self) -> Objective | None:
        """When the next round is to be over, if each takes its share of the time that is left."""
        if self._wanted.objective is None:
            return None
        assert self._course is not None
        assert self._plan is not None
        ends_s, n_done = self._plan.cost.ends_s, self._course.n_rounds - 1
        begun_s = ends_s[n_done - 1] if 0 < n_done <= len(ends_s) else 0.0
        share = 1.0
        if n_done < len(ends_s) and ends_s[-1] > begun_s:
            share = (ends_s[n_done] - begun_s) / (ends_s[-1] - begun_s)
        left_ms = 1e3 * max(self._left_s - LAST_S, LEAST_S)
        return Objective(deadline_ms=max(share * left_ms, 1e3 * LEAST_S))

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
        late_s = min(self._lateness.value, LATE_SHARE * self._limit_s)
        return max(self._left_s - LAST_S - late_s, 0.0)

    def _told(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record with the promise, and whether it was kept."""
        if self._promise is not None:
            record["promise"] = promise_record(self._promise)
            if self._answer is not None:
                record["kept"] = self._fate() == "kept"
        return {"foreknown": record}

    @property
    def _promise(self) -> Promise | None:
        wanted = self._wanted.objective
        return None if wanted is None or not self._is_made else Promise.of(wanted)

    def _fate(self) -> End:
        """How the promise came out."""
        if self._answer is None:
            return "broken" if self._left_s < 0 else "aborted"
        return "kept" if self._answer.seconds <= self._limit_s else "broken"

    def _count(self) -> None:
        assert self._course is not None
        course = self._course
        self.usage = Usage(course.n_prompt, course.n_cached, course.n_tokens)


def _terms_now(model: ServedModel, prompt_ids: Callable[[Problem], Sequence[int]]) -> Terms:
    """What an answer is made with, beside those that are being made."""
    engine, price = model.engine, model.price
    if price is None:
        raise refused(ForeknownError("this server cannot tell what a strategy takes"))
    beside = Beside(Slower(price, engine.drift.ratio), engine.company())
    machine = price.machine
    return Terms(prompt_ids, engine.capacity, beside, machine.busy_watts, machine.usd_per_hour)
