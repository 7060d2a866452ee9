"""What an answer is made of, and the writer that puts it together.

Whitespace between a call or reasoning and what stands beside it is nobody's text: templates put it
there and add it again. So the writer holds whitespace back until it knows what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SPACE = " \t\r\n"


@dataclass(frozen=True)
class Content:
    """Text for the reader."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """Text that the model wrote for itself."""

    text: str


@dataclass(frozen=True)
class CallStart:
    """A call of a function begins; calls of an answer are numbered from 0."""

    index: int
    name: str


@dataclass(frozen=True)
class CallArguments:
    """A part of a call's arguments; all parts together are one JSON object."""

    index: int
    text: str


Piece = Content | Reasoning | CallStart | CallArguments
Passage = type[Content] | type[Reasoning]


@dataclass(frozen=True)
class Call:
    """A whole call; its arguments are the text of a JSON object."""

    name: str
    arguments: str


class Writer:
    """Puts pieces together; whitespace at the edges of a passage is dropped.

    The answer's own beginning and end are no such edges, unless `begun` is False.
    """

    def __init__(self, begun: bool = True) -> None:
        self._pieces: list[Piece] = []
        self._passage: Passage = Content
        self._begun = begun
        self._texts: list[str] = []
        self._space: list[str] = []
        self._n_calls = 0

    def write(self, text: str) -> None:
        """More text of the passage."""
        if not self._begun:
            text = text.lstrip(_SPACE)
        body = text.rstrip(_SPACE)
        if body:
            self._begun = True
            self._texts += [*self._space, body]
            self._space.clear()
        if len(body) < len(text):
            self._space.append(text[len(body) :])

    def pass_on(self, text: str) -> None:
        """More text of the passage, beside which nothing stands: whitespace is not held."""
        self.write(text)
        self.end()

    def turn(self, passage: Passage) -> None:
        """Another passage begins."""
        self._close()
        self._space.clear()
        self._passage, self._begun = passage, False

    def call(self, calls: Sequence[Call]) -> None:
        """Calls, between two passages of content."""
        self.turn(Content)
        for call in calls:
            self._pieces.append(CallStart(self._n_calls, call.name))
            self._pieces.append(CallArguments(self._n_calls, call.arguments))
            self._n_calls += 1

    def end(self) -> None:
        """No more will come."""
        self._texts += self._space
        self._space.clear()

    def pieces(self) -> list[Piece]:
        """What was put together since the last time."""
        self._close()
        pieces, self._pieces = self._pieces, []
        return pieces

    def _close(self) -> None:
        if self._texts:
            self._pieces.append(self._passage("".join(self._texts)))
            self._texts.clear()
