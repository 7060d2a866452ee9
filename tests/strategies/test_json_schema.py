"""JSON in answers, held against schemas; the jsonschema package is the stranger that checks."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.verifiers import JsonSchema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"age": 36, "name": "Ada"}'


def score(schema: Any, answer: str) -> float:
    verdict = JsonSchema(schema).verify("", answer)
    assert not verdict.failed, verdict.reason
    return verdict.score


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"\n {GOOD}\n",
        f"Here you are: {GOOD}. Anything else?",
        f"Sure:\n```json\n{GOOD}\n```\nDone.",
        f"~~~\n{GOOD}\n~~~",
        f"```json\n{GOOD}",
        f"```text\nno json\n```\n```JSON\n{GOOD}\n```",
        f"a set {{1, 2}} and then {GOOD}",
        '{"name": "Ada", "age": 36.0}',
        '{"name": "```", "age": 1}',
    ],
)
def test_json_is_found_and_valid(answer: str) -> None:
    assert score(PERSON, answer) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "there is no JSON in the answer"),
        ("I cannot say", "there is no JSON in the answer"),
        (GOOD[:-1], "there is no JSON in the answer"),
        ('{"name": "Ada"}', '$: "age" is missing'),
        ('{"name": "Ada", "age": -1}', "$.age: -1 breaks minimum 0"),
        ('{"name": "Ada", "age": 1.5}', "$.age: 1.5 is not of type integer"),
        ('{"name": "Ada", "age": true}', "$.age: true is not of type integer"),
        ('{"name": "Ada", "age": 1, "x": 2}', '$: "x" is not a property of it'),
        (f"[{GOOD}]", "is not of type object"),
        (f"first {{}} then {GOOD}", "is missing"),
        ('{"name": "Ada", "age": NaN}', "there is no JSON in the answer"),
        ('{"name": "Ada", "age": 1e999}', "there is no JSON in the answer"),
    ],
)
def test_what_is_wrong_is_said(answer: str, reason: str) -> None:
    verdict = JsonSchema(PERSON).verify("", answer)
    assert (verdict.score, verdict.failed) == (0, False)
    assert reason in verdict.reason


def test_a_bare_value_counts_only_alone() -> None:
    assert score({"type": "integer"}, " 42 ") == 1
    assert score({"type": "integer"}, "```\n42\n```") == 1
    assert score({"type": "integer"}, "it is 42") == 0


@pytest.mark.parametrize("schema", [True, {}, {"type": "array"}])
def test_deep_nesting_does_no_harm(schema: Any) -> None:
    start = time.monotonic()
    for answer in ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 50_000):
        assert 0 <= JsonSchema(schema).verify("", answer).score <= 1
    deep: Any = {"items": {"$ref": "#"}}
    assert 0 <= JsonSchema(deep).verify("", "[" * 700 + "]" * 700).score <= 1
    assert time.monotonic() - start < 4


def test_patterns_are_searched_for() -> None:
    schema = {
        "properties": {"id": {"pattern": "^[a-z]+$"}},
        "patternProperties": {"_n$": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert score(schema, '{"id": "abc", "a_n": 3}') == 1
    assert score(schema, '{"id": "Abc"}') == 0
    assert score(schema, '{"a_n": "3"}') == 0
    assert score(schema, '{"other": 3}') == 0
    assert score(schema, r'{"id": "\ud800"}') == 0


def test_a_pattern_that_never_ends_has_failed() -> None:
    start = time.monotonic()
    verifier = JsonSchema({"items": {"pattern": "(a+)+b$"}}, seconds=0.3)
    verdict = verifier.verify("", json.dumps(["a" * 60]))
    assert verdict.failed
    assert "longer than 0.3 s" in verdict.reason
    assert time.monotonic() - start < 3


def test_branches_that_multiply_have_failed() -> None:
    schema: Any = {"$defs": {"0": {"type": "object"}}, "items": {"$ref": "#/$defs/25"}}
    for n in range(25):
        reference = {"$ref": f"#/$defs/{n}"}
        schema["$defs"][str(n + 1)] = {"allOf": [reference, reference]}
    verdict = JsonSchema(schema).verify("", "[{}]")
    assert verdict.failed
    assert "steps" in verdict.reason


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ([], "# is"),
        ("text", "# is"),
        (None, "# is"),
        ({"type": "strin"}, "#/type"),
        ({"type": []}, "#/type"),
        ({"type": {}}, "#/type"),
        ({"properties": []}, "#/properties"),
        ({"properties": {"a": 3}}, "#/properties/a"),
        ({"items": {"required": "a"}}, "#/items/required"),
        ({"required": [1]}, "#/required"),
        ({"minLength": -1}, "#/minLength"),
        ({"maxItems": 1.5}, "#/maxItems"),
        ({"minimum": "1"}, "#/minimum"),
        ({"exclusiveMinimum": True}, "#/exclusiveMinimum"),
        ({"multipleOf": 0}, "#/multipleOf"),
        ({"uniqueItems": 1}, "#/uniqueItems"),
        ({"enum": "ab"}, "#/enum"),
        ({"anyOf": []}, "#/anyOf"),
        ({"oneOf": {}}, "#/oneOf"),
        ({"allOf": [1]}, "#/allOf/0"),
        ({"not": None}, "#/not"),
        ({"pattern": "("}, "#/pattern"),
        ({"pattern": 1}, "#/pattern"),
        ({"patternProperties": {"[": True}}, "#/patternProperties"),
        ({"dependentRequired": {"a": "b"}}, "#/dependentRequired"),
        ({"dependencies": {"a": 1}}, "#/dependencies"),
        ({"$ref": "#/$defs/none"}, "#/$ref"),
        ({"$ref": "https://example.org/schema"}, "#/$ref"),
        ({"$ref": 1}, "#/$ref"),
        ({"unevaluatedProperties": False}, "#/unevaluatedProperties"),
        ({"items": {"$id": "https://example.org/a"}}, "#/items/$id"),
        ({"$ref": "#"}, "leads to itself"),
        ({"allOf": [{"anyOf": [{"$ref": "#"}]}]}, "leads to itself"),
        ({"const": float("nan")}, "not JSON"),
        ({"enum": {1, 2}}, "not JSON"),
    ],
)
def test_a_bad_schema_is_refused(schema: Any, place: str) -> None:
    with pytest.raises(RequestError) as refused:
        JsonSchema(schema)
    assert place in str(refused.value)
    assert refused.value.field == "schema"


def test_a_schema_may_be_changed_afterwards() -> None:
    schema: dict[str, Any] = {"type": "object"}
    verifier = JsonSchema(schema)
    schema["type"] = "array"
    assert verifier.verify("", "{}").score == 1


@pytest.mark.parametrize("reference", ["#/$defs/%C3%A9%25~1", "#/$defs/é%25~1", "#/%24defs/é%25~1"])
def test_references_are_read_as_addresses(reference: str) -> None:
    schema = {"$defs": {"é%/": {"type": "null"}}, "items": {"$ref": reference}}
    assert score(schema, "[null]") == 1
    assert score(schema, "[1]") == 0


names = st.sampled_from(["a", "b", "c~/d"])
scalars = (
    st.none() | st.booleans() | st.integers(-3, 6) | st.sampled_from([0.5, 1.0, "", "a", "é€"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
counts = st.integers(0, 3)
types = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(names, inner, max_size=2)
    lists = st.dictionaries(names, st.lists(names, unique=True, max_size=2), max_size=2)
    keywords = {
        "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
        "const": values,
        "enum": st.lists(values, min_size=1, max_size=3),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        **dict.fromkeys(
            ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), st.integers(-2, 4)
        ),
        **dict.fromkeys(
            ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
             "minContains", "maxContains"), counts),
        "uniqueItems": st.booleans(),
        **dict.fromkeys(
            ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then",
             "else"), inner),
        **dict.fromkeys(("prefixItems", "allOf", "anyOf", "oneOf"), some),
        "properties": named,
        "dependentSchemas": named,
        "dependentRequired": lists,
        "required": st.lists(names, unique=True, max_size=2),
        "$ref": st.sampled_from(["#/$defs/x", "#/$defs/y~1z"]),
        "format": st.just("date"),
        "title": st.just("t"),
    }  # fmt: skip
    few = st.lists(st.sampled_from(sorted(keywords)), max_size=4, unique=True)
    return few.flatmap(lambda chosen: st.fixed_dictionaries({k: keywords[k] for k in chosen}))


anything = st.recursive(st.booleans(), schemas, max_leaves=6)


@given(anything, schemas(st.booleans()), schemas(st.booleans()), st.lists(values, max_size=6))
def test_it_is_valid_where_the_jsonschema_package_says_so(
    schema: Any, x: Any, y: Any, some: list[Any]
) -> None:
    if isinstance(schema, bool):
        schema = {"not": not schema}
    x.pop("$ref", None)
    y.pop("$ref", None)
    schema = {**schema, "$defs": {"x": x, "y/z": y}}
    jsonschema.Draft202012Validator.check_schema(schema)
    stranger = jsonschema.Draft202012Validator(schema)
    verifier = JsonSchema(schema)
    for value in [None, "a", 1, [], {}, {"a": 1, "b": [0.5]}, [1, 1.0, True], *some]:
        verdict = verifier.verify("", json.dumps(value))
        assert not verdict.failed
        assert verdict.score == stranger.is_valid(value), (value, verdict.reason)
