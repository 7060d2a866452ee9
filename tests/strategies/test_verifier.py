"""What a verdict is, and that a guarded verifier never raises."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from foreknown.strategies.verifiers import Verdict, Verifier, guarded


class Says:
    """A verifier that gives what it was made with, or raises it."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def verify(self, question: str, answer: str) -> Verdict:
        if isinstance(self._said, BaseException):
            raise self._said
        return self._said  # type: ignore[no-any-return]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def said(what: Any) -> Verdict:
    return guarded(Says(what)).verify("q", "a")


def test_a_verdict_has_not_failed_unless_it_says_so() -> None:
    assert Verdict(0.5, "so so") == (0.5, "so so", False)


@pytest.mark.parametrize("score", [0, 0.0, 0.25, 1, 1.0])
def test_a_good_verdict_passes(score: float) -> None:
    assert said(Verdict(score, "why")) == Verdict(score, "why")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("too green"), "ValueError: too green"),
        (RecursionError(), "RecursionError"),
        (MemoryError(), "MemoryError"),
        (SystemExit(3), "SystemExit: 3"),
        (AssertionError("two\nlines"), "AssertionError: two lines"),
        (Unprintable(), "Unprintable"),
    ],
)
def test_what_is_raised_is_named(error: BaseException, name: str) -> None:
    verdict = said(error)
    assert verdict.failed
    assert verdict.score == 0
    assert verdict.reason == f"the verifier raised {name}"


def test_a_user_may_still_stop_the_program() -> None:
    with pytest.raises(KeyboardInterrupt):
        said(KeyboardInterrupt())


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        1.0,
        (1.0, "why", False),
        Verdict(math.nan, ""),
        Verdict(math.inf, ""),
        Verdict(-0.01, ""),
        Verdict(1.01, ""),
        Verdict(True, ""),
        Verdict("1", ""),  # type: ignore[arg-type]
        Verdict(10**400, ""),
    ],
)
def test_what_is_no_verdict_has_failed(wrong: Any) -> None:
    verdict = said(wrong)
    assert verdict.failed
    assert verdict.score == 0
    assert verdict.reason


def test_a_failed_verdict_has_no_score() -> None:
    assert said(Verdict(1.0, "could not", failed=True)) == Verdict(0.0, "could not", failed=True)


def test_a_reason_is_one_short_line() -> None:
    verdict = said(Verdict(1.0, "many\nlines\t" * 1000))
    assert "\n" not in verdict.reason
    assert len(verdict.reason) <= 200


def test_a_verifier_that_hangs_has_failed() -> None:
    class Hangs:
        def verify(self, question: str, answer: str) -> Verdict:
            time.sleep(3)
            return Verdict(1.0, "late")

    start = time.monotonic()
    verdict = guarded(Hangs(), seconds=0.05).verify("q", "a")
    assert verdict == Verdict(0.0, "no verdict within 0.05 s", failed=True)
    assert time.monotonic() - start < 2


def test_one_in_time_is_as_without_a_limit() -> None:
    good: Verifier = Says(Verdict(0.75, "mostly"))
    assert guarded(good, seconds=30).verify("q", "a") == Verdict(0.75, "mostly")
    assert guarded(Says(OSError("gone")), seconds=30).verify("q", "a").reason.endswith("gone")
