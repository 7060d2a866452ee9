"""Verifies that a regular expression is found in an answer."""

from __future__ import annotations

import math

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.searching import SearchFailed, check_pattern, search_all
from foreknown.strategies.verifiers.verifier import Verdict, failed


class Pattern:
    """Right if the answer has what a pattern of Python's `re` searches for.

    Args:
        regex: flags stand within it, such as `(?i)`; `\\A` and `\\Z` hold it to the whole answer.
        seconds: wall-clock time a search may take; what takes longer is a failed verdict.

    Raises:
        RequestError: the pattern is wrong or too long, or the time makes no sense.
    """

    def __init__(self, regex: str, *, seconds: float = 2.0) -> None:
        check_pattern(regex, "regex")
        if not (math.isfinite(seconds) and seconds > 0):
            raise RequestError(
                f"seconds is {seconds}, where a time above 0 is expected",
                remedy="leave it out for 2 s",
                field="seconds",
            )
        self._regex, self._seconds = regex, seconds

    def verify(self, question: str, answer: str) -> Verdict:
        """1 if the pattern is found, 0 if not; failed if that cannot be told in time."""
        try:
            (found,) = search_all([(self._regex, answer)], self._seconds)
        except SearchFailed as error:
            return failed(str(error))
        return Verdict(float(found), "the pattern is found" if found else "the pattern is missing")
