"""Regular expressions with a bound on time: Python's, searched for in a process of its own.

Python's engine goes back and tries again, so some patterns take for ever on some texts, and a
search can be stopped only from outside its process. The linear-time engine behind constraints is
no substitute: it has no `^`, `$`, `\\b` or look-around, and is not always installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from foreknown.errors import RequestError

MAX_PATTERN = 8192
"""Characters of a pattern."""

MEMORY_BYTES = 1 << 30
"""Address space of a search."""

_MATCH = Path(__file__).with_name("match.py")


class SearchFailed(Exception):
    """A search was out of time or memory; the message says which."""


def check_pattern(pattern: str, field: str = "") -> None:
    """Refuses what is not a regular expression of Python's `re`.

    Raises:
        RequestError: it is wrong, or longer than 8,192 characters.
    """
    if not isinstance(pattern, str):
        raise RequestError(f"a pattern is a text, not a {type(pattern).__name__}", field=field)
    if len(pattern) > MAX_PATTERN:
        raise RequestError(
            f"the pattern has {len(pattern)} characters, where {MAX_PATTERN} are the most",
            remedy="write a shorter one",
            field=field,
        )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise RequestError(
            f"the pattern {_short(pattern)} is wrong: {error}",
            remedy="write it in the syntax of Python's re",
            field=field,
        ) from None


def search_all(pairs: Sequence[tuple[str, str]], seconds: float) -> list[bool]:
    """Whether each pattern is found anywhere in its text.

    Args:
        pairs: patterns, already checked, each with a text.
        seconds: wall-clock time for all of them, the start of a process included (about 20 ms).

    Raises:
        SearchFailed: out of time, or of 1 GiB of memory.
    """
    if not pairs:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_MATCH)],
            input=json.dumps([MEMORY_BYTES, pairs]).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise SearchFailed(f"the search took longer than {seconds:g} s") from None
    if done.returncode != 0 or len(done.stdout) != len(pairs):
        raise SearchFailed(f"the search ended with code {done.returncode}, out of memory perhaps")
    return [byte == ord("1") for byte in done.stdout]


def _short(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 60 else f"{pattern[:59]}…")
