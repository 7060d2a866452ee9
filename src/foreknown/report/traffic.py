"""A trace made to fit: a stretch of it, faster or slower, longer or shorter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from foreknown.engine.promises import Objective
from foreknown.engine.rehearsal import Arrival
from foreknown.errors import RequestError, TraceError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.report.trace_forms import MOST_TOKENS, SPAN_TOKENS, TracedRequest
from foreknown.report.traces import Trace

LONGEST_YEARS = 10
"""From the first request to the last: more is a slip of the pen."""
YEAR_S = 365.25 * 86_400


@dataclass(frozen=True)
class Scale:
    """How a trace is made to fit.

    Attributes:
        rate: requests come so many times as fast.
        length: prompts and answers have so many times the tokens, at least one.
        seconds: only those that come within so many seconds, as scaled; None: all.
        requests: only so many at most; None: all.

    Raises:
        RequestError: a number that cannot be.
    """

    rate: float = 1.0
    length: float = 1.0
    seconds: float | None = None
    requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "length", "seconds", "requests"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise RequestError(
                    f"{name} is {value}", remedy="give a number above zero", field=name
                )


@dataclass(frozen=True)
class Traffic:
    """What is to come.

    Attributes:
        arrivals: in order, at least one.
        n_clipped: of these, how many were cut to the model's context.
    """

    arrivals: tuple[Arrival, ...]
    n_clipped: int


def traffic(
    trace: Trace, scale: Scale, context: int, objective: Objective | None = None
) -> Traffic:
    """A trace's requests as a model is to get them.

    Args:
        context: tokens of prompt and answer together, at least 2. What is longer is cut: first
            the prompt, to half of the context at least, then the answer.
        objective: of every request that has none of its own.

    Raises:
        TraceError: its requests, as scaled, come over more than ten years.
        RequestError: they have more tokens than a prompt or an answer can have.
    """
    arrivals, n_clipped = [], 0
    for number, request in enumerate(_stretch(trace, scale), 1):
        time_ns = request.time_ns / scale.rate
        if time_ns > LONGEST_YEARS * YEAR_S * 1e9:
            raise _too_late(trace, number, time_ns)
        n_prompt, n_output = (
            _scaled(n, scale.length) for n in (request.n_prompt, request.n_output)
        )
        if n_prompt + n_output > context:
            n_clipped += 1
            n_prompt = min(n_prompt, max(context - n_output, context // 2))
            n_output = min(n_output, context - n_prompt)
        arrivals.append(
            Arrival(
                time_ns=round(time_ns),
                n_prompt=n_prompt,
                n_output=n_output,
                objective=request.objective or objective,
                user=request.user,
                prefix=block_names(request.spans, n_prompt, scale.length),
            )
        )
    return Traffic(tuple(arrivals), n_clipped)


def _scaled(n_tokens: int, length: float) -> int:
    if n_tokens * length > MOST_TOKENS:
        raise RequestError(
            f"length is {length:g}, which makes {n_tokens * length:.3g} tokens of {n_tokens}",
            remedy=f"a prompt or an answer has {MOST_TOKENS} at most",
            field="length",
        )
    return max(1, round(n_tokens * length))


def _too_late(trace: Trace, number: int, time_ns: float) -> TraceError:
    return TraceError(
        f"request {number} comes {time_ns / YEAR_S / 1e9:.3g} years after the first, where "
        f"{LONGEST_YEARS} are expected at most",
        where=trace.name,
        remedy="give times in the unit that their column names: seconds in arrival_s, milliseconds "
        "in arrival_ms and timestamp; or let them come faster by a larger --rate",
    )


def _stretch(trace: Trace, scale: Scale) -> Iterator[TracedRequest]:
    end_ns = math.inf if scale.seconds is None else scale.seconds * scale.rate * 1e9
    for request in islice(trace.requests, scale.requests):
        if request.time_ns > end_ns:
            return
        yield request


def block_names(spans: tuple[int, ...], n_prompt: int, length: float) -> tuple[int, ...]:
    """Names of a prompt's full blocks, from those of its spans before they were scaled.

    A block has the name of the span that its last token lies in, and its place there; a span's name
    stands for all before it, so equal names are equal texts.
    """
    if not spans:
        return ()
    span_tokens = SPAN_TOKENS * length
    most = math.ceil(span_tokens / BLOCK_TOKENS) + 1
    names: list[int] = []
    for i, span in enumerate(spans, 1):
        stop = min(math.floor(i * span_tokens), n_prompt) // BLOCK_TOKENS
        names += range(span * most, span * most + stop - len(names))
    return tuple(names)
