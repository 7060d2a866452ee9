"""What a strategy is: a generator that asks for drafts, is given them, and chooses at the end.

    (drafts,) = yield [Ask("answers", problem, samples=8)]
    return Choice(drafts[3].text, drafts[3].logprob, "stop", Part("vote(8)", drafts))

It knows nothing of engines, clocks and servers. So it does the same alone and under load, and it
can be rehearsed: given drafts that nobody wrote, as long as they may be, it asks for what it would
ask for at most. When its time is over all that it asks for comes back empty, at once; so a strategy
holds empty drafts for worthless and is soon at its end, with the best that it has.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from foreknown.engine import SamplingParams
from foreknown.graph.batch import BLOCK_TOKENS

Message = Mapping[str, str]
"""{"role": "user" or "assistant" or "system", "content": text}"""

T = TypeVar("T")
CUT = "cancelled"
"""Why a draft ended whose time was over."""
FAR = 1 << 20
"""Seeds between those of one inner strategy and of the next: more than any of them draws."""


@dataclass(frozen=True)
class Problem:
    """What is to be answered, and how drafts of an answer are drawn.

    Attributes:
        messages: the conversation so far, of which the last is the user's.
        params: of each draft; the seed is a number, so that the same problem has the same drafts.
        begun: what the answer begins with already.
    """

    messages: tuple[Message, ...]
    params: SamplingParams
    begun: str = ""

    @property
    def question(self) -> str:
        """What the user asked last."""
        return self.messages[-1]["content"]

    def drawn(self, index: int) -> Problem:
        """The same problem, whose drafts are others for every index."""
        seed = (self.params.seed or 0) + index * FAR
        return replace(self, params=replace(self.params, seed=seed))

    def asked(self, *more: str) -> Problem:
        """The conversation went on: answers and questions in turn, a question last."""
        roles = ("assistant", "user") * len(more)
        new = ({"role": role, "content": text} for role, text in zip(roles, more, strict=False))
        return replace(self, messages=(*self.messages, *new), begun="")

    def instead(self, question: str) -> Problem:
        """Another last question."""
        last = {**self.messages[-1], "content": question}
        return replace(self, messages=(*self.messages[:-1], last), begun="")


@dataclass(frozen=True)
class Ask:
    """Drafts that a strategy wants.

    Attributes:
        part: what they are for.
        problem: which they answer.
        samples: how many; they share their prompt and run in one batch.
        is_answer: whether a draft is an answer to the user, not a word about one.
        beams: whether they are the likeliest whole answers that beams find, so many of them side by
            side, the best first, instead of draws.
    """

    part: str
    problem: Problem
    samples: int = 1
    is_answer: bool = True
    beams: bool = False

    def room(self, n_prompt: int, context: int) -> int:
        """Tokens that a draft may have, at most; less than one: there is no room for it.

        Beams part within blocks, and the state of all of them must fit. So they share the context
        of one sequence, for which there is memory everywhere, and find the same everywhere.
        """
        if self.beams:
            context = context // self.samples // BLOCK_TOKENS * BLOCK_TOKENS
        return context - n_prompt


@dataclass(frozen=True)
class Draft:
    """What came of one sample.

    Attributes:
        text: with what was begun.
        n_tokens: that it took.
        logprob: mean over them of their log-probabilities under the model; 0 without any.
        finish_reason: "stop", "length", or "cancelled": its time was over.
        stopped_by: the stop string or the token that ended it, if one did.
    """

    text: str
    n_tokens: int
    logprob: float
    finish_reason: str
    stopped_by: str | int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its time sufficed."""
        return self.finish_reason != CUT

    def record(self) -> dict[str, Any]:
        """As a trace has it."""
        return {
            "text": self.text,
            "tokens": self.n_tokens,
            "logprob": round(self.logprob, 4),
            "finish_reason": self.finish_reason,
        }


EMPTY = Draft("", 0, 0.0, CUT)
"""What comes of an ask when there is no time for it any more, or no room."""


@dataclass(frozen=True)
class Part:
    """What a part of a strategy did, for people to look at.

    Attributes:
        name: of the strategy or what it asked for.
        drafts: that it was given.
        notes: what it made of them: votes, scores, what was chosen and why.
        parts: of the strategies in it.
    """

    name: str
    drafts: Sequence[Draft] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Part] = ()

    def record(self) -> dict[str, Any]:
        """As a trace has it; what is empty is left out."""
        record: dict[str, Any] = {"name": self.name}
        if self.drafts:
            record["drafts"] = [draft.record() for draft in self.drafts]
        record.update(self.notes)
        if self.parts:
            record["parts"] = [part.record() for part in self.parts]
        return record


@dataclass(frozen=True)
class Choice:
    """What a strategy answers, and how it came to it.

    Attributes:
        text: the answer.
        logprob: of the draft that it is, mean over its tokens.
        finish_reason: of that draft.
    """

    text: str
    logprob: float
    finish_reason: str
    part: Part

    @property
    def is_whole(self) -> bool:
        """Whether the time sufficed for all of it."""
        return self.finish_reason != CUT


StepsOf = Generator[Sequence[Ask], Sequence[Sequence[Draft]], T]
"""Yields what it asks for, all at once; is sent the drafts of each; returns what came of it."""
Steps = StepsOf[Choice]


def last_line(text: str) -> str:
    """The line that a text ends with, whole or not."""
    return text.removesuffix("\n").rpartition("\n")[2]


class Strategy(Protocol):
    """A way of spending inference on accuracy."""

    def __call__(self, problem: Problem) -> Steps: ...


def together(courses: Iterable[Steps]) -> StepsOf[list[Choice]]:
    """Strategies side by side: what all of them ask for next is asked for at once."""
    running = dict(enumerate(courses))
    choices: dict[int, Choice] = {}
    given: dict[int, Sequence[Sequence[Draft]] | None] = dict.fromkeys(running)
    while running:
        asks: dict[int, Sequence[Ask]] = {}
        for index, course in tuple(running.items()):
            try:
                drafts = given[index]
                asks[index] = next(course) if drafts is None else course.send(drafts)
            except StopIteration as stop:
                choices[index] = stop.value
                del running[index]
        if asks:
            drafts = yield [ask for own in asks.values() for ask in own]
            at = 0
            for index, own in asks.items():
                given[index] = drafts[at : at + len(own)]
                at += len(own)
    return [choices[index] for index in sorted(choices)]
