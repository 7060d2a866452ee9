r"""The short text form of strategies, such as `reflect(vote(8), rounds=2)`.

    call      = name [ "(" [ argument { "," argument } ] ")" ]
    argument  = value | name "=" value           those with a name come last
    value     = number | text | "true" | "false" | call
    name      = a-z or _, then also 0-9; a hyphen is read as _
    number    = [-] digits [. digits] [e [+-] digits]
    text      = "…" or '…' with the escapes \\ \" \' \n \t

White space may stand between any two of these. What the names mean is their signatures' matter
(`binding.py`); here they are only read and written.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn

from foreknown.errors import RequestError
from foreknown.strategies.binding import Parameter, bind
from foreknown.strategies.call import Call, Value

__all__ = ["Call", "Parameter", "Value", "bind", "parse"]

LONGEST_TEXT = 1_000
"""Characters of a strategy's text, also when it is written out again."""
DEEPEST = 8
"""Calls inside one another, the outermost included."""
MOST_ARGUMENTS = 16
"""Arguments of one call."""

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[a-z_][a-z_0-9-]*")
_NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t"}
_SHOWN_EITHER_SIDE = 34
"""Characters of a long text that an error shows before the place and after it."""


def parse(text: str) -> Call:
    """The strategy that a text writes.

    Raises:
        RequestError: it is not one; the message shows the text with a mark under the place, and
            says what was expected there.
    """
    reader = _Reader(text)
    if len(text) > LONGEST_TEXT:
        reader.place = LONGEST_TEXT
        reader.refuse(f"a strategy has at most {LONGEST_TEXT:,} characters, this has {len(text):,}")
    if not text.strip():
        reader.refuse("a strategy's name is expected, the text is empty")
    call = reader.call(depth=1)
    reader.space()
    if not reader.at_end:
        reader.refuse(f"the end is expected after the strategy {call.name}, {reader.found}")
    written = len(str(call))
    if written > LONGEST_TEXT:
        reader.refuse(
            f"a strategy has at most {LONGEST_TEXT:,} characters, written out this has {written:,}"
        )
    return call


class _Reader:
    """A text, and the place up to which it has been read; one method for each rule above."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    @property
    def at_end(self) -> bool:
        return self.place >= len(self.text)

    @property
    def found(self) -> str:
        """What stands here, for a message."""
        return "the text ends" if self.at_end else f"not {self.text[self.place]!r}"

    def space(self) -> None:
        self._take(_SPACE)

    def call(self, depth: int) -> Call:
        """A call, `depth` of them deep when it is counted."""
        self.space()
        place = self.place
        name = self._take(_NAME).replace("-", "_")
        if not name:
            self.refuse(f"a strategy's name, in small letters, is expected, {self.found}")
        if name in ("true", "false"):
            self.refuse(f"a strategy's name is expected, {name} is a value", place)
        if depth > DEEPEST:
            self.refuse(f"strategies go at most {DEEPEST} deep", place)
        call = Call(name, place=place)
        self.space()
        return self._with_arguments(call, depth) if self._accept("(") else call

    def _with_arguments(self, call: Call, depth: int) -> Call:
        """What is in a call's parentheses, the first of which has been read."""
        opened = self.place
        args: list[Value] = []
        kwargs: dict[str, Value] = {}
        self.space()
        while not self._accept(")"):
            if self.at_end:
                self.refuse(f"a ) is expected for the ( at character {opened}, the text ends")
            if (args or kwargs) and not self._accept(","):
                self.refuse(f"a comma or ) is expected, {self.found}")
            self.space()
            if len(args) + len(kwargs) == MOST_ARGUMENTS:
                self.refuse(f"{call.name} has more than {MOST_ARGUMENTS} arguments")
            place = self.place
            name = self._keyword()
            if name in kwargs:
                self.refuse(f"{name} is given twice to {call.name}", place)
            if not name and kwargs:
                self.refuse("an argument without a name comes before those with one", place)
            value = self._value(depth)
            if name:
                kwargs[name] = value
            else:
                args.append(value)
            self.space()
        return Call(call.name, tuple(args), kwargs, call.place)

    def _keyword(self) -> str:
        """A name that `=` follows; empty, and nothing is read, if there is none."""
        place = self.place
        name = self._take(_NAME).replace("-", "_")
        self.space()
        if name and self._accept("="):
            if name in ("true", "false"):
                self.refuse(f"a parameter's name is expected, {name} is a value", place)
            return name
        self.place = place
        return ""

    def _value(self, depth: int) -> Value:
        self.space()
        start = self.text[self.place : self.place + 1]
        if start and start in "\"'":
            return self._string()
        if start and start in "-.0123456789":
            return self._number()
        name = _NAME.match(self.text, self.place)
        if name and name[0] in ("true", "false"):
            self.place = name.end()
            return name[0] == "true"
        if not name:
            self.refuse(
                f"a number, a text in quotes, true, false or a strategy is expected, {self.found}"
            )
        return self.call(depth + 1)

    def _number(self) -> int | float:
        place = self.place
        written = self._take(_NUMBER)
        if not written:
            self.refuse("a number's digits are expected")
        if set(written) <= set("-0123456789"):
            return int(written)
        value = float(written)
        if math.isinf(value):
            self.refuse(f"a number of at most 1.8e308 is expected, not {written}", place)
        return value

    def _string(self) -> str:
        opened, quote = self.place, self.text[self.place]
        read: list[str] = []
        self.place += 1
        while not self._accept(quote):
            if self.at_end:
                self.refuse(f"a closing {quote} is expected for this text", opened)
            character = self.text[self.place]
            if character == "\\":
                self.place += 1
                character = self._escaped()
            read.append(character)
            self.place += 1
        return "".join(read)

    def _escaped(self) -> str:
        """The character that a backslash and the one here stand for."""
        character = _ESCAPES.get(self.text[self.place : self.place + 1])
        if character is None:
            self.refuse("one of \\ \" ' n t is expected after a backslash")
        return character

    def _take(self, pattern: re.Pattern[str]) -> str:
        """What matches here, and reads over it; empty if nothing does."""
        found = pattern.match(self.text, self.place)
        if found is None:
            return ""
        self.place = found.end()
        return found[0]

    def _accept(self, character: str) -> bool:
        """Reads over a character if it stands here."""
        if not self.text.startswith(character, self.place):
            return False
        self.place += 1
        return True

    def refuse(self, expected: str, place: int | None = None) -> NoReturn:
        """Raises what is wrong at a place; None: here."""
        place = self.place if place is None else place
        shown, column = _excerpt(self.text, place)
        raise RequestError(
            f"the strategy cannot be read at character {place + 1}: {expected}\n"
            f"    {shown}\n    {' ' * column}^",
            remedy="write it as in vote(8), best_of(4, by='verifier') or reflect(vote, rounds=2)",
        )


def _excerpt(text: str, place: int) -> tuple[str, int]:
    """One line of a text around a place, and the column there; what cannot be shown is blank."""
    start, end = place - _SHOWN_EITHER_SIDE, place + _SHOWN_EITHER_SIDE
    if start < 0 or len(text) <= 2 * _SHOWN_EITHER_SIDE:
        start = 0
    if len(text) <= 2 * _SHOWN_EITHER_SIDE:
        end = len(text)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    line = "".join(one if one.isprintable() else " " for one in text[start:end])
    return f"{before}{line}{after}", len(before) + place - start
