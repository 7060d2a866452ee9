"""Verifies that an answer is, or has in it, JSON that is valid against a schema."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.fences import fences
from foreknown.strategies.verifiers.json_validity import (
    TooManySteps,
    Validity,
    check_schema,
    patterns_of,
)
from foreknown.strategies.verifiers.searching import SearchFailed, search_all
from foreknown.strategies.verifiers.verifier import Verdict, failed, in_a_line

MAX_TRIES = 200
"""Places of a text where JSON may start that are looked at."""

_NOTHING = object()


class JsonSchema:
    """Right if the answer's JSON is valid against a schema; see `json_validity.py` for keywords.

    The JSON is the whole answer, else the first ``` block that is JSON, else the first object or
    array in the text. An answer with none is wrong. NaN and infinity are not JSON.

    Args:
        seconds: wall-clock time that the schema's patterns may take together on an answer.

    Raises:
        RequestError: the schema is wrong, or asks for what is not understood here.
    """

    def __init__(self, schema: Mapping[str, Any] | bool, *, seconds: float = 2.0) -> None:
        try:
            own = json.loads(json.dumps(schema, allow_nan=False))
            check_schema(own)
            examples: tuple[Any, ...] = (None, True, 0, "", [], {})
            for value in examples:  # a reference that leads to itself shows at once
                Validity(own, lambda pattern, text: False).fault(own, value)
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"the schema is not JSON: {error}", remedy="correct the schema", field="schema"
            ) from None
        except RecursionError:
            raise RequestError(
                "the schema is nested too deep, or a $ref of it leads to itself",
                remedy="correct the schema",
                field="schema",
            ) from None
        except TooManySteps as error:
            raise RequestError(str(error), remedy="make it simpler", field="schema") from None
        self._schema, self._patterns, self._seconds = own, patterns_of(own), seconds

    def verify(self, question: str, answer: str) -> Verdict:
        """1 if it is valid, 0 with the first fault if not; failed if that cannot be told."""
        try:
            value = json_in(answer)
            if value is _NOTHING:
                return Verdict(0.0, "there is no JSON in the answer")
            fault = self._fault(value)
        except (SearchFailed, TooManySteps) as error:
            return failed(str(error))
        except RecursionError:
            return failed("the answer's JSON is nested too deep")
        return Verdict(1.0, "valid") if fault is None else Verdict(0.0, in_a_line(fault))

    def _fault(self, value: Any) -> str | None:
        texts = dict.fromkeys(_texts(value)) if self._patterns else {}
        # All at once: each search that is bounded in time costs a process.
        pairs = [(pattern, text) for pattern in self._patterns for text in texts]
        found = dict(zip(pairs, search_all(pairs, self._seconds), strict=True))
        return Validity(self._schema, lambda *pair: found[pair]).fault(self._schema, value)


def json_in(answer: str) -> Any:
    """The JSON value of an answer, or a mark of this module's that there is none."""
    for text in (answer, *(block.text for block in fences(answer))):
        value = _loaded(text)
        if value is not _NOTHING:
            return value
    tries = 0
    for place, character in enumerate(answer):
        if character not in "{[":
            continue
        tries += 1
        if tries > MAX_TRIES:
            break
        try:
            return _DECODER.raw_decode(answer, place)[0]
        except (ValueError, RecursionError):
            continue
    return _NOTHING


def _loaded(text: str) -> Any:
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return _NOTHING


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of JSON")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, names of properties included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _texts(item)
