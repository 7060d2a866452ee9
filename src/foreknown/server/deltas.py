"""A conversation's answers as they grow: text, reasoning and calls told apart, by sample."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from foreknown.engine import Output
from foreknown.server.answers import (
    AnswerParser,
    CallArguments,
    CallStart,
    Content,
    Piece,
    Reasoning,
)
from foreknown.server.underway import Underway

Finish = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True)
class Delta:
    """What one sample has more than before.

    Attributes:
        place: which sample.
        pieces: of its text.
        outputs: the tokens behind it, some of whose text may come later.
        finish: why there will be no more; None if there may be.
        stopped_by: the stop string or token that ended it, if one did.
    """

    place: int
    pieces: list[Piece]
    outputs: list[Output]
    finish: Finish | None
    stopped_by: str | int | None = None


async def deltas(
    generation: Underway, new_parser: Callable[[], AnswerParser], n_samples: int
) -> AsyncIterator[list[Delta]]:
    """Deltas that came together, in groups.

    Raises:
        Refusal: as `Underway` does.
    """
    parsers = [new_parser() for _ in range(n_samples)]
    called = [False] * n_samples
    async for news in generation:
        together: dict[int, list[Output]] = {}
        for place, output in news:
            together.setdefault(place, []).append(output)
        group = []
        for place, outputs in together.items():
            text = "".join(output.text for output in outputs)
            pieces = parsers[place].push(text) if text else []
            reason = outputs[-1].finish_reason
            if reason is not None:
                pieces = [*pieces, *parsers[place].finish()]
            called[place] |= any(isinstance(piece, CallStart) for piece in pieces)
            finish = None if reason is None else _finish(reason, called[place])
            group.append(Delta(place, pieces, outputs, finish, outputs[-1].stopped_by))
        yield group


def _finish(reason: str, called: bool) -> Finish:
    if reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


@dataclass
class Call:
    """A function call, as far as it has come."""

    name: str
    arguments: str = ""

    def arguments_object(self) -> dict[str, Any]:
        """The arguments; empty where the answer ended in the midst of them."""
        try:
            arguments = json.loads(self.arguments)
        except ValueError:
            return {}
        return arguments if isinstance(arguments, dict) else {}


@dataclass
class Answer:
    """One sample, gathered whole."""

    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    finish: Finish = "stop"
    stopped_by: str | int | None = None

    def add(self, delta: Delta) -> None:
        for piece in delta.pieces:
            if isinstance(piece, Content):
                self.content += piece.text
            elif isinstance(piece, Reasoning):
                self.reasoning += piece.text
            elif isinstance(piece, CallStart):
                self.calls.append(Call(piece.name))
            elif isinstance(piece, CallArguments):
                self.calls[piece.index].arguments += piece.text
        self.outputs += delta.outputs
        if delta.finish is not None:
            self.finish, self.stopped_by = delta.finish, delta.stopped_by


async def gathered(
    generation: Underway, new_parser: Callable[[], AnswerParser], n_samples: int
) -> list[Answer]:
    """All samples, when they are whole."""
    answers = [Answer() for _ in range(n_samples)]
    async for group in deltas(generation, new_parser, n_samples):
        for delta in group:
            answers[delta.place].add(delta)
    return answers
