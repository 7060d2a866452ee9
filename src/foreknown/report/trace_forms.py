"""The three forms that traces of requests come in, told apart by what their first line says.

    Azure     TIMESTAMP,ContextTokens,GeneratedTokens        one request a line, times of a clock
    Mooncake  {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [...]}
    plain     arrival_s or arrival_ms, prompt_tokens, output_tokens; and as there are any:
              deadline_ms, ttft_ms, tpot_ms, user

Azure: https://github.com/Azure/AzurePublicDataset (2023 and 2024 conversation and code traces).
Mooncake: https://github.com/kvcache-ai/Mooncake; its hash ids name a prompt's leading spans of 512
tokens: equal ids are equal texts from the first token on.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple

from foreknown.engine.promises import Objective
from foreknown.errors import RequestError, TraceError

SPAN_TOKENS = 512
"""Of a prompt, that one hash id of Mooncake's names."""
MOST_TOKENS = 10_000_000
"""Of a prompt or an answer: more is a slip of the pen."""

LATEST_NS = 1e20
"""Of a clock: 3000 years after it began counting, or before."""
LONGEST_LISTED = 100
"""Characters."""

AZURE = ("timestamp", "contexttokens", "generatedtokens")
MOONCAKE = ("timestamp", "input_length", "output_length")
ARRIVALS = {"arrival_s": 1e9, "arrival_ms": 1e6}
PLAIN = ("prompt_tokens", "output_tokens")
OBJECTIVES = ("deadline_ms", "ttft_ms", "tpot_ms")
FORMS = (
    "a trace is Azure's CSV (TIMESTAMP,ContextTokens,GeneratedTokens), Mooncake's JSON lines, or a "
    "CSV with the columns arrival_s or arrival_ms, prompt_tokens, output_tokens"
)


class TracedRequest(NamedTuple):
    """One request of a trace.

    Attributes:
        time_ns: when it came; since the first one, once the trace is read.
        n_prompt: tokens.
        n_output: tokens.
        objective: what its caller wanted kept.
        user: whose it was.
        spans: names of the prompt's leading spans of 512 tokens: equal names mean that the
            prompts are equal up to there.
    """

    time_ns: int
    n_prompt: int
    n_output: int
    objective: Objective | None = None
    user: str = ""
    spans: tuple[int, ...] = ()


class Line(NamedTuple):
    """A request, and the number of its line."""

    number: int
    request: TracedRequest


class Form(NamedTuple):
    """A trace whose form is known.

    Attributes:
        name: azure, mooncake or plain.
        time_column: where its times stand.
        ignored: columns that mean nothing here.
        lines: its requests, read as they are asked for.
    """

    name: str
    time_column: str
    ignored: tuple[str, ...]
    lines: Iterator[Line]


def find_form(lines: Iterable[str], file: str) -> Form:
    """Tell a trace's form by its first line.

    Args:
        file: its name, for errors.

    Raises:
        TraceError: it is of no form that is known; here or while its lines are read.
    """
    numbered = iter(enumerate(lines, 1))
    number, line = next(((n, text) for n, text in numbered if text.strip()), (0, ""))
    if not line:
        raise TraceError("the trace is empty", where=file, remedy=FORMS)
    if line.lstrip().startswith(("{", "[")):
        return Form("mooncake", "timestamp", (), _mooncake(chain([(number, line)], numbered), file))
    reader = csv.reader(chain([line], (text for _, text in numbered)), strict=True)
    return _table(reader, number - 1, file)


def _table(reader: Any, skipped: int, file: str) -> Form:
    """A CSV file; its first row names the columns."""
    rows = _rows(reader, skipped, file)
    _, header = next(rows)
    columns = [name.strip().lower() for name in header]
    where = f"{file}, line {skipped + 1}"
    if twice := [name for name, n in Counter(columns).items() if name and n > 1]:
        raise TraceError(
            f"the column {listed(twice[:1])} is there twice", where=where, remedy=FORMS
        )
    if len(set(AZURE) & set(columns)) > 1:
        name, time_column = "azure", "TIMESTAMP"
        known: tuple[str, ...] = AZURE
        _require(columns, AZURE, where)
    else:
        times = [column for column in ARRIVALS if column in columns]
        if len(times) == 2:
            raise TraceError(
                "the trace has both arrival_s and arrival_ms",
                where=where,
                remedy="leave one of them out",
            )
        time_column = times[0] if times else "arrival_s"
        name, known = "plain", (time_column, *PLAIN, *OBJECTIVES, "user")
        _require(columns, (time_column, *PLAIN), where)
    places = {column: columns.index(column) for column in known if column in columns}
    read = _azure if name == "azure" else _plain
    ignored = tuple(
        given.strip() for given, column in zip(header, columns, strict=True) if column not in known
    )
    return Form(name, time_column, ignored, _requests(rows, len(columns), places, read, file))


def _rows(reader: Any, skipped: int, file: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the number of the line they end in."""
    try:
        for row in reader:
            if "".join(row).strip():
                yield skipped + reader.line_num, row
    except csv.Error as error:
        raise TraceError(
            f"the line is not CSV: {error}",
            where=f"{file}, line {skipped + reader.line_num}",
            remedy="separate columns by commas; a quotation mark needs its partner",
        ) from None


def _require(columns: list[str], needed: tuple[str, ...], where: str) -> None:
    missing = [column for column in needed if column not in columns]
    if missing:
        names = " and ".join(missing) if len(missing) < 3 else ", ".join(missing)
        raise TraceError(
            f"the trace has no column {names}", where=f"{where}: {listed(columns)}", remedy=FORMS
        )


Cells = dict[str, str]
"""Of a line, by column; only those columns that mean something."""


def _requests(
    rows: Iterator[tuple[int, list[str]]],
    n_columns: int,
    places: dict[str, int],
    read: Callable[[Cells], TracedRequest],
    file: str,
) -> Iterator[Line]:
    for number, row in rows:
        if len(row) != n_columns:
            raise TraceError(
                f"the line has {len(row)} columns, where the first has {n_columns}",
                where=f"{file}, line {number}",
                remedy="give every line a value, or nothing between commas, for each column",
            )
        try:
            yield Line(number, read({name: row[place].strip() for name, place in places.items()}))
        except _Wrong as wrong:
            raise wrong.at(file, number) from None


def _azure(cells: Cells) -> TracedRequest:
    return TracedRequest(
        _clock_ns(cells["timestamp"]),
        _tokens(cells["contexttokens"], "ContextTokens"),
        _tokens(cells["generatedtokens"], "GeneratedTokens"),
    )


def _plain(cells: Cells) -> TracedRequest:
    column = next(name for name in ARRIVALS if name in cells)
    return TracedRequest(
        _time_ns(cells[column], column, ARRIVALS[column]),
        _tokens(cells["prompt_tokens"], "prompt_tokens"),
        _tokens(cells["output_tokens"], "output_tokens"),
        _objective(cells),
        cells.get("user", ""),
    )


def _mooncake(lines: Iterable[tuple[int, str]], file: str) -> Iterator[Line]:
    names: dict[tuple[int, int], int] = {}
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield Line(number, _mooncake_request(line, names))
        except _Wrong as wrong:
            raise wrong.at(file, number) from None


def _mooncake_request(line: str, names: dict[tuple[int, int], int]) -> TracedRequest:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"the line is not JSON: {error}", "", "give one JSON object a line") from None
    if not isinstance(told, dict):
        raise _Wrong("the line is no JSON object", "", "give one JSON object a line")
    for name in MOONCAKE:
        if name not in told:
            raise _Wrong(f"the request has no {name}", name, FORMS)
    n_prompt = _tokens(told["input_length"], "input_length")
    return TracedRequest(
        _time_ns(told["timestamp"], "timestamp", 1e6),
        n_prompt,
        _tokens(told["output_length"], "output_length"),
        spans=_spans(told.get("hash_ids", []), n_prompt, names),
    )


def _spans(ids: Any, n_prompt: int, names: dict[tuple[int, int], int]) -> tuple[int, ...]:
    """Names of all that the ids say of a prompt, each made of those before it and its own."""
    whole = isinstance(ids, list) and all(type(one) is int for one in ids)
    if not whole or len(ids) > -(-n_prompt // SPAN_TOKENS):
        raise _Wrong(
            f"hash_ids are not whole numbers, one for each {SPAN_TOKENS} tokens of input_length",
            "hash_ids",
            "give as many as there are spans, or none",
        )
    spans, name = [], -1
    for one in ids:
        name = names.setdefault((name, one), len(names))
        spans.append(name)
    return tuple(spans)


class _Wrong(Exception):
    """What is wrong with a line, where its number is not known."""

    def __init__(self, what: str, column: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.column, self.remedy = what, column, remedy

    def at(self, file: str, number: int) -> TraceError:
        column = f", column {self.column}" if self.column else ""
        return TraceError(self.what, where=f"{file}, line {number}{column}", remedy=self.remedy)


def _number(given: Any, column: str) -> float:
    """A finite number, of a JSON object or of a CSV file's text."""
    try:
        value = math.nan if isinstance(given, bool | None) else float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise _Wrong(f"{_shown(given)} is not a number", column, "give a number")
    return value


def _tokens(given: Any, column: str) -> int:
    value = _number(given, column)
    if not 1 <= value <= MOST_TOKENS or value != int(value):
        raise _Wrong(
            f"{_shown(given)} is not a number of tokens",
            column,
            f"give a whole number from 1 to {MOST_TOKENS}; leave out requests without tokens",
        )
    return int(value)


def _time_ns(given: Any, column: str, unit_ns: float) -> int:
    time_ns = _number(given, column) * unit_ns
    if not abs(time_ns) <= LATEST_NS:
        unit = "seconds" if unit_ns == 1e9 else "milliseconds"
        raise _Wrong(
            f"{_shown(given)} is no time: the column counts in {unit}", column, f"give {unit}"
        )
    return round(time_ns)


def _clock_ns(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong(
            f"{_shown(text)} is not a time", "TIMESTAMP", "write it as 2023-11-16 18:15:46.680"
        ) from None
    since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000


def _objective(cells: Cells) -> Objective | None:
    given = {name: _number(cells[name], name) for name in OBJECTIVES if cells.get(name)}
    if not given:
        return None
    try:
        return Objective(**given)
    except RequestError as error:
        raise _Wrong(error.what, error.field, error.remedy) from None


def listed(names: Iterable[str]) -> str:
    """A file's own words on a line for people: shortened, and fit to be printed."""
    text = ", ".join(islice(names, LONGEST_LISTED))
    told = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:LONGEST_LISTED])
    whole = len(told) <= LONGEST_LISTED and len(text) <= LONGEST_LISTED
    return told if whole else f"{told[: LONGEST_LISTED - 3]}..."


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 40 else f"{text[:37]}..."
