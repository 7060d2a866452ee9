"""What a caller was told of its requests, and how it came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foreknown.engine import Output
from foreknown.engine.promises import Foreseen, Objective, Promise

End = Literal["kept", "broken", "aborted"]
"""How a promise ends: aborted if what it was of was given up before it was due."""

_MS = 1e6


@dataclass
class Answer:
    """One answer's times so far, in milliseconds after its request came.

    Attributes:
        first_ms: of its first token, or of its embedding.
        last_ms: of its last one so far.
        is_whole: it ended by itself.
        is_longest: with as many tokens as it might have had.
    """

    n_tokens: int = 0
    first_ms: float | None = None
    last_ms: float | None = None
    is_whole: bool = False
    is_longest: bool = False

    @property
    def tpot_ms(self) -> float | None:
        """The mean from one token to the next; None before the second."""
        if self.n_tokens < 2 or self.first_ms is None or self.last_ms is None:
            return None
        return (self.last_ms - self.first_ms) / (self.n_tokens - 1)

    def keeps(self, promise: Promise) -> bool:
        """Whether it came as promised."""
        return promise.kept(self.first_ms, self.tpot_ms, self.last_ms)


class Account:
    """The account of one caller's requests to the engine; belongs to the event loop.

    Several prompts or samples have one promise: each of them is to keep it. What is told of them
    together is what the last or the slowest one took.

    Args:
        objective: what was promised; None: nothing.
        forecast: what they were told to take from `told_ns` on; None: nothing was.
        arrival_ns: when they came.
        ids: the engine's names of all answers, in order.
        tells_forecast: whether the caller is told it; else it is only held against what comes.
    """

    def __init__(
        self,
        objective: Objective | None,
        forecast: Foreseen | None,
        arrival_ns: int,
        told_ns: int,
        ids: Sequence[str],
        *,
        tells_forecast: bool = True,
    ) -> None:
        self._tells_forecast = tells_forecast
        self._arrival_ns = arrival_ns
        self._answers = {name: Answer() for name in ids}
        self.promise = None if objective is None else Promise.of(objective)
        self.forecast = None if forecast is None else later(forecast, (told_ns - arrival_ns) / _MS)

    def deliver(self, outputs: Sequence[Output], now_ns: int) -> None:
        """Take note of outputs that reached the event loop."""
        now_ms = (now_ns - self._arrival_ns) / _MS
        for output in outputs:
            answer = self._answers[output.request_id]
            if output.token is not None or output.embedding is not None:
                answer.n_tokens += 1
                if answer.first_ms is None:
                    answer.first_ms = now_ms
                answer.last_ms = now_ms
            if output.finish_reason in ("stop", "length"):
                answer.is_whole = True
                answer.is_longest = output.finish_reason == "length"
                answer.last_ms = now_ms if answer.last_ms is None else answer.last_ms

    @property
    def is_over(self) -> bool:
        """Whether every answer ended by itself."""
        return all(answer.is_whole for answer in self._answers.values())

    def end(self, now_ns: int) -> End | None:
        """How the promise ended, if there is one; asked for when nothing more will come.

        One whose requests were given up, by the caller or by us, is broken if it was late then.
        """
        if self.promise is None:
            return None
        if not all(answer.keeps(self.promise) for answer in self._answers.values()):
            return "broken"
        if self.is_over:
            return "kept"
        now_ms = (now_ns - self._arrival_ns) / _MS
        return "broken" if self._is_late(now_ms, self.promise) else "aborted"

    def _is_late(self, now_ms: float, promise: Promise) -> bool:
        """Whether what has not come by now should have."""
        for answer in self._answers.values():
            if answer.is_whole:
                continue
            if promise.total_ms is not None and now_ms > promise.total_ms:
                return True
            if answer.first_ms is None:
                if promise.ttft_ms is not None and now_ms > promise.ttft_ms:
                    return True
            elif promise.tpot_ms is not None and (
                now_ms - answer.first_ms > promise.tpot_ms * answer.n_tokens
            ):
                return True
        return False

    @property
    def errors(self) -> dict[str, float]:
        """Actual through forecast: of the first token, and of all of them if none were spared."""
        if self.forecast is None or not self.is_over:
            return {}
        actual, found = self._actual(), {}
        if actual["ttft_ms"] is not None and self.forecast.ttft_ms > 0:
            found["ttft"] = actual["ttft_ms"] / self.forecast.ttft_ms
        longest = all(answer.is_longest for answer in self._answers.values())
        if longest and actual["total_ms"] is not None and self.forecast.total_ms > 0:
            found["total"] = actual["total_ms"] / self.forecast.total_ms
        return found

    def told(self) -> dict[str, Any]:
        """What was said beforehand, as JSON shows it."""
        record: dict[str, Any] = {}
        if self.promise is not None:
            record["promise"] = promise_record(self.promise)
        if self.forecast is not None and self._tells_forecast:
            record["forecast"] = foreseen_record(self.forecast)
        return record

    def record(self) -> dict[str, Any]:
        """The same, and how it came out if it is over."""
        record = self.told()
        if self.is_over:
            record["actual"] = {name: rounded(ms) for name, ms in self._actual().items()}
            if self.promise is not None:
                answers = self._answers.values()
                record["kept"] = all(answer.keeps(self.promise) for answer in answers)
        return record

    def _actual(self) -> dict[str, float | None]:
        """What the last or the slowest answer took."""
        answers = self._answers.values()
        return {
            "ttft_ms": _most(answer.first_ms for answer in answers),
            "tpot_ms": _most(answer.tpot_ms for answer in answers),
            "total_ms": _most(answer.last_ms for answer in answers),
        }


def later(foreseen: Foreseen, ms: float) -> Foreseen:
    """The same, counted from so many milliseconds before."""
    return Foreseen(
        foreseen.ttft_ms + ms,
        foreseen.tpot_ms,
        foreseen.total_ms + ms,
        foreseen.low_ms + ms,
        foreseen.high_ms + ms,
    )


def promise_record(promise: Promise) -> dict[str, float | None]:
    """As JSON shows it; null: nothing was promised of this."""
    return {
        "ttft_ms": rounded(promise.ttft_ms),
        "tpot_ms": rounded(promise.tpot_ms),
        "total_ms": rounded(promise.total_ms),
    }


def promise_headers(promise: Promise) -> list[tuple[bytes, bytes]]:
    """As the head of a response shows it."""
    times = {"ttft": promise.ttft_ms, "tpot": promise.tpot_ms, "total": promise.total_ms}
    return [
        (f"x-foreknown-promise-{name}-ms".encode(), f"{rounded(ms):g}".encode())
        for name, ms in times.items()
        if ms is not None
    ]


def foreseen_record(foreseen: Foreseen) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        **earliest_record(foreseen),
        "interval": {
            "low_ms": rounded(foreseen.low_ms),
            "high_ms": rounded(foreseen.high_ms),
        },
    }


def earliest_record(foreseen: Foreseen) -> dict[str, float | None]:
    """Of it what can be promised."""
    return {
        "ttft_ms": rounded(foreseen.ttft_ms),
        "tpot_ms": rounded(foreseen.tpot_ms),
        "total_ms": rounded(foreseen.total_ms),
    }


def rounded(ms: float | None) -> float | None:
    """Milliseconds as they are shown; None stands for what there is not, and for never."""
    return None if ms is None or not math.isfinite(ms) else round(ms, 3)


def _most(times: Any) -> float | None:
    return max((time for time in times if time is not None), default=None)
