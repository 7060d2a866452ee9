"""One answer in the making: turns what a strategy asks for into requests, and outputs into drafts.

It starts nothing itself: whoever has an engine queues the requests that it gives, and shows it the
outputs that come of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from foreknown.engine import Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.engine.promises import Objective
from foreknown.strategies.strategy import EMPTY, Ask, Choice, Draft, Problem, Strategy


@dataclass
class _Coming:
    """A draft that is being written."""

    text: str
    n_tokens: int = 0
    logprob: float = 0.0
    finish_reason: str = ""

    def draft(self) -> Draft:
        mean = self.logprob / self.n_tokens if self.n_tokens else 0.0
        return Draft(self.text, self.n_tokens, mean, self.finish_reason)


class Course:
    """A strategy on its way to an answer.

    Args:
        name: that its requests' ids begin with.
        prompt_ids: the tokens of a problem, with what is begun of its answer.
        context: tokens of a prompt and its draft at most. What leaves no room for a draft comes
            back empty.
        request: of whom and how: user, salt; its prompt and params do not matter.

    Attributes:
        choice: the answer, when there is one.
        is_over: whether its time is.
        n_rounds: how often drafts were asked for and given.
        n_tokens: that drafts took so far.
        n_cached: tokens of their prompts that were found computed.
    """

    def __init__(
        self,
        strategy: Strategy,
        problem: Problem,
        prompt_ids: Callable[[Problem], Sequence[int]],
        context: int,
        *,
        name: str = "course",
        request: Request | None = None,
    ) -> None:
        self._steps = strategy(problem)
        self._prompt_ids, self._context, self._name = prompt_ids, context, name
        self._request = Request((0,)) if request is None else request
        self._ids: list[list[str]] = []
        self._coming: dict[str, _Coming] = {}
        self.is_over = False
        self.choice: Choice | None = None
        self.n_rounds = self.n_tokens = self.n_cached = 0

    def begin(self, objective: Objective | None = None) -> list[Request]:
        """What it asks for first."""
        return self._ask(None, objective)

    def take(self, outputs: Iterable[Output], objective: Objective | None = None) -> list[Request]:
        """Take note of outputs of its requests; what it asks for next, if that was the last.

        Args:
            objective: what those are to be promised.

        Raises:
            ForeknownError: a request ended in an error.
        """
        for output in outputs:
            self._note(output)
        if self.choice is None and all(one.finish_reason for one in self._coming.values()):
            return self._ask(self._drafts(), objective)
        return []

    def end(self, unsent: Iterable[Request] = ()) -> list[str]:
        """Its time is over: the ids of what need not come any more.

        When their last outputs were taken there is a choice.

        Args:
            unsent: requests that it gave and nobody queued.
        """
        self.is_over = True
        for request in unsent:
            for name in answer_ids(request, request.id):
                self._coming[name].finish_reason = "cancelled"
        left = [name for name, one in self._coming.items() if not one.finish_reason]
        if not left and self.choice is None:
            self._ask(self._drafts(), None)
        return left

    def _note(self, output: Output) -> None:
        one = self._coming[output.request_id]
        if output.error is not None:
            raise output.error
        one.text += output.text
        self.n_cached += output.n_cached
        if output.token is not None:
            one.n_tokens += 1
            self.n_tokens += 1
            one.logprob += output.logprob or 0.0
        if output.finish_reason is not None:
            one.finish_reason = output.finish_reason

    def _drafts(self) -> list[list[Draft]]:
        return [[self._coming[name].draft() for name in ids] for ids in self._ids]

    def _ask(
        self, drafts: Sequence[Sequence[Draft]] | None, objective: Objective | None
    ) -> list[Request]:
        while True:
            try:
                asks = next(self._steps) if drafts is None else self._steps.send(drafts)
            except StopIteration as stop:
                self.choice = stop.value
                return []
            if not self.is_over and (requests := self._begun(asks, objective)):
                self.n_rounds += 1
                return requests
            drafts = [[EMPTY] * ask.samples for ask in asks]

    def _begun(self, asks: Sequence[Ask], objective: Objective | None) -> list[Request]:
        """The requests of what there is room for."""
        self._ids, self._coming = [], {}
        requests = []
        for place, ask in enumerate(asks):
            request = self._new(ask, place, objective)
            has_room = len(request.prompt) < self._context
            ids = answer_ids(request, request.id)
            self._ids.append(ids)
            for name in ids:
                self._coming[name] = _Coming(ask.problem.begun if has_room else "")
                self._coming[name].finish_reason = "" if has_room else "cancelled"
            if has_room:
                requests.append(request)
        return requests

    def _new(self, ask: Ask, place: int, objective: Objective | None) -> Request:
        ids, params = self._prompt_ids(ask.problem), ask.problem.params
        room = max(self._context - len(ids), 1)
        most = room if params.max_tokens is None else min(params.max_tokens, room)
        return replace(
            self._request,
            prompt=ids,
            params=replace(params, logprobs=params.logprobs or 0, max_tokens=most),
            id=f"{self._name}.{self.n_rounds}.{place}",
            samples=ask.samples,
            objective=objective,
        )
