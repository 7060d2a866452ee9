"""Values as models write them become the JSON that was meant, of the type that a schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.server.answers.reader import Malformed
from foreknown.server.answers.tools import Tools
from foreknown.server.answers.values import as_json, python_calls, value

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_json_is_read(given_: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(given_, ensure_ascii=ascii_only, indent=indent)
    assert json.loads(as_json(value(text))) == given_


@settings(deadline=None)
@given(VALUES)
def test_python_is_read(given_: Any) -> None:
    assert value(repr(given_)) == given_


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_]\w{0,8}", fullmatch=True), VALUES, max_size=4))
def test_calls_like_pythons_are_read(arguments: dict[str, Any]) -> None:
    written = ", ".join(f"{key}={argument!r}" for key, argument in arguments.items())
    (call,) = python_calls(f"[f({written})]")
    assert call.name == "f"
    assert json.loads(call.arguments) == arguments


@settings(deadline=None)
@given(st.text(st.sampled_from("[]{}(),:='\"\\ab1-.eE \n<>"), max_size=30))
def test_any_text_is_a_value_or_malformed(text: str) -> None:
    for read in (value, python_calls):
        try:
            found = read(text)
        except Malformed:
            continue
        if read is value:
            json.loads(as_json(found))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "NaN",
        "1e999",
        "-1e999",
        "1" * 5000,
        "[" * 500 + "]" * 500,
        "{1}",
        "[1",
        "'a",
        "1 2",
    ],
)
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(Malformed):
        value(text)


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(Malformed):
        as_json(float("nan"))


def test_half_a_pair_can_be_sent() -> None:
    as_json({"a": value('"\\ud83d"')}).encode()


SCHEMAS: list[tuple[Any, str, Any]] = [
    ({"type": "string"}, "3", "3"),
    ({"type": "string"}, '"a"', '"a"'),
    ({"type": "integer"}, "3", 3),
    ({"type": "integer"}, "three", "three"),
    ({"type": "number"}, "3", 3),
    ({"type": "boolean"}, "True", True),
    ({"type": "array"}, "['a', 1]", ["a", 1]),
    ({"type": "object"}, '{"a": null}', {"a": None}),
    ({"type": ["string", "null"]}, "null", None),
    ({"type": ["string", "null"]}, "3", "3"),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "3", 3),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "true", "true"),
    ({"enum": ["1", "2"]}, "1", "1"),
    ({"enum": [1, 2]}, "1", 1),
    ({"const": "1"}, "1", "1"),
    ({"$ref": "#/$defs/text"}, "1", "1"),
    ({"$ref": "#/$defs/loop"}, "1", 1),
    ({"$ref": "https://example.org/a"}, "1", 1),
    ({"type": 3, "anyOf": 3, "enum": 3}, "1", 1),
    ({}, "1", 1),
    (None, "[1]", [1]),
    (True, "yes", "yes"),
]


@pytest.mark.parametrize(("schema", "text", "expected"), SCHEMAS)
def test_a_parameter_has_the_type_of_its_schema(schema: Any, text: str, expected: Any) -> None:
    branches = [{"$ref": "#/$defs/loop"}] * 100
    parameters = {
        "type": "object",
        "properties": {"p": schema},
        "$defs": {"text": {"type": "string"}, "loop": {"anyOf": branches}},
    }
    tools = Tools([{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    found = tools.typed("f", "p", text)
    assert (found, type(found)) == (expected, type(expected))


def test_functions_without_schemas() -> None:
    tools = Tools([{"name": "f"}])
    assert "f" in tools
    assert tools.typed("f", "p", "1") == 1
    assert tools.typed("g", "p", "1") == 1
    assert tools.typed("f", "p", "1", is_string=True) == "1"
    assert not Tools([])
