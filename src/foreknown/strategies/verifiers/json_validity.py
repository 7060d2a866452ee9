"""Says whether a JSON value is valid against a JSON schema, and if not, why.

The keywords of draft 2020-12 and, where they do not contradict it, of draft 7. Formats and unknown
keywords are remarks, as the standard has it. Refused beforehand: `$ref` to other documents,
`unevaluated…`, dynamic references, anchors, and a base address within the schema.

Grammars (`server/json_schemas.py`) cannot stand in for this: they hold properties to one order and
numbers to one spelling, and so call valid answers wrong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.searching import check_pattern

MAX_STEPS = 50_000
"""Schemas that are held against a value, before it is given up."""

Found = Callable[[str, str], bool]
"""Whether a pattern is found in a text."""

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and value == math.floor(value),
}
_REFUSED = ("unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef",
            "$dynamicAnchor", "$recursiveAnchor", "$anchor", "extends", "disallow",
            "divisibleBy")  # fmt: skip
_ONE = ("additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
        "additionalItems")  # fmt: skip
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
           "minContains", "maxContains")  # fmt: skip
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_SHOWN = 60  # characters of a value
_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


class TooManySteps(Exception):
    """A schema whose branches multiply; the message says so."""


def check_schema(schema: Any) -> None:
    """Refuses what is not a schema that `Validity` understands.

    Raises:
        RequestError: the keyword and its place, as a JSON pointer, are named.
    """
    for place, part in _parts(schema, "#"):
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise _wrong(place, f"is {_short(part)}, where an object or a boolean is expected")
        for keyword in part:
            _check_keyword(schema, part, keyword, f"{place}/{keyword}")


def patterns_of(schema: Any) -> list[str]:
    """Every regular expression of a schema, once."""
    found: dict[str, None] = {}
    for _, part in _parts(schema, "#"):
        if isinstance(part, dict):
            found |= dict.fromkeys(part.get("patternProperties", ()))
            if "pattern" in part:
                found[part["pattern"]] = None
    return list(found)


class Validity:
    """One value held against one schema that was checked.

    Args:
        found: looks for a pattern in a text.
    """

    def __init__(self, root: Any, found: Found) -> None:
        self._root, self._found = root, found
        self._steps = 0

    def fault(self, schema: Any, value: Any, place: str = "$") -> str | None:
        """The first thing that is wrong, or None.

        Raises:
            TooManySteps: it takes more than 50,000 steps.
            RecursionError: value or schema are nested too deep, or a reference never ends.
        """
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooManySteps(f"the schema takes more than {MAX_STEPS:,} steps")
        if isinstance(schema, bool):
            return None if schema else f"{place}: nothing is valid here"
        for check in (
            self._of_all,
            self._of_numbers,
            self._of_texts,
            self._of_arrays,
            self._of_objects,
            self._of_choices,
        ):
            fault = check(schema, value, place)
            if fault is not None:
                return fault
        return None

    def _valid(self, schema: Any, value: Any, place: str) -> bool:
        return self.fault(schema, value, place) is None

    def _first(self, faults: Iterator[str | None]) -> str | None:
        return next((fault for fault in faults if fault is not None), None)

    def _of_all(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if "type" in schema:
            types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            if not any(_TYPES[name](value) for name in types):
                return f"{place}: {_short(value)} is not of type {' or '.join(types)}"
        if "const" in schema and _key(schema["const"]) != _key(value):
            return f"{place}: {_short(value)} is not {_short(schema['const'])}"
        if "enum" in schema and _key(value) not in {_key(choice) for choice in schema["enum"]}:
            return f"{place}: {_short(value)} is none of {_short(schema['enum'])}"
        return None

    def _of_numbers(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if not _is_number(value):
            return None
        for keyword, is_wrong in (
            ("minimum", lambda least: value < least),
            ("maximum", lambda most: value > most),
            ("exclusiveMinimum", lambda least: value <= least),
            ("exclusiveMaximum", lambda most: value >= most),
            ("multipleOf", lambda unit: _decimal(value) % _decimal(unit) != 0),
        ):
            if keyword in schema and is_wrong(schema[keyword]):
                return f"{place}: {_short(value)} breaks {keyword} {schema[keyword]}"
        return None

    def _of_texts(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if not isinstance(value, str):
            return None
        if (fault := _miscounted(schema, "Length", len(value), place)) is not None:
            return fault
        if "pattern" in schema and not self._found(schema["pattern"], value):
            return f"{place}: {_short(value)} does not match {schema['pattern']}"
        return None

    def _of_arrays(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if not isinstance(value, list):
            return None
        if (fault := _miscounted(schema, "Items", len(value), place)) is not None:
            return fault
        if schema.get("uniqueItems") and len({_key(item) for item in value}) < len(value):
            return f"{place}: items are not unique"
        if "contains" in schema:
            some = schema["contains"]
            n_found = sum(self._valid(some, x, f"{place}[{n}]") for n, x in enumerate(value))
            counted = {"minContains": 1, **schema}
            if (fault := _miscounted(counted, "Contains", n_found, place)) is not None:
                return fault
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(rest, list):  # as draft 7 has it
            first, rest = rest, schema.get("additionalItems", True)
        return self._first(
            self.fault(first[n] if n < len(first) else rest, item, f"{place}[{n}]")
            for n, item in enumerate(value)
        )

    def _of_objects(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if not isinstance(value, dict):
            return None
        if (fault := _miscounted(schema, "Properties", len(value), place)) is not None:
            return fault
        required = list(schema.get("required", ()))
        schemas = list(schema.get("dependentSchemas", {}).items())
        for name, needed in [
            *schema.get("dependentRequired", {}).items(),
            *schema.get("dependencies", {}).items(),
        ]:
            if not isinstance(needed, list):
                schemas.append((name, needed))
            elif name in value:
                required += needed
        for name in required:
            if name not in value:
                return f"{place}: {_short(name)} is missing"
        fault = self._first(
            self.fault(needed, value, place) for name, needed in schemas if name in value
        )
        return fault or self._first(
            self._of_property(schema, name, item, place) for name, item in value.items()
        )

    def _of_property(self, schema: dict[str, Any], name: str, item: Any, place: str) -> str | None:
        within = f"{place}.{name}"
        if "propertyNames" in schema:
            fault = self.fault(schema["propertyNames"], name, f"name of {within}")
            if fault is not None:
                return fault
        patterns = schema.get("patternProperties", {})
        matching = [patterns[pattern] for pattern in patterns if self._found(pattern, name)]
        if name in schema.get("properties", {}):
            matching.append(schema["properties"][name])
        if not matching:
            if schema.get("additionalProperties") is False:
                return f"{place}: {_short(name)} is not a property of it"
            matching = [schema.get("additionalProperties", True)]
        return self._first(self.fault(part, item, within) for part in matching)

    def _of_choices(self, schema: dict[str, Any], value: Any, place: str) -> str | None:
        if "$ref" in schema:
            fault = self.fault(_resolved(self._root, schema["$ref"]), value, place)
            if fault is not None:
                return fault
        fault = self._first(self.fault(part, value, place) for part in schema.get("allOf", ()))
        if fault is not None:
            return fault
        if "anyOf" in schema and not any(self._valid(p, value, place) for p in schema["anyOf"]):
            return f"{place}: {_short(value)} is valid by none of anyOf"
        if "oneOf" in schema:
            n_valid = sum(self._valid(part, value, place) for part in schema["oneOf"])
            if n_valid != 1:
                return f"{place}: {_short(value)} is valid by {n_valid} of oneOf, not by one"
        if "not" in schema and self._valid(schema["not"], value, place):
            return f"{place}: {_short(value)} is what must not be"
        if "if" in schema:
            branch = "then" if self._valid(schema["if"], value, place) else "else"
            return self.fault(schema.get(branch, True), value, place)
        return None


def _parts(schema: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every schema within a schema, itself first, with its place."""
    yield place, schema
    if not isinstance(schema, dict):
        return
    for keyword, given in schema.items():
        within = f"{place}/{keyword}"
        if keyword in _ONE or (keyword == "items" and not isinstance(given, list)):
            yield from _parts(given, within)
        elif (keyword in _SEVERAL or keyword == "items") and isinstance(given, list):
            for number, part in enumerate(given):
                yield from _parts(part, f"{within}/{number}")
        elif (keyword in _NAMED or keyword == "dependencies") and isinstance(given, dict):
            for name, part in given.items():
                if keyword != "dependencies" or not isinstance(part, list):
                    yield from _parts(part, f"{within}/{name}")


def _check_keyword(root: Any, schema: dict[str, Any], keyword: str, place: str) -> None:
    given = schema[keyword]
    if keyword in _REFUSED or (keyword in ("$id", "id") and schema is not root and
                               isinstance(given, str)):  # fmt: skip
        raise _wrong(place, "is not understood here")
    if keyword == "pattern":
        _check_pattern(given, place)
    elif keyword == "patternProperties" and isinstance(given, dict):
        for pattern in given:
            _check_pattern(pattern, place)
    elif keyword == "$ref":
        target = _resolved(root, given)
        if not isinstance(target, (dict, bool)):
            raise _wrong(place, f"{_short(given)} leads to no schema of this document")
    for keywords, is_right, expected in _FORMS:
        if keyword in keywords and not is_right(given):
            raise _wrong(place, f"is {_short(given)}, where {expected} is expected")


def _check_pattern(pattern: Any, place: str) -> None:
    try:
        check_pattern(pattern)
    except RequestError as error:
        raise _wrong(place, error.what) from None


def _is_names(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(name, str) for name in given)


def _is_lists_of_names(given: Any) -> bool:
    return isinstance(given, dict) and all(_is_names(names) for names in given.values())


def _is_types(given: Any) -> bool:
    names = given if isinstance(given, list) else [given]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_dependencies(given: Any) -> bool:
    return isinstance(given, dict) and all(
        _is_names(needed) or isinstance(needed, (dict, bool)) for needed in given.values()
    )


_FORMS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("type",), _is_types, f"one or some of {', '.join(_TYPES)}"),
    (("enum",), lambda given: isinstance(given, list), "an array"),
    (("required",), _is_names, "an array of names"),
    (("dependentRequired",), _is_lists_of_names, "an object of arrays of names"),
    (("dependencies",), _is_dependencies, "an object of schemas or arrays of names"),
    (("uniqueItems",), lambda given: isinstance(given, bool), "a boolean"),
    (_NAMED, lambda given: isinstance(given, dict), "an object of schemas"),
    (_SEVERAL, lambda given: isinstance(given, list) and bool(given), "an array of schemas"),
    (_COUNTS, lambda given: _TYPES["integer"](given) and given >= 0, "a count"),
    (_NUMBERS, lambda given: _is_number(given), "a number"),
    (("multipleOf",), lambda given: _is_number(given) and given > 0, "a number above 0"),
)


def _resolved(root: Any, reference: Any) -> Any:
    """What a reference within the document leads to; None: nothing."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found = root
    for step in _ESCAPED.sub(_unescaped, reference[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return None
    return found


def _unescaped(match: re.Match[str]) -> str:
    """The characters of %-escapes, which a reference may have as any address may."""
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _miscounted(schema: Mapping[str, Any], of: str, count: int, place: str) -> str | None:
    for keyword, is_wrong in ((f"min{of}", int.__lt__), (f"max{of}", int.__gt__)):
        if keyword in schema and is_wrong(count, int(schema[keyword])):
            return f"{place}: {count} breaks {keyword} {schema[keyword]}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _decimal(value: float) -> Fraction:
    """A number as JSON writes it: 0.3 is three tenths."""
    return Fraction(str(value))


def _key(value: Any) -> Any:
    """Equal for values that are equal in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, list):
        return ("array", tuple(map(_key, value)))
    if isinstance(value, dict):
        return ("object", frozenset((name, _key(item)) for name, item in value.items()))
    return ("number" if _is_number(value) else type(value).__name__, value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _wrong(place: str, why: str) -> RequestError:
    return RequestError(
        f"the schema is wrong: {place} {why}",
        remedy="correct the schema",
        field="schema",
    )
