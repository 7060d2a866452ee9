"""Keywords of JSON Schema that hold values, not schemas, as the grammar's engine can keep them.

Each function takes a schema, one of its keywords and the value there, and gives the keywords that
are written instead; `json_schemas` puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foreknown.server.patterns import PatternError, rewritten
from foreknown.server.text_formats import PATTERNS

MAX_STEP = 10_000
"""Largest multipleOf: it costs memory in proportion."""

TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")

_LARGEST = 10**15  # of numbers: from here on, decimals and binary numbers differ
_DIGITS = 15  # of bounds
_DECIMALS = 10  # of numbers next to an exclusive bound, at most
_FRACTIONS = (0.5, 0.25, 0.125, 0.0625)
_WIDEST = 10**11  # numbers that are multiples are exact in binary up to here
_FORMATS = {name: name for name in ("date-time", "time", "date", "duration", "email", "hostname",
                                    "ipv4", "ipv6", "uuid", "uri")}  # fmt: skip
_FORMATS |= {"idn-email": "email", "idn-hostname": "hostname"}
# Who checks dates knows no year 0.
_YEAR = {"pattern": "^(?:[1-9]|0[1-9]|00[1-9]|000[1-9])"}

Schema = Mapping[str, Any]
Written = dict[str, Any]


class KeywordError(ValueError):
    """A keyword that cannot be kept; the message says why."""


def children(part: Any) -> Sequence[Any]:
    """The values within an object or an array; none of anything else."""
    if isinstance(part, dict):
        return list(part.values())
    return part if isinstance(part, list) else ()


def _type(schema: Schema, keyword: str, value: Any) -> Written:
    types = value if isinstance(value, list) else [value]
    if not types or any(kind not in TYPES for kind in types):
        raise KeywordError(f"one or several of {', '.join(TYPES)} expected")
    return {keyword: value}


def _enum(schema: Schema, keyword: str, value: Any) -> Written:
    values = [value] if keyword == "const" else value
    if not isinstance(values, list) or not values:
        raise KeywordError("a list of at least one value is expected")
    level = list(values)
    while level:
        if any(_is_number(part) and abs(part) > _LARGEST for part in level):
            raise KeywordError(f"numbers reach to {_LARGEST:.0e} only")
        level = [child for part in level for child in children(part)]
    return {keyword: value}


def _bound(schema: Schema, keyword: str, value: Any) -> Written:
    if isinstance(value, bool) and keyword.startswith("exclusive"):  # as draft 4 has it
        inclusive = "minimum" if keyword == "exclusiveMinimum" else "maximum"
        if value is False or inclusive not in schema:
            return {}
        return _bound(schema, keyword, schema[inclusive])
    if not _is_number(value):
        raise KeywordError("a number is expected")
    too_far = abs(value) > _LARGEST or 0 < abs(value) < 1 / _LARGEST
    if too_far or len(_digits(value)) > _DIGITS:
        raise KeywordError(
            f"bounds reach from {1 / _LARGEST:.0e} to {_LARGEST:.0e}, with {_DIGITS} digits"
        )
    if not keyword.startswith("exclusive") or schema.get("type") == "integer":
        return {keyword: value}
    # 0.99…9 must not be read as 1.0: as many decimals as binary numbers tell apart.
    decimals = max(0, min(_DECIMALS, _DIGITS - 1 - len(str(int(abs(value))))))
    step = {"multipleOf": float(f"1e-{decimals}") if decimals else 1}
    return {keyword: value, **({} if "multipleOf" in schema else {"allOf": [step]})}


def _multiple(schema: Schema, keyword: str, value: Any) -> Written:
    if not _is_number(value) or value <= 0:
        raise KeywordError("a number above 0 is expected")
    whole = float(value).is_integer() and value <= MAX_STEP
    if not whole and value not in _FRACTIONS:
        raise KeywordError(
            f"a whole number up to {MAX_STEP} or one of {', '.join(map(str, _FRACTIONS))} is "
            "expected: of others, the nearest binary numbers are no multiples"
        )
    written = {keyword: int(value) if whole else value}
    if schema.get("type") != "integer":
        written["allOf"] = [{"minimum": -_WIDEST, "maximum": _WIDEST}]
    return written


def _length(schema: Schema, keyword: str, value: Any) -> Written:
    if not _is_number(value) or value < 0 or not float(value).is_integer():
        raise KeywordError("a whole number of at least 0 is expected")
    return {keyword: int(value)}


def _pattern(schema: Schema, keyword: str, value: Any) -> Written:
    if not isinstance(value, str):
        raise KeywordError("a text is expected")
    try:
        return {keyword: rewritten(value)}
    except PatternError as error:
        raise KeywordError(str(error)) from None


def _format(schema: Schema, keyword: str, value: Any) -> Written:
    if not isinstance(value, str):
        raise KeywordError("a name is expected")
    if value in PATTERNS:
        return {"allOf": [{"pattern": PATTERNS[value]}]}
    if value not in _FORMATS:
        return {}
    dated = {"allOf": [_YEAR]} if value in ("date", "date-time") else {}
    return {keyword: _FORMATS[value], **dated}


def _required(schema: Schema, keyword: str, value: Any) -> Written:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise KeywordError("a list of names is expected")
    return {keyword: list(dict.fromkeys(value))}


def _least_properties(schema: Schema, keyword: str, value: Any) -> Written:
    written = _length(schema, keyword, value)
    required = schema.get("required")
    if isinstance(required, list) and value <= len(set(map(str, required))):
        return {}
    if value > 1:
        # Names that no list holds may come twice, and then count once.
        raise KeywordError("more than 1 is only supported if so many are required")
    return written


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _digits(value: float) -> str:
    """A number's significant digits."""
    return repr(value).split("e")[0].replace(".", "").strip("-0")


VALUE_KEYWORDS: Mapping[str, Callable[[Schema, str, Any], Written]] = {
    "type": _type,
    **dict.fromkeys(("enum", "const"), _enum),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _bound),
    "multipleOf": _multiple,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _length),
    "pattern": _pattern,
    "format": _format,
    "required": _required,
    "minProperties": _least_properties,
    "maxProperties": _length,
}
