"""Schemas, patterns, grammars, choices and tools that cannot be held to, or contradict."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.test_bad_input import CHAT, assert_idle, assert_refused
from tests.serving import Served

PATH = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
    assert_idle(served)


def refused_field(client: httpx.Client, **change: Any) -> tuple[str, str]:
    """Which field a refusal names, and in what words."""
    response = client.post(PATH, json={**CHAT, **change})
    assert response.status_code == 400, response.text
    param = response.json()["error"]["param"]
    assert isinstance(param, str), response.text
    # Constraints are called by what they are.
    words = ("schema", "pattern", "grammar", "choices")
    message = response.json()["error"]["message"]
    word = next((word for word in words if word in message), None)
    return param, assert_refused(response, 400, param, word=word)


def response_format(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


WRONG_SCHEMAS: dict[str, Any] = {
    "no schema": 5,
    "a list": [],
    "no type": {"type": "strin"},
    "a type that is a number": {"type": 5},
    "properties that are none": {"type": "object", "properties": 5},
    "required that is no list": {"type": "object", "required": "a"},
    "a bound that is no number": {"type": "integer", "minimum": "a"},
    "a length below none": {"type": "string", "minLength": -1},
    "an empty enum": {"enum": []},
    "nothing at all": False,
    "bounds that cross": {"type": "integer", "minimum": 5, "maximum": 4},
    "lengths that cross": {"type": "string", "minLength": 5, "maxLength": 4},
    "items that cross": {"type": "array", "minItems": 5, "maxItems": 4},
    "a bad pattern": {"type": "string", "pattern": "("},
    "a pattern that looks ahead": {"type": "string", "pattern": "(?=a)b"},
    "a schema elsewhere": {"$ref": "https://example.com/schema.json"},
    "a schema on the disk": {"$ref": "file:///etc/passwd"},
    "a schema beside it": {"$ref": "other.json#/definitions/a"},
    "a schema that is missing": {"$ref": "#/$defs/missing"},
    "a schema that is itself": {"$ref": "#"},
    "a circle": {
        "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "deep": nested(400),
    "large": {"enum": [f"{number:040d}" for number in range(50_000)]},
    "wide": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20_000)}},
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}, "then": {"minLength": 3}},
    "deep inside": {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "nonsense"}}},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_SCHEMAS)
@pytest.mark.parametrize("field", ["response_format", "structured_outputs", "tools"])
def test_a_wrong_schema_is_refused(client: httpx.Client, name: str, field: str) -> None:
    schema = WRONG_SCHEMAS[name]
    if field == "response_format":
        param, message = refused_field(client, response_format=response_format(schema))
        assert param.startswith("response_format.json_schema")
    elif field == "structured_outputs":
        param, message = refused_field(client, structured_outputs={"json": schema})
        assert param.startswith("structured_outputs")
    elif name != "large":  # That one has a test of its own below.
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        param, message = refused_field(client, tools=[tool], tool_choice="required")
        assert param.startswith("tools")
    else:
        return
    assert len(message) < 1000


HARD_SCHEMAS: dict[str, Any] = {
    "never finished": {
        "type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"],
    },
    "repeated beyond reason": {
        "type": "array", "minItems": 10**9, "items": {"type": "string", "minLength": 10**9},
    },
    "a long string": {"type": "string", "minLength": 10**6},
    "a pattern beyond reason": {"type": "string", "pattern": "^((a{100}){100}){100}$"},
    "many ways": {"anyOf": [{"type": "string", "pattern": f"a{{{i}}}b*"} for i in range(1000)]},
    "a format that is not known": {"type": "string", "format": "nonsense"},
    "a keyword that is not known": {"type": "string", "colour": "red"},
}  # fmt: skip


@pytest.mark.parametrize("name", HARD_SCHEMAS)
def test_a_hard_schema_is_kept_to_or_refused_soon(client: httpx.Client, name: str) -> None:
    body = {**CHAT, "response_format": response_format(HARD_SCHEMAS[name])}
    begun = time.monotonic()
    response = client.post(PATH, json=body)
    assert response.status_code in {200, 400}, response.text
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"a": {"not": {}}}}, ["not", "properties"]),
        ({"type": "array", "items": {"type": "nonsense"}}, ["type", "items"]),
        ({"$ref": "https://example.com/schema.json"}, ["$ref"]),
        ({"type": "string", "pattern": "("}, ["unclosed"]),
    ],
)
def test_the_message_says_which_keyword(
    client: httpx.Client, schema: Any, words: list[str]
) -> None:
    param, message = refused_field(client, response_format=response_format(schema))
    assert all(word in f"{param} {message}" for word in words), (param, message)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({}, "response_format.type"),
        ({"type": "yaml"}, "response_format.type"),
        ({"type": 5}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": 5}, "response_format.json_schema"),
        (
            {"type": "json_schema", "json_schema": {"name": 5, "schema": {}}},
            "response_format.json_schema.name",
        ),
        ({"type": "text", "colour": 1}, "response_format.colour"),
        ({"type": "json_object", "json_schema": {"name": "x"}}, "response_format.json_schema"),
    ],
)
def test_a_wrong_response_format_is_named(client: httpx.Client, value: Any, param: str) -> None:
    named, _ = refused_field(client, response_format=value)
    assert named in {param, param.removesuffix(".type")}


_WORDS = {"regex": "pattern", "grammar": "grammar", "choice": "choices", "json": "schema"}
WRONG_OUTPUTS: list[tuple[dict[str, Any], str]] = [
    *(
        ({"regex": pattern}, "regex")
        for pattern in (
            5, "(", "[a", "a{5,4}", "*", "(?=a)b", "(?!a)b", "(?<=a)b", r"(a)\1", "\\",
            "a{1000}{1000}{1000}", "((a{100}){100}){100}", "a" * 1_000_000,
            "(" * 5_000 + ")" * 5_000, r"\p{Nonsense}", "[z-a]",
        )
    ),
    *(
        ({"grammar": grammar}, "grammar")
        for grammar in (
            5, "", "nonsense", "start: missing", "start: (", 'root ::= "a', "start: start",
            "%import os", '%import common.NOTHING\nstart: "a"', "a" * 1_000_000,
            "start: " + "(" * 5_000 + '"a"' + ")" * 5_000, "start: /(/",
        )
    ),
    *(
        ({"choice": choice}, "choice")
        for choice in (5, "a", [], [5], ["a" * 10] * 500_000, {"a": 1}, ["a" * 1_000_000])
    ),
    ({"json_object": "yes"}, "json_object"),
    ({"json_object": 5}, "json_object"),
    ({"colour": 1}, "colour"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "field"), WRONG_OUTPUTS, ids=[repr(case)[:40] for case, _ in WRONG_OUTPUTS]
)
def test_wrong_structured_outputs_are_named(
    client: httpx.Client, outputs: dict[str, Any], field: str
) -> None:
    response = client.post(PATH, json={**CHAT, "structured_outputs": outputs})
    if response.status_code == 413:
        return
    param, message = refused_field(client, structured_outputs=outputs)
    assert param.startswith("structured_outputs")
    assert field in f"{param} {message}" or _WORDS[field] in message
    assert len(message) < 1000


@pytest.mark.parametrize(
    "outputs",
    [{"regex": "a", "choice": ["a"]}, {"json": {}, "json_object": True}, {"json_object": False}],
)
def test_structured_outputs_are_one_of_them(client: httpx.Client, outputs: dict[str, Any]) -> None:
    param, _ = refused_field(client, structured_outputs=outputs)
    assert param.startswith("structured_outputs")


CHOICE = {"choice": ["a", "b"]}
CONTRADICTIONS: list[dict[str, Any]] = [
    {"response_format": {"type": "json_object"}, "structured_outputs": CHOICE},
    {"response_format": response_format({"type": "object"}), "structured_outputs": CHOICE},
    {"tools": [TOOL], "tool_choice": "required", "structured_outputs": CHOICE},
]


@pytest.mark.parametrize("change", CONTRADICTIONS)
def test_two_wishes_that_exclude_each_other_are_refused(
    client: httpx.Client, change: dict[str, Any]
) -> None:
    param, _ = refused_field(client, **change)
    assert param.split(".")[0] in change


def test_beams_and_constraints_exclude_each_other_or_agree(client: httpx.Client) -> None:
    change = {"structured_outputs": CHOICE, "beam_width": 2}
    response = client.post(PATH, json={**CHAT, **change, "max_tokens": 8})
    if response.status_code == 200:
        assert response.json()["choices"][0]["message"]["content"] in CHOICE["choice"]
    else:
        assert_refused(response, 400, response.json()["error"]["param"])


def function(**change: Any) -> dict[str, Any]:
    made = {"name": "f", "parameters": {"type": "object"}, **change}
    return {"type": "function", "function": made}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": 5}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [TOOL, function(name=5)]}, "tools[1].function.name"),
        ({"tools": [function(name="")]}, "tools[0].function.name"),
        ({"tools": [function(name="a b")]}, "tools[0].function.name"),
        ({"tools": [function(name="../a")]}, "tools[0].function.name"),
        ({"tools": [function(name="a" * 200)]}, "tools[0].function.name"),
        ({"tools": [function(description=5)]}, "tools[0].function.description"),
        ({"tools": [function(colour=5)]}, "tools[0].function.colour"),
        ({"tools": [function(strict="x")]}, "tools[0].function.strict"),
        ({"tools": [function(parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [function(parameters={"type": "string"})]}, "tools[0].function.parameters"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": 5}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice.function.name",
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "magic", "function": {"name": "f"}}},
            "tool_choice.type",
        ),
    ],
)
def test_wrong_tools_are_named(client: httpx.Client, change: dict[str, Any], param: str) -> None:
    named, _ = refused_field(client, **change)
    # A union that nothing fits is named as a whole; so is a thing without its kind.
    allowed = {param, param.rsplit(".", 1)[0], param.split(".")[0]}
    assert named in allowed, named


SLASHES = ("a/b", "/", r"a\/b", 'a/ | "b')


@pytest.mark.parametrize("pattern", SLASHES)
def test_a_pattern_is_a_pattern_whatever_is_in_it(client: httpx.Client, pattern: str) -> None:
    """It is no way into the grammar around it."""
    body = {**CHAT, "max_tokens": 30, "structured_outputs": {"regex": pattern}}
    response = client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert re.fullmatch(pattern, choice["message"]["content"])


def test_tools_too_large_are_refused_before_they_are_read(client: httpx.Client) -> None:
    """No step of anybody else waits for it."""
    tool = function(parameters=WRONG_SCHEMAS["large"])
    begun = time.monotonic()
    refused_field(client, tools=[tool])
    assert time.monotonic() - begun < 2


def test_the_same_is_refused_on_the_other_paths(client: httpx.Client) -> None:
    deep = nested(400)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/completions": {"prompt": "a", "structured_outputs": {"json": deep}},
        "/v1/responses": {
            "input": "a",
            "text": {"format": {"type": "json_schema", "name": "x", "schema": deep}},
        },
        "/v1/messages": {
            "messages": CHAT["messages"],
            "max_tokens": 2,
            "tools": [{"name": "f", "input_schema": deep}],
            "tool_choice": {"type": "any"},
        },
    }
    for path, body in bodies.items():
        response = client.post(path, json={"model": "bundled", **body})
        assert response.status_code == 400, (path, response.text)
