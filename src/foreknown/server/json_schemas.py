"""JSON schemas as the grammar's engine can keep them: what it would get wrong is refused here.

An answer must be valid against its schema, as the `jsonschema` package checks it. So a schema is
not passed on as it came but written anew, keyword by keyword, with only what is reachable from its
root. On the way

    $ref                       is followed within the document; what lies outside is refused
    dependentRequired/Schemas  become a choice: the property is not there, or what it needs is
    unevaluated…               become additionalProperties, items, where nothing else evaluates
    propertyNames              becomes patternProperties or properties
    uniqueItems                becomes a list of arrays, in the enum's order, where they are few
    unknown keywords, formats  are remarks, as the standard has it
    other keywords             see `value_keywords`, `patterns`

and what cannot be kept is refused with the keyword and where it stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any
from urllib.parse import unquote

from foreknown.errors import RequestError
from foreknown.server.patterns import PatternError, rewritten
from foreknown.server.text_formats import PATTERNS
from foreknown.server.value_keywords import TYPES, VALUE_KEYWORDS, KeywordError, Written, children

MAX_BYTES = 64 << 10
"""Bytes of a schema as JSON; of all tools' together, too."""

MAX_DEPTH = 96
"""Objects and arrays of a schema within each other."""

MAX_PARTS = 5000
"""Schemas within a schema, counted each time that one is written out."""

MAX_CALLS = 16
"""Calls of one answer that is forced to call: a weak model would go on for ever."""

MAX_UNIQUE = 6
"""Different values of an array with uniqueItems."""

_SHOWN = 200  # characters of a place
_DIALECTS = {
    f"{scheme}://json-schema.org/{name}{end}"
    for scheme in ("http", "https")
    for name in ("draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema",
                 "draft-06/schema", "draft-04/schema", "schema")
    for end in ("", "#")
}  # fmt: skip
_NEWEST = ("draft/2020-12/schema", "json-schema.org/schema")
_UNSUPPORTED = ("not", "contains", "extends", "disallow", "divisibleBy")
_EVALUATING = {"allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "$recursiveRef",
               "dependentSchemas", "dependencies", "if"}  # fmt: skip
_REMARKS = {"title", "description", "default", "examples", "deprecated", "$comment"}
_DEFINITIONS = "#/$defs/"

Schema = dict[str, Any] | bool


def rewrite(schema: Mapping[str, Any], field: str = "") -> dict[str, Any]:
    """A schema that means the same, or less, and that grammars can be made from.

    Args:
        field: what errors name as the field at fault.

    Raises:
        RequestError: it is too large, wrong, or asks for what cannot be kept.
    """
    definitions: dict[str, Schema] = {}
    written = _Writer(schema, field, definitions).root()
    return {**written, "$defs": definitions}


def rewrite_calls(
    tools: Sequence[Mapping[str, Any]], name: str | None, *, parallel: bool
) -> dict[str, Any]:
    """The schema of an array of calls: objects of a tool's name and its arguments.

    Args:
        tools: in OpenAI's form.
        name: the one to be called; None: any.
        parallel: whether there may be several calls.

    Raises:
        RequestError: as `rewrite`; or there is no such tool.
    """
    _check_size([tool["function"] for tool in tools], "the tools", "tools")
    definitions: dict[str, Schema] = {}
    calls = []
    for place, tool in enumerate(tools):
        function = tool["function"]
        if name is not None and function["name"] != name:
            continue
        parameters = function.get("parameters")
        field = f"tools[{place}].function.parameters"
        if parameters is None:
            parameters = {"additionalProperties": False}
        if parameters.get("type", "object") != "object":
            raise RequestError(
                "a function's parameters are an object",
                field=field,
                remedy='give a schema of "type": "object"',
            )
        writer = _Writer({**parameters, "type": "object"}, field, definitions)
        calls.append({
            "type": "object",
            "properties": {"name": {"const": function["name"]}, "arguments": writer.root()},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        })  # fmt: skip
    if not calls:
        raise RequestError(
            "there are no tools" if name is None else f"there is no tool {name!r}",
            field="tool_choice",
            remedy="name one of tools",
        )
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_CALLS if parallel else 1,
        "items": {"anyOf": calls},
        "$defs": definitions,
    }


class _Writer:
    """Writes one document anew.

    Args:
        definitions: where schemas that are referred to are written; other documents' may be there.
    """

    def __init__(
        self, document: Mapping[str, Any], field: str, definitions: dict[str, Schema]
    ) -> None:
        _check_size(document, "the schema", field)
        self._document, self._field, self._definitions = document, field, definitions
        self._names: dict[str, str] = {}  # pointer -> name in definitions
        self._unfinished: set[str] = set()  # names
        self._parts = 0
        self._older = False

    def root(self) -> dict[str, Any]:
        dialect = self._document.get("$schema")
        if dialect is not None:
            if not isinstance(dialect, str) or dialect not in _DIALECTS:
                raise self._refused("#", "$schema", "this dialect is not known")
            self._older = not dialect.rstrip("#").endswith(_NEWEST)
        try:
            written = self._schema(self._document, "#")
        except RecursionError:
            raise self._refused("#", "$ref", "references lead too far") from None
        assert isinstance(written, dict)
        return written

    def _refused(self, place: str, keyword: str, why: str) -> RequestError:
        shown = place if len(place) <= _SHOWN else f"{place[:_SHOWN]}…"
        return RequestError(
            f"the schema's keyword {keyword!r} at {shown}: {why}",
            field=self._field,
            remedy="leave it out, or say it with keywords that can be kept",
        )

    # ---- a schema and what it refers to --------------------------------------------------------

    def _schema(self, schema: Any, place: str) -> Schema:
        self._count(1)
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            outer, _, last = place.rpartition("/")
            raise self._refused(outer or "#", last, "a schema is an object, true or false")
        self._refuse_unsupported(schema, place)
        written: Written = {}
        for keyword, value in schema.items():
            if keyword in VALUE_KEYWORDS:
                try:
                    _join(written, VALUE_KEYWORDS[keyword](schema, keyword, value))
                except KeywordError as error:
                    raise self._refused(place, keyword, str(error)) from None
            elif keyword in _SCHEMA_KEYWORDS:
                _join(written, _SCHEMA_KEYWORDS[keyword](self, schema, keyword, value, place))
        return written

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise RequestError(
                f"the schema consists of more than {MAX_PARTS} schemas",
                field=self._field,
                remedy="send a smaller schema",
            )

    def _refuse_unsupported(self, schema: Schema, place: str) -> None:
        assert isinstance(schema, dict)
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise self._refused(place, keyword, "it is not supported")
        if "if" in schema and ("then" in schema or "else" in schema):
            raise self._refused(place, "if", "it is not supported")
        if place != "#" and ("$id" in schema or (self._older and "id" in schema)):
            raise self._refused(place, "$id", "it is only supported at the root")

    def _inner(self, value: Any, place: str, *steps: str | int) -> Schema:
        escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
        return self._schema(value, "/".join((place, *escaped)))

    def _ref(self, _: Any, keyword: str, value: Any, place: str) -> Written:
        if not isinstance(value, str) or not (value == "#" or value.startswith("#/")):
            why = "references reach within the schema only: '#/…'"
            raise self._refused(place, keyword, why)
        if value not in self._names:
            target = self._target(value)
            if target is None:
                raise self._refused(place, keyword, f"there is nothing at {value[:_SHOWN]!r}")
            name = self._names[value] = str(len(self._definitions))
            self._definitions[name] = False  # takes the name's place
            self._unfinished.add(name)
            self._definitions[name] = self._schema(target, value)
            self._unfinished.remove(name)
        return {"$ref": _DEFINITIONS + self._names[value]}

    def _root_ref(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        """$dynamicRef and $recursiveRef: in a single document, its root."""
        anchor = self._document.get("$dynamicAnchor")
        if value != "#" and (anchor is None or value != f"#{anchor}"):
            raise self._refused(place, keyword, "only references to the root are supported")
        return {"allOf": [self._ref(schema, keyword, "#", place)]}

    def _target(self, reference: Any) -> Any:
        """What a reference within the document points to; None if nothing is there."""
        target: Any = self._document
        for step in str(reference).split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict):
                target = target.get(step)
            elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
                target = target[int(step)]
            else:
                return None
        return target

    # ---- schemas of which all, some or one hold ------------------------------------------------

    def _several(self, _: Any, keyword: str, value: Any, place: str) -> Written:
        if not isinstance(value, list) or not value:
            raise self._refused(place, keyword, "a list of at least one schema is expected")
        if keyword == "prefixItems" and self._older:  # which knew it not
            return {}
        parts = [self._inner(part, place, keyword, i) for i, part in enumerate(value)]
        if keyword == "oneOf":  # that only one holds can only be seen of what stands there
            parts = [self._followed(part) for part in parts]
        return {keyword: parts}

    def _followed(self, schema: Schema) -> Schema:
        """What a reference that is all of a schema stands for."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(schema, dict) and list(schema) == ["$ref"]):
                break
            name = schema["$ref"].removeprefix(_DEFINITIONS)
            if name in self._unfinished:
                break
            schema = self._definitions[name]
            self._count(sum(len(level) for level in _levels(schema)))
        return schema

    def _dependent(self, _: Any, keyword: str, value: Any, place: str) -> Written:
        if not isinstance(value, dict):
            raise self._refused(place, keyword, "an object is expected")
        choices = []
        for name, needed in value.items():
            there: Written = {"required": [name]}
            if isinstance(needed, list) and keyword != "dependentSchemas":
                if not all(isinstance(other, str) for other in needed):
                    raise self._refused(place, keyword, "a list of names is expected")
                there = {"required": list(dict.fromkeys([name, *needed]))}
            elif keyword == "dependentRequired":
                raise self._refused(place, keyword, "lists of names are expected")
            else:
                there["allOf"] = [self._inner(needed, place, keyword, name)]
            choices.append({"anyOf": [{"properties": {name: False}}, there]})
        return {"allOf": choices}

    # ---- arrays --------------------------------------------------------------------------------

    def _items(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        if not isinstance(value, list):
            return {keyword: self._inner(value, place, keyword)}
        if not self._older:
            raise self._refused(place, keyword, "a schema is expected; lists are prefixItems")
        first = [self._inner(part, place, keyword, i) for i, part in enumerate(value)]
        written: Written = {"prefixItems": first} if first else {}
        if "additionalItems" in schema:
            written[keyword] = self._inner(schema["additionalItems"], place, "additionalItems")
        return written

    def _unique(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        if value is not True or schema.get("maxItems", 2) in (0, 1):
            return {}
        values = self._listed(schema.get("items"))
        if values is None or len(values) > MAX_UNIQUE or "prefixItems" in schema:
            why = f"it is only supported where items is an enum of up to {MAX_UNIQUE} texts"
            raise self._refused(place, keyword, why)
        arrays = [
            {"type": "array", "minItems": n, "items": False,
             "prefixItems": [{"const": part} for part in chosen]}
            for n in range(len(values) + 1)
            for chosen in combinations(values, n)
        ]  # fmt: skip
        others = [kind for kind in TYPES if kind != "array"]
        return {"allOf": [{"anyOf": [*arrays, {"type": others}]}]}

    def _listed(self, schema: Any) -> list[str] | None:
        """The different texts that a schema lists; None if it does not."""
        schema = self._source(schema)
        if not isinstance(schema, dict) or schema.keys() - _REMARKS - {"type", "enum"}:
            return None
        values = schema.get("enum")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            return None
        return list(dict.fromkeys(values))

    def _source(self, schema: Any) -> Any:
        """What the document has in place of a reference that is all of a schema."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(schema, dict) and schema.keys() - _REMARKS == {"$ref"}):
                break
            schema = self._target(schema["$ref"])
        return schema

    # ---- objects -------------------------------------------------------------------------------

    def _properties(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        if not isinstance(value, dict):
            raise self._refused(place, keyword, "an object of schemas is expected")
        inner = {name: self._inner(part, place, keyword, name) for name, part in value.items()}
        if keyword == "properties":
            return {keyword: inner}
        # Names outside all patterns are free only if something is allowed there.
        closed = schema.get("additionalProperties") is False
        try:
            patterns = [rewritten(name, exactly=not closed) for name in inner]
        except PatternError as error:
            raise self._refused(place, keyword, str(error)) from None
        if len(set(patterns)) < len(patterns):
            raise self._refused(place, keyword, "two patterns are the same")
        return {keyword: dict(zip(patterns, inner.values(), strict=True))}

    def _names_of(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        """propertyNames."""
        if value in (True, {}, {"type": "string"}):
            return {}
        if {"properties", "patternProperties"} & schema.keys():
            raise self._refused(place, keyword, "it is not supported beside properties")
        rest = self._inner(schema.get("additionalProperties", True), place, "additionalProperties")
        listed = self._listed(value)
        if listed is not None:
            return {"properties": dict.fromkeys(listed, rest), "additionalProperties": False}
        pattern = self._pattern_of_names(self._source(value))
        if pattern is None:
            why = "only an enum, a simple pattern and some formats are supported"
            raise self._refused(place, keyword, why)
        return {"patternProperties": {pattern: rest}, "additionalProperties": False}

    def _pattern_of_names(self, schema: Any) -> str | None:
        """A pattern of names that obey a schema; None if there is none."""
        rules = {}
        if isinstance(schema, dict) and schema.get("type", "string") == "string":
            rules = {key: rule for key, rule in schema.items() if key not in (*_REMARKS, "type")}
        if rules.keys() == {"pattern"}:
            try:
                return rewritten(str(rules["pattern"]))
            except PatternError:
                return None
        if rules.keys() == {"format"}:
            name = str(rules["format"])
            return PATTERNS.get("iri" if name == "uri" else name)
        return None

    def _rest(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        """additionalProperties."""
        if "propertyNames" in schema and self._names_of(
            schema, "propertyNames", schema["propertyNames"], place
        ):
            return {}  # written there
        return {keyword: self._inner(value, place, keyword)}

    def _unevaluated(self, schema: Any, keyword: str, value: Any, place: str) -> Written:
        evaluating = sorted(_EVALUATING & schema.keys())
        if evaluating and value is not True:
            raise self._refused(place, keyword, f"it is not supported beside {evaluating[0]!r}")
        rest = "additionalProperties" if keyword == "unevaluatedProperties" else "items"
        if rest in schema or value is True:
            return {}
        return {rest: self._inner(value, place, keyword)}


def _check_size(document: Any, what: str, field: str) -> None:
    if sum(1 for _ in _levels(document)) > MAX_DEPTH:
        raise RequestError(
            f"{what}: more than {MAX_DEPTH} levels", field=field, remedy="send a flatter one"
        )
    try:
        size = len(json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, TypeError) as error:  # NaN; a lone surrogate is a ValueError too
        raise RequestError(
            f"{what}: no JSON: {error}", field=field, remedy="send finite numbers and Unicode"
        ) from None
    if size > MAX_BYTES:
        raise RequestError(
            f"{what}: {size} bytes, where {MAX_BYTES} are the most",
            field=field,
            remedy="send a smaller one",
        )


def _levels(document: Any) -> Iterable[Sequence[Any]]:
    """Objects and arrays within each other, level by level."""
    level: Sequence[Any] = [document]
    while level := [part for part in level if isinstance(part, (dict, list))]:
        yield level
        level = [child for part in level for child in children(part)]


def _join(written: Written, more: Written) -> None:
    """Adds keywords; of allOf, the schemas."""
    together = [*written.get("allOf", ()), *more.get("allOf", ())]
    written.update(more)
    if together:
        written["allOf"] = together


_Keyword = Callable[[_Writer, Any, str, Any, str], Written]

_SCHEMA_KEYWORDS: Mapping[str, _Keyword] = {
    "$ref": _Writer._ref,
    **dict.fromkeys(("$dynamicRef", "$recursiveRef"), _Writer._root_ref),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _Writer._several),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), _Writer._dependent),
    "items": _Writer._items,
    "uniqueItems": _Writer._unique,
    **dict.fromkeys(("properties", "patternProperties"), _Writer._properties),
    "propertyNames": _Writer._names_of,
    "additionalProperties": _Writer._rest,
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), _Writer._unevaluated),
}
