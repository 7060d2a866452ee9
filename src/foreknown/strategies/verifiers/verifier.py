"""What a verifier is: something that says how good an answer to a question is.

A verdict is a score with a reason. A verifier that cannot judge says so by a failed verdict, which
is not the same as a wrong answer: a strategy may then ask again, or leave the score out of a vote.
"""

from __future__ import annotations

import math
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, Protocol

_SHOWN = 200  # characters of a reason


class Verdict(NamedTuple):
    """How good an answer is.

    Attributes:
        score: from 0, wrong, to 1, right.
        reason: one line for a trace.
        failed: the verifier itself could not judge: it raised, hung, or found nothing to judge;
            the score is then 0.
    """

    score: float
    reason: str
    failed: bool = False


class Verifier(Protocol):
    """Says how good an answer to a question is; may raise unless it is `guarded`."""

    def verify(self, question: str, answer: str) -> Verdict: ...


def failed(reason: str) -> Verdict:
    """The verdict of a verifier that could not judge; the reason is brought into one line."""
    return Verdict(0.0, in_a_line(reason), failed=True)


def in_a_line(text: str) -> str:
    """A text as a trace shows it: one line of at most 200 characters."""
    line = " ".join(text[: 4 * _SHOWN].split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def checked(verdict: object) -> Verdict:
    """A verdict as it came if it is one with a score from 0 to 1, else a failed one."""
    if not isinstance(verdict, Verdict):
        return failed(f"the verifier gave a {type(verdict).__name__}, where a Verdict is expected")
    score = verdict.score
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        return failed(f"the score is a {type(score).__name__}, where a number is expected")
    if not (math.isfinite(score) and 0 <= score <= 1):
        return failed(f"the score is {score:.6g}, outside 0 to 1")
    if verdict.failed:
        return failed(str(verdict.reason))
    return Verdict(float(score), in_a_line(str(verdict.reason)))


def guarded(verifier: Verifier, *, seconds: float | None = None) -> Verifier:
    """A verifier whose every fault is a failed verdict that names the exception.

    Only what stops the whole program, such as a user's Ctrl-C, passes.

    Args:
        seconds: how long a verdict may take; None: for ever. What takes longer is left behind in
            a thread of its own, since Python cannot end one. Code that never lets go of the
            interpreter, such as one search by `re`, holds up everything all the same.
    """
    return _Guarded(verifier, seconds)


class _Guarded:
    def __init__(self, verifier: Verifier, seconds: float | None) -> None:
        self._verifier, self._seconds = verifier, seconds

    def verify(self, question: str, answer: str) -> Verdict:
        if self._seconds is None:
            return self._judge(question, answer)
        verdicts: SimpleQueue[Verdict] = SimpleQueue()
        Thread(
            target=lambda: verdicts.put(self._judge(question, answer)),
            name="verifier",
            daemon=True,
        ).start()
        try:
            return verdicts.get(timeout=self._seconds)
        except Empty:
            return failed(f"no verdict within {self._seconds:g} s")

    def _judge(self, question: str, answer: str) -> Verdict:
        try:
            return checked(self._verifier.verify(question, answer))
        except (Exception, SystemExit) as error:  # a verifier that exits is at fault, too
            return failed(f"the verifier raised {_named(error)}")


def _named(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # an exception's own text is the verifier's code as well
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
