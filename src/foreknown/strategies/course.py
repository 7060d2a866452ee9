"""One answer in the making: turns what a strategy asks for into requests, and outputs into drafts.

It starts nothing itself: whoever has an engine queues the requests that it gives, and shows it the
outputs that come of them. When its time is over it chooses among what it has; how far it had come
is its reach, and a course that is given that reach stops there and has the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from foreknown.engine import Output, Request
from foreknown.engine.intake import answer_ids
from foreknown.engine.promises import Objective
from foreknown.engine.request import Beams
from foreknown.errors import RequestError
from foreknown.strategies.strategy import (
    CUT,
    EMPTY,
    Ask,
    Choice,
    Draft,
    Part,
    Problem,
    Strategy,
)

_REACH = re.compile(r"[0-9]{1,6}:([0-9]{1,9}|-)(,([0-9]{1,9}|-))*!?", re.ASCII)
LONGEST_REACH = 65_536
"""Characters of one."""


@dataclass(frozen=True)
class Reach:
    """How far a course came before its time was over.

    Attributes:
        round: in which that was, the first one being 1.
        tokens: of each draft of that round, in order; None: it was whole.
        is_hasty: there was not even time to choose.
    """

    round: int
    tokens: tuple[int | None, ...]
    is_hasty: bool = False

    def __str__(self) -> str:
        """As in `3:12,-,7`: in the third round, the second draft whole."""
        each = ("-" if n is None else str(n) for n in self.tokens)
        return f"{self.round}:{','.join(each)}{'!' if self.is_hasty else ''}"


def parse_reach(text: str) -> Reach:
    """A reach from its text form.

    Raises:
        RequestError: it is none.
    """
    if len(text) > LONGEST_REACH or _REACH.fullmatch(text) is None:
        raise RequestError(
            f"the reach {text[:40]!r} cannot be read",
            remedy='give one that a record has, as in "3:12,-,7"',
            field="reach",
        )
    number, _, rest = text.partition(":")
    tokens = rest.removesuffix("!").split(",")
    each = tuple(None if n == "-" else int(n) for n in tokens)
    return Reach(int(number), each, is_hasty=rest.endswith("!"))


@dataclass
class Round:
    """What was asked for at once.

    Attributes:
        parts: what it was for, in order.
        n_tokens: that came.
        end_ns: when the last of them did, by the engine's clock; 0: none came.
    """

    parts: tuple[str, ...]
    n_tokens: int = 0
    end_ns: int = 0


@dataclass
class _Coming:
    """A draft that is being written, to so many tokens at most."""

    text: str
    is_answer: bool = True
    most: int | None = None
    n_tokens: int = 0
    logprob: float = 0.0
    finish_reason: str = ""
    stopped_by: str | int | None = None

    def draft(self) -> Draft:
        mean = self.logprob / self.n_tokens if self.n_tokens else 0.0
        return Draft(self.text, self.n_tokens, mean, self.finish_reason, self.stopped_by)

    def stop_if_far_enough(self) -> None:
        if not self.finish_reason and self.n_tokens == self.most:
            self.finish_reason = CUT


class Course:
    """A strategy on its way to an answer.

    Args:
        name: that its requests' ids begin with.
        prompt_ids: the tokens of a problem, with what is begun of its answer.
        context: tokens of a prompt and its draft at most. What leaves no room for a draft comes
            back empty.
        request: of whom and how: user, salt; its prompt and params do not matter.
        bound: where it is to stop; None: when it is told to.

    Attributes:
        choice: the answer, when there is one.
        reach: where it was told to stop; None: nowhere yet.
        rounds: each time that drafts were asked for.
        n_tokens: that drafts took so far.
        n_prompt: tokens of their prompts, each once; n_cached: of these, found computed.
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
        bound: Reach | None = None,
    ) -> None:
        self._steps = strategy(problem)
        self._prompt_ids, self._context, self._name = prompt_ids, context, name
        self._request = Request((0,)) if request is None else request
        self._bound = bound
        self._ids: list[list[str]] = []
        self._coming: dict[str, _Coming] = {}
        self._standby: Draft | None = None  # of rounds before
        self.reach: Reach | None = None
        self.choice: Choice | None = None
        self.rounds: list[Round] = []
        self.n_tokens = self.n_prompt = self.n_cached = 0

    @property
    def n_rounds(self) -> int:
        """How often drafts were asked for."""
        return len(self.rounds)

    @property
    def is_over(self) -> bool:
        """Whether its time is."""
        return self.reach is not None

    def begin(self, objective: Objective | None = None) -> list[Request]:
        """What it asks for first."""
        return self._ask(None, objective)

    def take(self, outputs: Iterable[Output]) -> bool:
        """Take note of outputs of its requests; whether all that it asked for has come.

        Raises:
            ForeknownError: a request ended in an error.
        """
        for output in outputs:
            self._note(output)
        return all(one.finish_reason for one in self._coming.values())

    def go_on(self, objective: Objective | None = None) -> list[Request]:
        """What it asks for next, when all has come; nothing if it has come to its choice.

        Args:
            objective: what that is to be promised.
        """
        if self._bound is not None and self.n_rounds == self._bound.round:
            if self._bound.is_hasty:
                self.choice, self.reach = self.hasty()
            else:
                self.end()
            return []
        self._standby = self._whole_answer()
        return self._ask(self._drafts(), objective)

    def end(self) -> list[str]:
        """Its time is over: it chooses at once, and these need not come any more."""
        left = [name for name, one in self._coming.items() if not one.finish_reason]
        for name in left:
            self._coming[name].finish_reason = CUT
        self.reach = self._reached()
        if self.choice is None:
            self._ask(self._drafts() if self.n_rounds else None, None)
        return left

    def hasty(self) -> tuple[Choice, Reach]:
        """What is answered where there is no time to choose, and the reach that gives it again.

        It is the first whole draft of the last round that has one.
        """
        draft = self._whole_answer() or EMPTY
        part = Part("hasty", (draft,), {"chosen": "the first whole draft: no time to choose"})
        choice = Choice(draft.text, draft.logprob, CUT, part)
        return choice, replace(self._reached(), is_hasty=True)

    def _reached(self) -> Reach:
        each = (self._coming[name] for ids in self._ids for name in ids)
        tokens = (None if one.finish_reason not in ("", CUT) else one.n_tokens for one in each)
        return Reach(self.n_rounds, tuple(tokens))

    def _whole_answer(self) -> Draft | None:
        """The first of this round, else one of those before."""
        each = (self._coming[name] for ids in self._ids for name in ids)
        whole = (one for one in each if one.is_answer and one.finish_reason not in ("", CUT))
        first = next(whole, None)
        return self._standby if first is None else first.draft()

    def _note(self, output: Output) -> None:
        one = self._coming[output.request_id]
        if one.finish_reason:
            return
        if output.error is not None:
            raise output.error
        one.text += output.text
        self.n_cached += output.n_cached
        if output.token is not None:
            one.n_tokens += 1
            self.n_tokens += 1
            self.rounds[-1].n_tokens += 1
            self.rounds[-1].end_ns = output.time_ns
            one.logprob += output.logprob or 0.0
        if output.finish_reason is not None:
            one.finish_reason, one.stopped_by = output.finish_reason, output.stopped_by
        one.stop_if_far_enough()

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
                self.rounds.append(Round(tuple(ask.part for ask in asks)))
                self._stop_at_bound()
                return requests
            drafts = [[EMPTY] * ask.samples for ask in asks]

    def _begun(self, asks: Sequence[Ask], objective: Objective | None) -> list[Request]:
        """The requests of what there is room for."""
        self._ids, self._coming = [], {}
        requests = []
        for place, ask in enumerate(asks):
            request = self._new(ask, place, objective)
            has_room = ask.room(len(request.prompt), self._context) > 0
            ids = answer_ids(request, request.id)
            self._ids.append(ids)
            for name in ids:
                self._coming[name] = _Coming(ask.problem.begun if has_room else "", ask.is_answer)
                self._coming[name].finish_reason = "" if has_room else CUT
            if has_room:
                self.n_prompt += len(request.prompt)
                requests.append(request)
        return requests

    def _stop_at_bound(self) -> None:
        """Have drafts of the round in which it is to stop be as long as they may be then."""
        if self._bound is None or self.n_rounds != self._bound.round:
            return
        names = [name for ids in self._ids for name in ids]
        if len(names) != len(self._bound.tokens):
            raise RequestError(
                f"the reach has {len(self._bound.tokens)} drafts in round {self.n_rounds}, where "
                f"this strategy has {len(names)}",
                remedy="give the strategy, the seed and the reach of one record",
                field="reach",
            )
        for name, most in zip(names, self._bound.tokens, strict=True):
            self._coming[name].most = most
            self._coming[name].stop_if_far_enough()

    def _new(self, ask: Ask, place: int, objective: Objective | None) -> Request:
        ids, params = self._prompt_ids(ask.problem), ask.problem.params
        room = max(ask.room(len(ids), self._context), 1)
        most = room if params.max_tokens is None else min(params.max_tokens, room)
        return replace(
            self._request,
            prompt=ids,
            params=replace(params, logprobs=params.logprobs or 0, max_tokens=most),
            id=f"{self._name}.{self.n_rounds}.{place}",
            samples=1 if ask.beams else ask.samples,
            beams=Beams(ask.samples, n=ask.samples) if ask.beams else None,
            objective=objective,
        )
