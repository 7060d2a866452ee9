r"""The answer that a text ends in, and whether two answers are the same.

A text may show its answer in a box, after a mark, or not at all; what is surest is looked for
first. What answers mean is `notation.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from foreknown.strategies.notation import normalised, number

__all__ = ["final_answer", "normalised", "same_answer"]

SHORT = 40
"""Characters that an answer without a mark has at most; longer: a sentence that holds one."""

_BRACES = re.compile(r"\\(?:boxed|fbox) ?\{|\\.|[{}]", re.DOTALL)
_HASHES = re.compile(r"(?<!#)####(?!#)([^\n]*)")
_MARK = re.compile(
    r"(?<![/A-Za-z])answers?\b"
    r"(?:[*_\"' ]{0,4}[:=>]|[^.:=<>\n]{0,60}?\b(?:is|are|was|(?:would|will|should|must) be)\b)"
    r"(?:[\s*_:]|(?:\\\[|\$\$)[ \t]*\n)*",
    re.IGNORECASE,
)
_PHRASE_END = re.compile(r"\.(?=\s+[A-Z*\\$]|\s*\Z)|</")
_OPTION = re.compile(r"\(?[A-Z]\)(?=\s)")
_NUMBER = re.compile(
    r"(?:(?<![\w^.])-?[0-9]* ?|-)?\\[dtc]?frac ?\{[^{}]*\} ?\{[^{}]*\}"
    r"|(?<![\w^.])(?<!\^\{)-?"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?|\.[0-9]+)"
)
_WRAPPERS = ((r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$"), ('"', '"'))


def final_answer(text: str) -> str | None:
    r"""The answer that a text ends in, as it is written there; None if nothing can be told.

    The last `\boxed{…}` that is closed and not empty; else what follows the last `####` that is no
    heading; else what follows the last "answer is", "Answer:" and the like; else the last number,
    exponents aside; else the whole text if it is one short line. Takes time linear in the text's
    length, and raises nothing.
    """
    rules: tuple[Callable[[str], str | None], ...]
    rules = (_boxed, _after_hashes, _after_mark, _last_number, _short_line)
    return next((answer for rule in rules if (answer := rule(text))), None)


def same_answer(a: str, b: str) -> bool:
    r"""Whether two answers mean the same: `0.5` and `\frac12`, `50\%` and `50`, `(A)` and `a`.

    Numbers are compared exactly, since their normal form is a reduced fraction.
    """
    return normalised(a) == normalised(b)


def _boxed(text: str) -> str | None:
    """What is in the box that opens last; a box that is cut off or empty is none."""
    opened: list[int | None] = []
    start, answer = -1, None
    for found in _BRACES.finditer(text):
        if found[0] == "}":
            box = opened.pop() if opened else None
            if box is not None and box > start and (inside := text[box : found.start()].strip()):
                start, answer = box, inside
        elif found[0].endswith("{") and found[0] != r"\{":
            opened.append(None if found[0] == "{" else found.end())
    return answer


def _after_hashes(text: str) -> str | None:
    """What follows `####` at the text's end, or anywhere if it is a lone number: the rest are
    headings of Markdown.
    """
    n = len(text.rstrip())
    for found in reversed(list(_HASHES.finditer(text))):
        line = found[1].strip()
        if line and (found.end() >= n or number(normalised(line)) is not None):
            return line
    return None


def _after_mark(text: str) -> str | None:
    """What follows the last mark on its line, or on the next one that says something."""
    end = max((mark.end() for mark in _MARK.finditer(text)), default=None)
    if end is None:
        return None
    phrase = text[end:].partition("\n")[0]
    cut = _PHRASE_END.search(phrase)
    phrase = phrase[: cut.start() if cut else None].strip(" \t\r*_`,;")
    option = _OPTION.match(phrase)
    if option:
        return option[0]
    if len(phrase) <= SHORT:
        return _unwrapped(phrase)
    for opening, closing in _WRAPPERS:
        if phrase.startswith(opening):
            return phrase[len(opening) :].partition(closing)[0].strip()
    return _last_number(phrase)


def _unwrapped(phrase: str) -> str:
    """Without delimiters around all of it."""
    for opening, closing in _WRAPPERS:
        inside = phrase.removeprefix(opening).removesuffix(closing)
        if len(inside) == len(phrase) - len(opening) - len(closing) and closing not in inside:
            phrase = inside.strip()
    return phrase


def _last_number(text: str) -> str | None:
    last = None
    for found in _NUMBER.finditer(text):
        last = found[0].strip()
    return last


def _short_line(text: str) -> str | None:
    """The whole text, if it is a line that may be an answer and nothing else."""
    line = text.strip()
    if len(line) > SHORT or len(line.splitlines()) != 1 or _MARK.search(line):
        return None
    return line if any(map(str.isalnum, line)) else None
