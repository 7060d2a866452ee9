"""Traffic as it was: when requests came, how long they were, and what they had in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TextIO

from foreknown.errors import TraceError
from foreknown.report.trace_forms import FORMS, Form, Line, TracedRequest, find_form

MOST_BYTES = 1 << 28
MOST_LINE = 1 << 22
"""Characters: the spans of the longest prompt take less."""
MOST_REQUESTS = 1_000_000
_SHORTER = "take a stretch of it: head -n 100000 TRACE > SHORTER"


@dataclass(frozen=True)
class Trace:
    """Requests in order of arrival, the first at time 0.

    Attributes:
        name: of its file.
        form: azure, mooncake or plain.
        requests: at least one.
        ignored: columns of the file that mean nothing here.
    """

    name: str
    form: str
    requests: tuple[TracedRequest, ...]
    ignored: tuple[str, ...] = ()


def read_trace(path: Path) -> Trace:
    """A trace from its file, whatever its form.

    Raises:
        TraceError: it cannot be read, is too large, has no requests, or makes no sense: names
            the line and column.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MOST_BYTES:
            raise TraceError(
                f"the trace has {n_bytes} bytes, and may have {MOST_BYTES}",
                where=str(path),
                remedy=_SHORTER,
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            form = find_form(_lines(file, path), str(path))
            return _in_order(path, form)
    except UnicodeDecodeError:
        raise TraceError("the trace is not text", where=str(path), remedy=FORMS) from None
    except OSError as error:
        raise TraceError(
            f"the trace cannot be read: {error.strerror}",
            where=str(path),
            remedy="name a file that can be read",
        ) from None


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """A file's lines, of which the system may not know how many there are: a pipe, a device."""
    left = MOST_BYTES
    for number in count(1):
        line = file.readline(MOST_LINE + 1)
        if not line:
            return
        if len(line) > MOST_LINE:
            raise TraceError(
                f"the line is longer than {MOST_LINE} characters",
                where=f"{path}, line {number}",
                remedy=FORMS,
            )
        left -= len(line)
        if left < 0:
            raise TraceError(
                f"the trace has more than {MOST_BYTES} bytes",
                where=f"{path}, line {number}",
                remedy=_SHORTER,
            )
        yield line


def _in_order(path: Path, form: Form) -> Trace:
    requests: list[TracedRequest] = []
    first_ns = last_ns = None
    for line in form.lines:
        request = line.request
        if first_ns is None or last_ns is None:
            first_ns = last_ns = request.time_ns
        if request.time_ns < last_ns:
            raise _backwards(path, form, line, last_ns)
        if len(requests) == MOST_REQUESTS:
            raise TraceError(
                f"the trace has more than {MOST_REQUESTS} requests",
                where=f"{path}, line {line.number}",
                remedy=_SHORTER,
            )
        last_ns = request.time_ns
        requests.append(request._replace(time_ns=last_ns - first_ns))
    if not requests:
        raise TraceError(
            "the trace has no requests",
            where=str(path),
            remedy="give a line for each request after the first, which names the columns",
        )
    return Trace(path.name, form.name, tuple(requests), form.ignored)


def _backwards(path: Path, form: Form, line: Line, last_ns: int) -> TraceError:
    by_s = (last_ns - line.request.time_ns) / 1e9
    return TraceError(
        f"time runs backwards: this request came {by_s:g} s before the one above it",
        where=f"{path}, line {line.number}, column {form.time_column}",
        remedy="sort the requests by time",
    )
