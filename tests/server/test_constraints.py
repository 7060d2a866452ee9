"""Every finished answer obeys its grammar; what cannot be kept is refused by name."""

from __future__ import annotations

import json
import re
import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

import foreknown.bundled
from foreknown.checkpoint.tokenizer import Tokenizer, open_tokenizer
from foreknown.errors import RequestError
from foreknown.server import constraints, json_schemas
from foreknown.server.constraints import ConstraintCompiler
from tests.server.random_answers import RandomModel, obeys, token_ids
from tests.server.random_schemas import SchemaMaker

VOCABULARY = 1728  # more than there are tokens, as models have it
ENDS = {0, 2}
FREE = (0, 8, 40, 150)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return open_tokenizer(Path(foreknown.bundled.__path__[0]))


@pytest.fixture(scope="module")
def compiler(tokenizer: Tokenizer) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer, VOCABULARY, ENDS)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> RandomModel:
    return RandomModel(tokenizer, VOCABULARY, ENDS)


def errors(schema: dict[str, Any], answer: Any) -> list[str]:
    """What jsonschema finds."""
    kind = validator_for(schema, default=Draft202012Validator)
    validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of patterns such as [[a]
        return [error.message for error in validator.iter_errors(answer)]


# ---- all finished answers are valid ----------------------------------------------------------


@pytest.mark.parametrize("hundred", range(2))
def test_answers_to_random_schemas_are_valid(
    compiler: ConstraintCompiler, model: RandomModel, hundred: int
) -> None:
    finished = 0
    refusals = []
    for seed in range(100 * hundred, 100 * hundred + 100):
        schema = SchemaMaker(seed).schema()
        Draft202012Validator.check_schema(schema)
        try:
            compiler.json_schema(schema)
        except RequestError as error:
            refusals.append(error.what)
            continue
        for free in FREE:
            text = model.answer(compiler.json_schema(schema), seed + free, free)
            if text is not None:
                finished += 1
                found = errors(schema, json.loads(text))
                assert not found, (seed, free, schema, text, found)
    assert len(refusals) <= 6
    assert all("Unsatisfiable" in reason for reason in refusals), refusals
    assert finished >= 330


def _own_examples() -> dict[str, dict[str, Any]]:
    """Metaschemas, and the schemas of the package's documentation."""
    examples: dict[str, dict[str, Any]] = {
        "most items": {"maxItems": 2},
        "items": {"type": "array", "items": {"enum": [1, 2, 3]}, "maxItems": 2},
        "price": {
            "type": "object",
            "properties": {"price": {"type": "number"}, "name": {"type": "string"}},
        },
        "integer": {"type": "integer"},
        "anything": {},
        "tree": {
            "$id": "urn:example:tree",
            "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        },
        "dependent": {"dependentRequired": {"bar": ["foo"]}, "required": ["bar"]},
        "dependencies": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "dependencies": {"bar": ["foo"], "baz": {"properties": {"x": {"type": "integer"}}}},
            "properties": {"bar": {"type": "null"}, "baz": {}, "x": {}},
        },
        "unevaluated": {"properties": {"a": {}}, "unevaluatedProperties": False},
        "tuple": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "items": [{"type": "string"}, {"type": "null"}], "additionalItems": False,
        },
    }  # fmt: skip
    root = resources.files("jsonschema_specifications") / "schemas"
    for dialect in root.iterdir():
        for part in dialect.iterdir():
            files = part.iterdir() if part.is_dir() else [part]
            for file in files:
                examples[f"{dialect.name}/{file.name}"] = json.loads(file.read_text())
    return examples


REFUSED = {
    "draft3/metaschema.json": "$schema",
    "draft4/metaschema.json": "uniqueItems",
    "draft6/metaschema.json": "uniqueItems",
    "draft7/metaschema.json": "uniqueItems",
    "draft201909/metaschema.json": "$ref",
    "draft201909/validation": "uniqueItems",
    "draft202012/metaschema.json": "$ref",
    "draft202012/validation": "uniqueItems",
}


@pytest.mark.parametrize(("name", "schema"), _own_examples().items(), ids=_own_examples())
def test_answers_to_examples_of_jsonschema_are_valid(
    compiler: ConstraintCompiler, model: RandomModel, name: str, schema: dict[str, Any]
) -> None:
    if name in REFUSED:
        with pytest.raises(RequestError, match=rf"keyword '{re.escape(REFUSED[name])}' at #"):
            compiler.json_schema(schema)
        return
    finished = 0
    for seed, free in enumerate(FREE * 5):
        text = model.answer(compiler.json_schema(schema), seed, free)
        if text is not None:
            finished += 1
            found = errors(schema, json.loads(text))
            assert not found, (text, found)
    assert finished >= 12


def test_any_object(compiler: ConstraintCompiler, model: RandomModel) -> None:
    texts = [model.answer(compiler.json_object(), seed, 30) for seed in range(30)]
    assert all(isinstance(json.loads(text), dict) for text in texts if text is not None)
    assert len({text for text in texts if text is not None}) > 15


def test_calls(compiler: ConstraintCompiler, model: RandomModel) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}, "days": {"type": "integer"}},
        "required": ["city"],
        "$defs": {"City": {"type": "string", "maxLength": 9}},
        "additionalProperties": False,
    }
    named = {"name": "weather", "parameters": parameters}
    tools = [{"type": "function", "function": one} for one in (named, {"name": "now"})]
    seen, lengths = set(), set()
    for seed in range(60):
        text = model.answer(compiler.json_schema_of_calls(tools), seed, 60)
        for call in json.loads(text or "[]"):
            assert call.keys() == {"name", "arguments"}
            seen.add(call["name"])
            schema = parameters if call["name"] == "weather" else {"maxProperties": 0}
            assert not errors(schema, call["arguments"])
        lengths.add(len(json.loads(text or "[]")))
    assert seen == {"weather", "now"}
    assert max(lengths) > 1
    for seed in range(20):
        one = compiler.json_schema_of_calls(tools, "now", parallel=False)
        text = model.answer(one, seed, 20)
        assert text is None or json.loads(text) == [{"name": "now", "arguments": {}}]
    with pytest.raises(RequestError, match="there is no tool 'later'") as caught:
        compiler.json_schema_of_calls(tools, "later")
    assert caught.value.field == "tool_choice"
    parameters["not"] = {}
    with pytest.raises(RequestError, match="'not' at #") as caught:
        compiler.json_schema_of_calls(tools)
    assert caught.value.field == "tools[0].function.parameters"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=6))
def test_choices_are_those_and_no_others(
    compiler: ConstraintCompiler, tokenizer: Tokenizer, choices: list[str]
) -> None:
    for text in choices:
        assert obeys(compiler.choice(choices), tokenizer, text)
        assert obeys(compiler.choice(choices), tokenizer, text + "x") == (text + "x" in choices)


def test_regular_expressions_and_grammars(
    compiler: ConstraintCompiler, tokenizer: Tokenizer, model: RandomModel
) -> None:
    pattern = r"[a-z]{2,4}(-\d+)?"
    for seed in range(20):
        text = model.answer(compiler.regex(pattern), seed, 5)
        assert text is None or re.fullmatch(pattern, text)
    grammar = 'start: sum\nsum: N | sum "+" N\nN: /[1-9][0-9]?/'
    assert obeys(compiler.grammar(grammar), tokenizer, "1+23+4")
    assert not obeys(compiler.grammar(grammar), tokenizer, "1+23+")
    assert not obeys(compiler.grammar(grammar), tokenizer, "1+234")


# ---- what would be wrong, and is not let through -----------------------------------------------

TEMPTING: list[tuple[dict[str, Any], str, str]] = [
    # An invalid answer, and a valid one that is let through.
    ({"type": "number", "exclusiveMaximum": 1}, "0.99999999999999999999", "0.9999"),
    ({"type": "number", "exclusiveMinimum": -2}, "-1.99999999999999999999", "-1.5"),
    ({"type": "string", "pattern": "^\\W$"}, '"é"', '"-"'),
    ({"type": "string", "pattern": "^[^\\d]$"}, '"٣"', '"a"'),
    ({"type": "string", "pattern": "^\\S$"}, '"\\u001c"', '"a"'),
    ({"type": "string", "pattern": "^[[x]$"}, '"a"', '"["'),
    ({"patternProperties": {"^\\w$": {"type": "null"}}}, '{"é":1}', '{"é":null}'),
    ({"patternProperties": {"^a$": {"type": "null"}}}, '{"a\\n":1}', '{"a":null}'),
    ({"properties": {"\n": {"type": "null"}}}, '{"\\u000a":1}', '{"\\n":null}'),
    ({"properties": {"\x01": {"type": "null"}}}, '{"\\u0001":1}', '{"\\u0001":null}'),
    ({"minProperties": 1, "type": "object"}, "{}", '{"a":1}'),
    ({"type": "string", "format": "date"}, '"0000-01-01"', '"2024-02-29"'),
    ({"type": "string", "format": "regex"}, '"["', '"[a-z]+(b|c)*$"'),
    ({"x-guidance": {"lenient": True}, "maxItems": 1}, "[1,2]", "[1]"),
    ({"unevaluatedProperties": False, "properties": {"a": {}}}, '{"b":1}', '{"a":1}'),
    ({"dependentRequired": {"a": ["b"]}, "properties": {"a": {}, "b": {}}}, '{"a":1}',
     '{"a":1,"b":2}'),
    ({"multipleOf": 3}, "1e30", "12"),
    ({"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b"]}}, '["a","a"]',
     '["a","b"]'),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "wrong", "right"), TEMPTING)
def test_tempting_answers_are_not_let_through(
    compiler: ConstraintCompiler, tokenizer: Tokenizer, schema: Any, wrong: str, right: str
) -> None:
    assert errors(schema, json.loads(wrong))
    assert not obeys(compiler.json_schema(schema), tokenizer, wrong)
    assert not errors(schema, json.loads(right))
    assert obeys(compiler.json_schema(schema), tokenizer, right)


def test_whitespace_is_free_but_bounded(compiler: ConstraintCompiler, tokenizer: Tokenizer) -> None:
    schema = {"type": "object", "properties": {"a": {"items": {}}}}
    for indent in (None, 0, 2, 4):
        text = json.dumps({"a": [1, {"b": None}]}, indent=indent)
        assert obeys(compiler.json_schema(schema), tokenizer, text)
    for text in ('{"a":  1}', '{\n\n"a":1}', '{"a":1} ', ' {"a":1}', '{"a":\n' + " " * 21 + "1}"):
        assert not obeys(compiler.json_schema(schema), tokenizer, text)


SCHEMA_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"properties": {"a/b": {"not": {}}}}, r"'not' at #/properties/a~1b: it is not supported"),
    ({"$defs": {"x": {"contains": {}}}, "$ref": "#/$defs/x"}, r"'contains' at #/\$defs/x"),
    ({"if": {}, "then": {}}, "'if' at #"),
    ({"items": {"$ref": "https://example.com/s.json"}}, r"'\$ref' at #/items: .* within"),
    ({"$ref": "file:///etc/passwd"}, r"'\$ref' at #"),
    ({"$ref": "#/$defs/none"}, "there is nothing at '#/\\$defs/none'"),
    ({"$ref": "#"}, "no text obeys it"),
    ({"$schema": "https://example.com/own"}, r"'\$schema' at #"),
    ({"type": "text"}, "'type' at #: one or several of null"),
    ({"type": ["string", 1]}, "'type' at #"),
    ({"enum": []}, "'enum' at #: a list of at least one"),
    ({"enum": [2**60]}, "'enum' at #: numbers reach to"),
    ({"minimum": "1"}, "'minimum' at #: a number is expected"),
    ({"maximum": 1e300}, "'maximum' at #: bounds reach"),
    ({"maximum": 0.1234567890123456}, "'maximum' at #: bounds reach"),
    ({"multipleOf": 0.01}, "'multipleOf' at #: a whole number up to"),
    ({"multipleOf": 0}, "'multipleOf' at #: a number above 0"),
    ({"minLength": -1}, "'minLength' at #: a whole number"),
    ({"pattern": "(?=a)b"}, "'pattern' at #: look-around"),
    ({"pattern": "(a"}, "regex parse error"),
    ({"pattern": 1}, "'pattern' at #: a text"),
    ({"format": 1}, "'format' at #: a name"),
    ({"items": [{}]}, "'items' at #: a schema is expected; lists are prefixItems"),
    ({"items": 1}, "'items' at #: a schema is an object"),
    ({"allOf": []}, "'allOf' at #: a list of at least one schema"),
    ({"anyOf": {}}, "'anyOf' at #: a list of at least one schema"),
    ({"properties": []}, "'properties' at #: an object of schemas"),
    ({"required": "a"}, "'required' at #: a list of names"),
    ({"uniqueItems": True}, "'uniqueItems' at #: it is only supported where"),
    ({"minProperties": 2}, "'minProperties' at #: more than 1"),
    ({"propertyNames": {"minLength": 2}}, "'propertyNames' at #: only an enum"),
    ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf constraints are not supported"),
    ({"allOf": [{"type": "string"}, {"type": "null"}]}, "Unsatisfiable"),
    ({"unevaluatedItems": False, "anyOf": [{}]}, "'unevaluatedItems' at #: .* beside 'anyOf'"),
    ({"properties": {"a": {"$id": "b"}}}, r"'\$id' at #/properties/a"),
    ({"const": float("nan")}, "no JSON"),
    ({"const": "\ud800"}, "no JSON"),
    ({"description": "x" * json_schemas.MAX_BYTES}, "bytes, where 65536 are the most"),
    ({"$ref": "#/$defs/0", "$defs": {str(i): {"$ref": f"#/$defs/{i + 1}"} for i in range(1500)}},
     "references lead too far"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "reason"), SCHEMA_REFUSALS)
def test_refused_schemas_say_what_and_where(
    compiler: ConstraintCompiler, schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        compiler.json_schema(schema, "response_format.json_schema.schema")
    assert caught.value.field == "response_format.json_schema.schema"
    assert caught.value.remedy
    assert len(str(caught.value)) < 600


def test_deep_schemas_are_refused(compiler: ConstraintCompiler) -> None:
    schema: dict[str, Any] = {}
    for _ in range(json_schemas.MAX_DEPTH - 1):
        schema = {"items": schema}
    assert compiler.json_schema(schema).allowed().any()
    with pytest.raises(RequestError, match="more than 96 levels"):
        compiler.json_schema({"items": schema})


def test_refused_patterns_grammars_and_choices(compiler: ConstraintCompiler) -> None:
    for make, source, reason in [
        (compiler.regex, "(a", "the pattern cannot be kept to: .*unclosed group"),
        (compiler.regex, "(?=a)", "look-around"),
        (compiler.regex, "x" * 8193, "8193 characters, where 8192"),
        (compiler.grammar, "start: 'a'", "the grammar cannot be kept to"),
        (compiler.grammar, "start: start", "no text obeys it"),
        (compiler.grammar, "start: " + "(" * 9000 + '"a"' + ")" * 9000, "too deeply nested"),
        (compiler.grammar, "#" * 32769, "32769 characters, where 32768"),
        (compiler.choice, [], "nothing to choose from"),
        (compiler.choice, ["a"] * 1025, "1025 texts, where 1024"),
        (compiler.choice, ["a" * 65537], "65537 bytes, where 65536"),
        (compiler.choice, ["\ud800"], "the choices cannot be kept to"),
    ]:
        with pytest.raises(RequestError, match=reason) as caught:
            make(source, "structured_outputs")  # type: ignore[operator]
        assert caught.value.field == "structured_outputs"
        assert len(str(caught.value)) < 600


COSTLY: list[dict[str, Any]] = [
    {"allOf": [{"anyOf": [{"properties": {f"p{i}_{j}": {"type": "string"}}} for j in range(8)]}
               for i in range(8)]},
    {"$ref": "#/$defs/d0", "$defs": {
        **{f"d{i}": {"oneOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
           for i in range(40)}, "d40": {}}},
    {"type": "string", "pattern": "^(a|b)*a(a|b){2000}$", "minLength": 3000},
    {"type": "string", "pattern": "((((a{1,99}){1,99}){1,99}){1,99}){1,99}", "maxLength": 99999},
    {"properties": {f"p{i}": {"type": "number", "multipleOf": 9973} for i in range(20)}},
    {"type": "array", "minItems": 10**9, "items": {"maxItems": 10**9, "items": {}}},
    {"anyOf": [{"properties": {"a": {}, f"b{i}": {}}, "additionalProperties": False}
               for i in range(1000)]},
]  # fmt: skip


@pytest.mark.parametrize("schema", COSTLY)
def test_costly_schemas_are_refused_or_cheap(
    compiler: ConstraintCompiler, schema: dict[str, Any]
) -> None:
    # No clock: work is counted. What is let through has a first token, and soon a second.
    try:
        constraint = compiler.json_schema(schema)
    except RequestError:
        return
    constraint.accept(int(token_ids(constraint.allowed())[0]))
    constraint.allowed()


# ---- constraints themselves ---------------------------------------------------------------------


def test_bytes_are_the_tokenizers(compiler: ConstraintCompiler, tokenizer: Tokenizer) -> None:
    """Each token alone: allowed where its bytes are, and nowhere else."""
    for pattern in ("[a-z]", "é", "[^a]"):
        allowed = set(token_ids(compiler.regex(pattern).allowed()))
        for token in range(VOCABULARY):
            text = tokenizer.token_bytes(token)
            if token in tokenizer.special_ids:
                assert token not in allowed
            elif text.isascii() or text == b"\xc3\xa9":
                fits = re.fullmatch(pattern, text.decode(), re.DOTALL)
                assert (token in allowed) == bool(fits), text


@pytest.mark.parametrize("name", ["models/stories260K", "models/babyllama", "tokenizers/qwen2"])
def test_tokenizers_of_every_kind(shared_data: Path, name: str) -> None:
    tokenizer = open_tokenizer(shared_data / name)
    vocabulary = tokenizer.vocab_size + 7
    end = tokenizer.eos_token_id
    assert end is not None
    compiler = ConstraintCompiler(tokenizer, vocabulary, {end})
    own = RandomModel(tokenizer, vocabulary, {end})
    pattern = "[a-z]{2,9} [a-z. ]{2,9}"  # one of them has no token for a brace
    texts = [own.answer(compiler.regex(pattern), seed, 5) for seed in range(20)]
    finished = [text for text in texts if text is not None]
    assert len(finished) > 10
    assert all(re.fullmatch(pattern, text) for text in finished), finished


def test_answers_do_not_share_their_state(compiler: ConstraintCompiler) -> None:
    one, other = compiler.regex("a|b"), compiler.regex("a|b")
    first = token_ids(one.allowed())
    one.accept(int(first[0]))
    assert one.complete
    assert not other.complete
    assert (token_ids(other.allowed()) == first).all()
    assert one.allowed().dtype == np.uint32
    assert len(one.allowed()) == VOCABULARY // 32


def test_a_token_that_is_not_allowed_is_refused(compiler: ConstraintCompiler) -> None:
    constraint = compiler.regex("a")
    for _ in range(2):
        with pytest.raises(RequestError, match="the pattern cannot be followed further"):
            constraint.accept(5)
    with pytest.raises(RequestError, match="the pattern cannot be followed further"):
        constraint.allowed()
    assert not constraint.complete


def test_a_grammar_that_becomes_too_costly_says_so(
    compiler: ConstraintCompiler, model: RandomModel
) -> None:
    # Whether c may come depends on the letter 19 before it: twice as many states for each one.
    grammar = r"start: A" "\n" r"A: /[a-z]{600}/ & ~/(?s:.*)(a|b)[a-z]{18}c(?s:.*)/"

    def answer_many() -> None:
        for seed in range(50):
            model.answer(compiler.grammar(grammar), seed, 600)

    with pytest.raises(RequestError, match=r"the grammar cannot be followed further: \w+"):
        answer_many()


def test_few_grammars_are_kept(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraints, "CACHED", 3)
    compiler = ConstraintCompiler(tokenizer, VOCABULARY, ENDS)
    for i in range(9):
        compiler.regex("x" * (i + 1))
        compiler.regex("x")
    assert len(compiler._compiled) == 3
    assert any('"rx":"x"' in grammar or "/x/" in grammar for grammar in compiler._compiled)
