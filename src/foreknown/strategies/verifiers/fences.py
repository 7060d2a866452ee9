"""Finds the fenced blocks of a Markdown text: ``` with a language, lines, ```."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPENS = re.compile(r"[ \t]{0,8}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")


class Fence(NamedTuple):
    """A block and the word after its opening marks, in lower case; empty if there is none."""

    language: str
    text: str


def fences(text: str) -> list[Fence]:
    """All blocks in order; one that is never closed goes on to the text's end."""
    found: list[Fence] = []
    lines: list[str] = []
    marks = language = ""
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if not marks:
            opening = _OPENS.match(line.rstrip())
            if opening:
                marks, language, lines = opening[1], opening[2].lower(), []
        elif bare.startswith(marks) and not bare.strip(marks[0]):
            found.append(Fence(language, "".join(lines)))
            marks = ""
        else:
            lines.append(line)
    if marks:
        found.append(Fence(language, "".join(lines)))
    return found
