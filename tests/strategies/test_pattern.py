"""Patterns are Python's, and never hang."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.verifiers import Pattern
from foreknown.strategies.verifiers.searching import SearchFailed, search_all


@pytest.mark.parametrize(
    ("regex", "answer", "found"),
    [
        (r"\bfoo$", "a foo", True),
        (r"\bfoo$", "a food", False),
        (r"(?i)YES", "oh yes", True),
        (r"(?m)^Answer: \d+$", "so\nAnswer: 12\nbye", True),
        (r"\A[a-z]+\Z", "abc\n", False),
        (r"(?<=é)€(?!x)", "é€", True),
        (r"(a)\1", "aa", True),
        ("", "", True),
        ("\ud800", "lone \ud800 surrogate", True),
        ("\x00", "a\x00b", True),
    ],
)
def test_it_searches_as_python_does(regex: str, answer: str, found: bool) -> None:
    verdict = Pattern(regex, seconds=20).verify("", answer)
    assert (verdict.score, verdict.failed) == (float(found), False)


@pytest.mark.parametrize(
    ("regex", "answer"),
    [
        (r"(a+)+b$", "a" * 64),
        (r"(a|aa)*c", "a" * 5000),
        (r"(.*)*\1x", "ab" * 5000),
        (r"(\w+\s?)*!", "word " * 5000),
    ],
)
def test_a_search_that_never_ends_has_failed(regex: str, answer: str) -> None:
    start = time.monotonic()
    verdict = Pattern(regex, seconds=0.25).verify("", answer)
    assert verdict.failed
    assert verdict.score == 0
    assert "0.25 s" in verdict.reason
    assert time.monotonic() - start < 3


def test_a_long_answer_is_searched() -> None:
    assert Pattern("needle", seconds=20).verify("", "hay " * 500_000 + "needle").score == 1


@pytest.mark.parametrize(
    "regex", ["(", "[a", "*", r"(?P<a>x)(?P<a>y)", r"(?<=a+)b", "a{99999999999}", "\\", "a" * 9000]
)
def test_a_bad_pattern_is_refused(regex: str) -> None:
    with pytest.raises(RequestError, match="pattern") as refused:
        Pattern(regex)
    assert refused.value.field == "regex"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(RequestError, match="a pattern is a text, not a bytes"):
        Pattern(b"a")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_time_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(RequestError, match="seconds"):
        Pattern("a", seconds=seconds)


texts = st.text(max_size=20)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(texts.map(re.escape), texts), max_size=20))
def test_many_searches_are_as_each_alone(pairs: list[tuple[str, str]]) -> None:
    expected = [re.search(pattern, text) is not None for pattern, text in pairs]
    assert search_all(pairs, 20) == expected


def test_one_that_hangs_spoils_those_beside_it() -> None:
    with pytest.raises(SearchFailed, match="longer"):
        search_all([("a", "a"), ("(a+)+b$", "a" * 64)], 0.25)
