"""Calls whose parameters stand between markers, each by itself, as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from foreknown.server.answers.pieces import Call
from foreknown.server.answers.reader import Malformed, Reader, Steps
from foreknown.server.answers.syntaxes import HEAD_LIMIT
from foreknown.server.answers.tools import Tools
from foreknown.server.answers.values import as_json, checked_name

_IS_STRING = {'string="true': True, 'string="false': False}


@dataclass(frozen=True)
class MarkedParameters:
    """A name and each parameter between markers, values as plain text.

    Attributes:
        open, close: what stands around each call, or around all.
        before_name, after_name: what stands around a function's name; both empty if the name
            follows `open` and goes up to the first parameter or `close`.
        call_close: what ends a call; empty if `close` does.
        before_key, after_key: what stands around a parameter's name. A name may be followed by
            `" string="true` or "false", which says whether the value is a string.
        before_value: what stands between key and value.
        after_value: what ends a value, if a parameter or an end follows; else it is a part of it.
        parts: texts in those that may be special tokens.
    """

    open: str
    close: str
    before_name: str
    after_name: str
    call_close: str
    before_key: str
    after_key: str
    before_value: str
    after_value: str
    also_open: tuple[str, ...] = ()
    also_close: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    breaks_reasoning: bool = False
    first_openers: tuple[str, ...] = ()

    @property
    def openers(self) -> tuple[str, ...]:
        return (self.open, *self.also_open)

    @property
    def markers(self) -> tuple[str, ...]:
        return (*self._texts(), *self.parts)

    def _texts(self) -> Iterator[str]:
        every = (self.open, self.close, *self.also_open, *self.also_close)
        each = (self.before_key, self.after_key, self.before_value, self.after_value)
        for text in (*every, self.call_close, *each):
            if text and not text.endswith(("=", '"')) and text != ">":
                yield text

    def read(self, reader: Reader, opener: str, tools: Tools) -> Steps[list[Call]]:
        if not self.before_name:
            return [(yield from self._unnamed(reader, tools))]
        calls: list[Call] = []
        begun = opener == self.before_name
        while True:
            if not begun:
                yield from reader.space()
                if (yield from reader.literal(self.before_name)) is None:
                    break
            begun = False
            name, _ = yield from reader.until(self.after_name, limit=HEAD_LIMIT)
            calls.append((yield from self._parameters(reader, tools, checked_name(name))))
        if not calls:
            raise Malformed
        yield from reader.literal(self.close, *self.also_close)
        return calls

    def _unnamed(self, reader: Reader, tools: Tools) -> Steps[Call]:
        """A call whose name goes up to its first parameter."""
        name, end = yield from reader.until(self.before_key, self.close, limit=HEAD_LIMIT)
        checked = checked_name(name)
        if end == self.close:
            return Call(checked, "{}")
        return (yield from self._parameters(reader, tools, checked, begun=True))

    def _parameters(
        self, reader: Reader, tools: Tools, name: str, begun: bool = False
    ) -> Steps[Call]:
        """Parameters up to the call's end, which is taken."""
        end = self.call_close or self.close
        follow = (self.before_key, end, self.close)
        arguments: dict[str, Any] = {}
        while True:
            if not begun:
                yield from reader.space()
                found = yield from reader.literal(self.before_key, end)
                if found is None:
                    raise Malformed
                if found == end:
                    return Call(name, as_json(arguments))
            begun = False
            head, _ = yield from reader.until(self.after_key, limit=HEAD_LIMIT)
            key, _, attribute = head.partition('"')
            is_string = _IS_STRING.get(attribute.strip(' "'))
            if self.before_value:
                yield from reader.space()
                if (yield from reader.literal(self.before_value)) is None:
                    raise Malformed
            text = yield from self._value(reader, follow)
            arguments[key.strip()] = tools.typed(name, key.strip(), text, is_string=is_string)

    def _value(self, reader: Reader, follow: tuple[str, ...]) -> Steps[str]:
        parts = []
        while True:
            text, marker = yield from reader.until(self.after_value)
            parts.append(text)
            space = yield from reader.space()
            if (yield from reader.ahead(*follow)) is not None:
                break
            parts += [marker, space]
        # A value on lines of its own: the line ends around it are not in it.
        return "".join(parts).removeprefix("\n").removesuffix("\n")
