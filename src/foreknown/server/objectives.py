"""What a caller wants kept, as its body and its headers say it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request as HttpRequest

from foreknown.engine.promises import LONGEST_MS, Foreseen, NotPromised, Objective
from foreknown.errors import RequestError
from foreknown.server.accounts import earliest_record, later
from foreknown.server.errors import OVERLOADED, Refusal, refused

FIELDS = ("deadline_ms", "ttft_ms", "tpot_ms")
HEADERS = {f"x-slo-{field.removesuffix('_ms')}-ms": field for field in FIELDS}
"""Headers that say the same as fields of the body."""

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")
_MS = 1e6
_LEAST_MS = 1e-3


@dataclass(frozen=True)
class Wanted:
    """What a request wants to be told, and kept.

    Attributes:
        objective: what is to be kept; None: it takes what is left.
        forecast: whether it wants to be told what it will take.
        arrival_ns: when its body had come whole, by the monotonic clock.
        named: the body's field or the header that says each time of the objective.
    """

    objective: Objective | None = None
    forecast: bool = False
    arrival_ns: int = 0
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether nothing of this is wanted."""
        return self.objective is None and not self.forecast

    def gone_ms(self, now_ns: int) -> float:
        """How long ago the request came."""
        return (now_ns - self.arrival_ns) / _MS

    def from_now(self, now_ns: int) -> Objective | None:
        """The objective, less the time since the request came: texts had to become tokens."""
        if self.objective is None:
            return None
        gone_ms, wanted = self.gone_ms(now_ns), self.objective
        return Objective(
            _less(wanted.deadline_ms, gone_ms), _less(wanted.ttft_ms, gone_ms), wanted.tpot_ms
        )


def _less(ms: float | None, gone_ms: float) -> float | None:
    return None if ms is None else max(ms - gone_ms, _LEAST_MS)


def wanted(given: Mapping[str, Any], http: HttpRequest, *, promises: bool = True) -> Wanted:
    """What a request wants kept.

    Args:
        given: fields of its body, by name; those that are None or missing were not given.
        promises: whether this server gives any.

    Raises:
        Refusal: a header that is no time, one that says another time than its field, or an
            objective where nothing is promised.
    """
    times: dict[str, float] = {}
    named = {}
    for what in FIELDS:
        if given.get(what) is not None:
            times[what], named[what] = given[what], what
    for header, what in HEADERS.items():
        ms = _header_ms(http.headers, header)
        if ms is None:
            continue
        if times.setdefault(what, ms) != ms:
            raise Refusal(
                f"{header} is {ms:g}, but {what} of the body is {times[what]:g}",
                param=header,
                code="invalid_value",
                remedy="give one of them",
            )
        named.setdefault(what, header)
    objective = None
    if times:
        if not promises:
            name = next(iter(named.values()))
            raise Refusal(
                f"{name}: this server gives no promises",
                param=name,
                code="no_promises",
                remedy="leave it out",
            )
        try:
            objective = Objective(**times)
        except RequestError as error:
            raise refused(error, names=named) from None
    arrival_ns = getattr(http.state, "arrival_ns", None) or time.monotonic_ns()
    return Wanted(objective, bool(given.get("forecast")), arrival_ns, named)


def _header_ms(headers: Headers, name: str) -> float | None:
    """The milliseconds of a header; None without it."""
    if name not in headers:
        return None
    text = ", ".join(headers.getlist(name)).strip()
    if _NUMBER.fullmatch(text) is None or not 0 < float(text) <= LONGEST_MS:
        raise Refusal(
            f"{name} is {text[:40]!r}, where milliseconds above 0 and up to {LONGEST_MS:.0f}, "
            "a day, are expected",
            param=name,
            code="invalid_value",
            remedy="it counts from the request's arrival",
        )
    return float(text)


def not_promised(error: NotPromised, wanted: Objective, gone_ms: float) -> Refusal:
    """The answer to an objective that cannot be kept: 429, or 400 if waiting would not help.

    Args:
        gone_ms: since the request came; its objective counts from then.
    """
    earliest = later(error.earliest, gone_ms)
    told = {"earliest": earliest_record(earliest)}
    could = (
        f"{earliest.total_ms:,.1f} ms in all, {earliest.ttft_ms:,.1f} ms to the first token and "
        f"{earliest.tpot_ms:,.1f} ms from one to the next"
    )
    if error.is_beyond(wanted):  # the whole of it: that some is gone is not the caller's fault
        field = _missed(wanted, earliest)
        return Refusal(
            f"{field}: {error.what}; what could be promised is {could}",
            param=field,
            code="impossible_objective",
            remedy="ask for more time, a shorter prompt or fewer tokens",
            foreknown=told,
        )
    retry_s = _until_possible_s(wanted, earliest, max(error.wait_ms, error.forgotten_ms))
    again = f"again in {retry_s} s"
    return Refusal(
        f"this cannot be promised now; the earliest that could be is {could}",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        kind=OVERLOADED,
        code="cannot_promise",
        retry_after_s=retry_s,
        remedy=f"ask {again}" if error.wait_ms else f"ask for that, or {again}",
        foreknown=told,
    )


def _missed(wanted: Objective, earliest: Foreseen) -> str:
    """The field that asks for too much."""
    pairs = (
        ("deadline_ms", wanted.deadline_ms, earliest.total_ms),
        ("ttft_ms", wanted.ttft_ms, earliest.ttft_ms),
        ("tpot_ms", wanted.tpot_ms, earliest.tpot_ms),
    )
    asked = [(name, ms / max(takes, _LEAST_MS)) for name, ms, takes in pairs if ms is not None]
    return min(asked, key=lambda pair: pair[1])[0]


def _until_possible_s(wanted: Objective, earliest: Foreseen, wait_ms: float) -> int:
    """Whole seconds after which it could be promised if nobody else came.

    What waits becomes less by a second each second; a pace waits for others to end.
    """
    late_ms = [wait_ms] + [
        takes - ms
        for ms, takes in (
            (wanted.deadline_ms, earliest.total_ms),
            (wanted.ttft_ms, earliest.ttft_ms),
        )
        if ms is not None
    ]
    if wanted.tpot_ms is not None and earliest.tpot_ms > wanted.tpot_ms:
        late_ms.append(earliest.ttft_ms)
    return max(1, math.ceil(min(max(late_ms), LONGEST_MS) / 1e3))
