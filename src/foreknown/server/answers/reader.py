"""Text that is still coming, read as if it were all there.

Grammars are generators: each `yield` waits for more text. What is read is let go at once, but for
a record of what was taken since `taken` was last asked: what looked like a call and was none is
given back from it. So the work is linear in the text's length, however it is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A reading that waits for text and comes to a T."""

MAX_DEPTH = 100
"""Brackets in brackets; deeper values are not read as calls."""

_SPACES = re.compile(r"[ \t\r\n]*")


class Malformed(Exception):
    """The text is not what it looked like. Never leaves this package: the text is given back."""


class Markers:
    """Texts that are looked for at once; the longer first."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(sorted(set(texts) - {""}, key=lambda text: (-len(text), text)))
        self._pattern = re.compile("|".join(map(re.escape, self.texts)) or r"(?!)")
        self._starts = frozenset(text[:n] for text in self.texts for n in range(1, len(text)))
        self._longest = max(map(len, self.texts), default=0) - 1

    def find(self, text: str, at: int) -> re.Match[str] | None:
        """The first of them in the text, from `at` on."""
        return self._pattern.search(text, at)

    def held(self, text: str, at: int) -> int:
        """How many characters at the end may be the beginning of one."""
        for n in range(min(self._longest, len(text) - at), 0, -1):
            if text[len(text) - n :] in self._starts:
                return n
        return 0

    def may_be(self, text: str, at: int) -> bool:
        """Whether the rest of the text is the beginning of one."""
        n = len(text) - at
        return n <= self._longest and (n == 0 or text[at:] in self._starts)


@lru_cache(maxsize=1024)
def markers(*texts: str) -> Markers:
    """The markers of these texts, made once."""
    return Markers(texts)


@dataclass(frozen=True)
class Lexis:
    """What it takes to find a value's end.

    Attributes:
        opening, closing: brackets.
        quotes: what begins and ends a string.
        escapes: whether a backslash in a string hides what follows.
        outside: a pattern of what may stand between all those.
    """

    opening: str
    closing: str
    quotes: tuple[str, ...]
    escapes: bool
    outside: re.Pattern[str]


JSON = Lexis("{[", "}]", ('"',), True, re.compile(r"[\s\w+\-.,:]*"))
PYTHON = Lexis("([{", ")]}", ('"', "'"), True, re.compile(r"[^()\[\]{}\"'<]*"))

IN_STRING = {
    '"': re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL),
    "'": re.compile(r"[^'\\]*(?:\\.[^'\\]*)*", re.DOTALL),
}
"""What may follow a quote, up to the one that ends the string."""


class Reader:
    """The text, from where it was read to.

    Args:
        given: text that stands before it and is read again, but is in no record.
    """

    def __init__(self, given: str = "") -> None:
        self._text, self._at = given, 0
        self._n_given = len(given)
        self._taken: list[str] = []
        self.ended = False

    def add(self, text: str) -> None:
        """More text has come."""
        self._text, self._at = self._text[self._at :] + text, 0

    def taken(self) -> str:
        """What was read since this was last asked."""
        text = "".join(self._taken)
        self._taken.clear()
        return text

    def take(self, n: int) -> str:
        """The next n characters, which must be there."""
        text = self._text[self._at : self._at + n]
        self._at += n
        shown = text[self._n_given :] if self._n_given else text
        self._n_given = max(0, self._n_given - n)
        if shown:
            self._taken.append(shown)
        return text

    def rest(self) -> str:
        """Takes what there is."""
        return self.take(len(self._text) - self._at)

    def space(self) -> Steps[str]:
        """Takes whitespace, none or more."""
        return (yield from self.run(_SPACES))

    def run(self, pattern: re.Pattern[str]) -> Steps[str]:
        """Takes characters of one kind, none or more, as the pattern says."""
        parts = []
        while True:
            found = pattern.match(self._text, self._at)
            assert found is not None
            parts.append(self.take(found.end() - self._at))
            if self._at < len(self._text) or self.ended:
                return "".join(parts)
            yield

    def ahead(self, *texts: str) -> Steps[str | None]:
        """Which of these texts comes next, if one does; the longest. Takes nothing."""
        options = markers(*texts)
        while True:
            text, at = self._text, self._at
            waits = not self.ended and options.may_be(text, at)
            found = [option for option in options.texts if text.startswith(option, at)]
            if not waits:
                return found[0] if found else None
            yield

    def literal(self, *texts: str) -> Steps[str | None]:
        """Takes the one of these texts that comes next, if one does."""
        found = yield from self.ahead(*texts)
        return None if found is None else self.take(len(found))

    def flow(
        self, ends: Markers, passed: Callable[[str], None], limit: int | None = None
    ) -> Steps[str | None]:
        """Passes text on as it comes, then takes the marker that ends it; None: the text ended.

        Args:
            passed: called with each part once it is taken.
            limit: characters before the marker.

        Raises:
            Malformed: there are more; so many and one were taken, however the text was cut.
        """
        while True:
            text, at = self._text, self._at
            found = ends.find(text, at)
            if found is not None:
                n = found.start() - at
            else:
                n = len(text) - at - (0 if self.ended else ends.held(text, at))
            if limit is not None:
                if n > limit:
                    self.take(limit + 1)
                    raise Malformed
                limit -= n
            if n:
                passed(self.take(n))
            if found is not None:
                return self.take(len(found.group()))
            if self.ended:
                return None
            yield

    def until(self, *ends: str, limit: int | None = None) -> Steps[tuple[str, str]]:
        """Takes text up to and with one of these markers; returns both.

        Raises:
            Malformed: the text ended, or went on for more than `limit` characters.
        """
        parts: list[str] = []
        marker = yield from self.flow(markers(*ends), parts.append, limit)
        if marker is None:
            raise Malformed
        return "".join(parts), marker

    def before(self, stop: str, limit: int) -> Steps[str]:
        """Takes text up to a character, and leaves that.

        Raises:
            Malformed: the text ended, or went on for more than `limit` characters.
        """
        parts: list[str] = []
        while True:
            found = self._text.find(stop, self._at)
            n = (found if found >= 0 else len(self._text)) - self._at
            if n > limit:
                self.take(limit + 1)
                raise Malformed
            limit -= n
            parts.append(self.take(n))
            if found >= 0:
                return "".join(parts)
            if self.ended:
                raise Malformed
            yield

    def balanced(self, lexis: Lexis, begun: str = "") -> Steps[str]:
        """Takes a value that begins with a bracket, to the bracket that closes it.

        Args:
            begun: what was taken of it: its first bracket.

        Raises:
            Malformed: it does not begin so, ends early, or cannot be such a value.
        """
        parts = [begun]
        depth = 1 if begun else 0
        while True:
            found = lexis.outside.match(self._text, self._at)
            assert found is not None
            if depth:
                parts.append(self.take(found.end() - self._at))
            next_ = yield from self._character()
            if next_ in lexis.opening:
                depth += 1
                if depth > MAX_DEPTH:
                    raise Malformed
                parts.append(self.take(1))
            elif not depth:
                raise Malformed
            elif next_ in lexis.closing:
                depth -= 1
                parts.append(self.take(1))
                if not depth:
                    return "".join(parts)
            elif (quote := (yield from self.literal(*lexis.quotes))) is not None:
                parts.append(quote)
                parts += yield from self._string(quote, lexis.escapes)
            elif lexis.outside.fullmatch(next_) is None:
                raise Malformed

    def _character(self) -> Steps[str]:
        """The next character, which is not taken."""
        while self._at == len(self._text):
            if self.ended:
                raise Malformed
            yield
        return self._text[self._at]

    def _string(self, quote: str, escapes: bool) -> Steps[list[str]]:
        """Takes the rest of a string, with the quote that ends it."""
        if not escapes:
            text, marker = yield from self.until(quote)
            return [text, marker]
        parts = []
        while True:
            found = IN_STRING[quote].match(self._text, self._at)
            assert found is not None
            parts.append(self.take(found.end() - self._at))
            if self._text.startswith(quote, self._at):
                return [*parts, self.take(1)]
            if self.ended:
                raise Malformed
            yield
