"""Regular expressions of JSON Schema as the grammar's engine reads them.

JSON Schema's are ECMAScript's; validators in Python read them as Python's; grammars are compiled in
the syntax of Rust. The three differ in what `\\w`, `\\s`, `.` and `$` match, in what may stand
unescaped, and in which escapes exist. What is written here means the same to all: every class is
spelled out, every other character is a number. What two of them read differently is refused.

    within   matches only what ECMAScript and Python both match: a text that obeys it obeys the
             pattern, whoever checks it
    exactly  matches what Python matches: for names of properties, where what a pattern does not
             match falls to another schema
"""

from __future__ import annotations

import re

MAX_PATTERN = 8192
"""Characters of a pattern."""

_PYTHON_SPACES = (
    r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}"
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
# Lower-case escape -> what both match, what either matches, what Python matches.
_CLASSES = {
    "d": ("0-9", r"\p{Nd}", r"\p{Nd}"),
    "w": ("0-9A-Za-z_", r"\p{L}\p{N}_", r"\p{L}\p{N}_"),
    "s": (r"\x{9}-\x{d}\x{20}", _PYTHON_SPACES + r"\x{feff}", _PYTHON_SPACES),
}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_COUNTED = re.compile(r"\{[0-9]+(?:,[0-9]*)?\}")
_NAMED = re.compile(r"\?P?<[A-Za-z_][A-Za-z0-9_]*>")
_PROPERTY = re.compile(r"[pP]\{[A-Za-z_=]+\}")


class PatternError(ValueError):
    """A pattern that cannot be kept to; the message says why."""


def rewritten(pattern: str, *, exactly: bool = False) -> str:
    """The same pattern, still unanchored, in the grammar engine's syntax; see above.

    Raises:
        PatternError: it is too long, wrong, or read differently by different validators.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"it has {len(pattern)} characters, where {MAX_PATTERN} are the most")
    return _Reader(pattern, exactly).read()


class _Reader:
    def __init__(self, pattern: str, exactly: bool) -> None:
        self._pattern, self._exactly = pattern, exactly
        self._place = 0

    def read(self) -> str:
        parts = []
        repeatable = False  # whether a quantifier may stand here
        while self._place < len(self._pattern):
            counted = _COUNTED.match(self._pattern, self._place)
            character = self._next()
            if counted or character in "*+?":
                if not repeatable:
                    raise PatternError(f"nothing to repeat at character {self._place - 1}")
                if counted:
                    self._place = counted.end()
                parts.append(counted[0] if counted else character)
                self._skip("?")  # lazy: which text is matched first does not matter here
                repeatable = False
                continue
            parts.append(self._piece(character))
            repeatable = character not in "^$|" and not parts[-1].endswith("(?:")
        return "".join(parts)

    def _piece(self, character: str) -> str:
        if character == "\\":
            return self._escape()
        if character == "[":
            return self._class()
        if character == "(":
            return self._group()
        if character == ".":
            return r"[^\x{a}]" if self._exactly else r"[^\x{a}\x{d}\x{2028}\x{2029}]"
        if character == "$" and self._exactly:
            return r"\x{a}?$"  # Python's matches before a last end of line, too
        if character == "{" and self._pattern.startswith(",", self._place):
            raise PatternError("'{,' means a count to some validators and itself to others")
        return character if character in "^$|)" else _literal(ord(character))

    def _group(self) -> str:
        if self._skip("?:"):
            return "(?:"
        named = _NAMED.match(self._pattern, self._place)
        if named:
            self._place = named.end()
        elif self._pattern.startswith("?", self._place):
            kind = self._pattern[self._place - 1 : self._place + 3]
            raise PatternError(f"look-around, flags and conditions are not supported: {kind!r}")
        return "(?:"

    def _escape(self) -> str:
        """What follows a backslash outside of a class."""
        letter = self._peek()
        if letter.lower() in _CLASSES:
            self._place += 1
            return f"[{self._members(letter, inverted=False)}]"
        named = _PROPERTY.match(self._pattern, self._place)
        if named:
            self._place = named.end()
            return "\\" + named[0]
        return _literal(self._escaped(in_class=False))

    def _class(self) -> str:
        inverted = self._skip("^")
        if self._peek() == "]":
            raise PatternError("'[]' and '[^]' mean different things to different validators")
        parts = []
        while not self._skip("]"):
            first = self._member(inverted)
            if isinstance(first, int) and self._peek() == "-" and not self._ends_after_dash():
                self._place += 1
                last = self._member(inverted)
                if not isinstance(last, int) or last < first:
                    raise PatternError(f"a wrong range before character {self._place}")
                parts.append(f"{_literal(first)}-{_literal(last)}")
            else:
                parts.append(_literal(first) if isinstance(first, int) else first)
        return f"[{'^' if inverted else ''}{''.join(parts)}]"

    def _member(self, inverted: bool) -> int | str:
        """One code point of a class, or several as a class within it."""
        character = self._next()
        if character != "\\":
            return ord(character)
        letter = self._peek()
        if letter.lower() in _CLASSES:
            self._place += 1
            return self._members(letter, inverted=inverted)
        named = _PROPERTY.match(self._pattern, self._place)
        if named:
            self._place = named.end()
            return "\\" + named[0]
        return self._escaped(in_class=True)

    def _members(self, letter: str, *, inverted: bool) -> str:
        """What an escape such as `\\w` stands for, as members of a class.

        To match no more than all validators do, what is taken away has to be what any of them does.
        """
        both, either, python = _CLASSES[letter.lower()]
        taken_away = letter.isupper() != inverted
        members = python if self._exactly else either if taken_away else both
        return f"[^{members}]" if letter.isupper() else members

    def _escaped(self, *, in_class: bool) -> int:
        """The code point that an escape stands for."""
        letter = self._next()
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "b" and in_class:
            return 8
        if letter in "xu":
            return self._hexadecimal(2 if letter == "x" else 4)
        if letter == "0" and not self._peek().isdecimal():
            return 0
        if letter.isascii() and letter.isalnum():
            meaning = {"b": "word boundaries are", "B": "word boundaries are"}.get(letter)
            if letter.isdecimal() or letter == "k":
                meaning = "references to groups are"
            raise PatternError(f"{meaning or 'this escape is'} not supported: '\\{letter}'")
        return ord(letter)

    def _hexadecimal(self, digits: int) -> int:
        text = self._pattern[self._place : self._place + digits]
        if not re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", text):
            raise PatternError(f"{digits} hexadecimal digits are missing at {self._place}")
        self._place += digits
        if 0xD800 <= int(text, 16) < 0xE000:
            raise PatternError("halves of surrogate pairs are not supported; write the character")
        return int(text, 16)

    def _next(self) -> str:
        if self._place >= len(self._pattern):
            raise PatternError("it ends too soon")
        self._place += 1
        return self._pattern[self._place - 1]

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _skip(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._place)
        self._place += len(text) if found else 0
        return found

    def _ends_after_dash(self) -> bool:
        return self._pattern.startswith("-]", self._place)


def _literal(point: int) -> str:
    character = chr(point)
    plain = character.isascii() and character.isalnum()
    return character if plain else f"\\x{{{point:x}}}"
