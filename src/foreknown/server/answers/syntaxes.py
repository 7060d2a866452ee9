"""How models write calls: lists in JSON or like Python's, and names beside JSON.

A syntax reads the text behind one of its openers and returns the calls, or raises `Malformed`.
What has the arguments whole counts as a call even if the marker that closes it is missing, since
the token that ends an answer may have taken its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from foreknown.server.answers.pieces import Call
from foreknown.server.answers.reader import JSON, PYTHON, Lexis, Malformed, Reader, Steps
from foreknown.server.answers.tools import Tools
from foreknown.server.answers.values import (
    as_json,
    checked_name,
    json_calls,
    json_object,
    python_calls,
    value,
)

_NAME_CHARACTERS = re.compile(r"[\w.\-]*")
HEAD_LIMIT = 512
"""Characters of a name with what stands around it."""


class Syntax(Protocol):
    """A way to write calls."""

    @property
    def openers(self) -> tuple[str, ...]:
        """Texts that may begin a call, wherever they stand."""
        ...

    @property
    def first_openers(self) -> tuple[str, ...]:
        """Texts that may begin one only before any content."""
        ...

    @property
    def breaks_reasoning(self) -> bool:
        """Whether calls may come in the middle of reasoning, and end it."""
        ...

    @property
    def markers(self) -> tuple[str, ...]:
        """Every text that may be a special token."""
        ...

    def read(self, reader: Reader, opener: str, tools: Tools) -> Steps[list[Call]]:
        """The calls behind an opener, which was taken.

        Raises:
            Malformed: there are none.
        """
        ...


@dataclass(frozen=True)
class ListCalls:
    """Calls as JSON objects or arrays of them, or as `name(argument=value)`.

    Attributes:
        open, close: what stands around them.
        bare: they may also stand without `open`, as an answer's first text; only functions that
            there are count then.
        keyed: an object's one key is the name.
        fence: what may stand around them between the markers.
        python: they may be written like Python's.
        also_open: other texts that may stand in the place of `open`.
        parts: texts in those that may be special tokens.
    """

    open: str = ""
    close: str = ""
    bare: tuple[str, ...] = ()
    keyed: bool = False
    fence: tuple[str, str] = ("```json", "```")
    python: bool = False
    also_open: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    breaks_reasoning: bool = False

    @property
    def openers(self) -> tuple[str, ...]:
        return tuple(text for text in (self.open, *self.also_open) if text)

    @property
    def first_openers(self) -> tuple[str, ...]:
        return self.bare

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(text for text in (*self.openers, self.close, *self.parts) if text)

    def read(self, reader: Reader, opener: str, tools: Tools) -> Steps[list[Call]]:
        is_bare = opener in self.bare
        yield from reader.space()
        fenced = (yield from reader.literal(self.fence[0])) if not is_bare else None
        calls: list[Call] = []
        begun = opener if is_bare else ""
        while True:
            yield from reader.space()
            calls += yield from self._value(reader, begun)
            begun = ""
            yield from reader.space()
            # Several objects in a row, as some write them for want of an array.
            separator = yield from reader.literal(";", ",")
            if separator is not None:
                yield from reader.space()
            if (yield from reader.ahead("{")) is None:
                break
        if separator is not None or not calls:
            raise Malformed
        if is_bare and not all(call.name in tools for call in calls):
            raise Malformed
        if fenced:
            yield from reader.literal(self.fence[1])
            yield from reader.space()
        if self.close:
            yield from reader.literal(self.close)
        return calls

    def _value(self, reader: Reader, begun: str) -> Steps[list[Call]]:
        """Calls of one value, of which `begun` was taken."""
        if not begun:
            first = yield from reader.ahead("{", "[")
            if first is None and not self.python:
                raise Malformed
            begun = (yield from reader.literal("{", "[")) or ""
        inner = yield from reader.space()
        if self.python and begun != "{" and (yield from reader.ahead("{")) is None:
            text = yield from _python_calls_text(reader, begun)
            return python_calls(text)
        text = yield from reader.balanced(JSON, begun + inner)
        return json_calls(text, self.keyed)


def _python_calls_text(reader: Reader, begun: str) -> Steps[str]:
    """The text of one call, or if a bracket has begun of all up to the one that closes it."""
    parts = [begun]
    while True:
        parts.append((yield from reader.run(_NAME_CHARACTERS)))
        parts.append((yield from reader.balanced(PYTHON)))
        if not begun:
            return "".join(parts)
        parts.append((yield from reader.space()))
        next_ = yield from reader.literal("]", ",")
        if next_ is None:
            raise Malformed
        parts.append(next_)
        if next_ == "]":
            return "".join(parts)
        parts.append((yield from reader.space()))


@dataclass(frozen=True)
class NamedCalls:
    """A name with what stands around it, then the arguments in an object.

    Attributes:
        open, close: what stands around all calls.
        item: what begins each, if several may stand between the two.
        head: what stands before the object, with a group "name".
        item_close: what ends each; texts that may follow the object one after another.
        lexis: how the object is written.
        parts: texts in `head` that may be special tokens.
    """

    open: str
    head: re.Pattern[str]
    item: str = ""
    item_close: tuple[str, ...] = ()
    close: str = ""
    lexis: Lexis = JSON
    parts: tuple[str, ...] = ()
    breaks_reasoning: bool = False
    first_openers: tuple[str, ...] = ()

    @property
    def openers(self) -> tuple[str, ...]:
        return (self.open,)

    @property
    def markers(self) -> tuple[str, ...]:
        every = (self.open, self.item, *self.item_close, self.close, *self.parts)
        return tuple(text for text in every if text and text != "```")

    def read(self, reader: Reader, opener: str, tools: Tools) -> Steps[list[Call]]:
        calls: list[Call] = []
        if not self.item:
            yield from reader.space()
            if (yield from reader.ahead("[", "{")) is not None:
                text = yield from reader.balanced(JSON)
                return json_calls(text)
        while True:
            if self.item:
                yield from reader.space()
                if (yield from reader.literal(self.item)) is None:
                    break
            calls.append((yield from self._item(reader)))
            if not self.item:
                break
        if not calls:
            raise Malformed
        if self.close:
            yield from reader.space()
            yield from reader.literal(self.close)
        return calls

    def _item(self, reader: Reader) -> Steps[Call]:
        before = yield from reader.before("{", HEAD_LIMIT)
        head = self.head.fullmatch(before)
        if head is None:
            raise Malformed
        text = yield from reader.balanced(self.lexis)
        if self.lexis is JSON:
            arguments = json_object(text)
        else:
            arguments = as_json(value(text, self.lexis.quotes))
        for closing in self.item_close:
            yield from reader.space()
            yield from reader.literal(closing)
        return Call(checked_name(head["name"]), arguments)


@dataclass(frozen=True)
class AddressedCalls:
    """An addressee's name on a line of its own, then the arguments; or the word for everybody, and
    then content. Only functions that there are count.
    """

    open: str
    everybody: str
    breaks_reasoning: bool = False
    first_openers: tuple[str, ...] = ()

    @property
    def openers(self) -> tuple[str, ...]:
        return (self.open,)

    @property
    def markers(self) -> tuple[str, ...]:
        return (self.open,)

    def read(self, reader: Reader, opener: str, tools: Tools) -> Steps[list[Call]]:
        name, _ = yield from reader.until("\n", limit=HEAD_LIMIT)
        if name == self.everybody:
            return []
        if name not in tools:
            raise Malformed
        yield from reader.space()
        text = yield from reader.balanced(JSON)
        return [Call(name, json_object(text))]
