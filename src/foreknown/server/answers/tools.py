"""The functions that may be called, and how a parameter's text becomes a value of its type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foreknown.server.answers.reader import Malformed
from foreknown.server.answers.values import value

_MAX_DEPTH = 8

_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


class Tools:
    """Functions by name.

    Args:
        definitions: in OpenAI's form, {"type": "function", "function": {"name", "parameters"}}, or
            only what stands in "function".
    """

    def __init__(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        functions = [definition.get("function", definition) for definition in definitions]
        self._parameters: dict[str, Any] = {
            function["name"]: function.get("parameters") for function in functions
        }

    def __bool__(self) -> bool:
        return bool(self._parameters)

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def typed(self, name: str, parameter: str, text: str, *, is_string: bool | None = None) -> Any:
        """A parameter's text as the value that its schema asks for; a string if it cannot be.

        Args:
            is_string: what the text itself says of its type.
        """
        if is_string:
            return text
        root = self._parameters.get(name)
        schema = _member(_member(root, "properties"), parameter)
        types = set() if is_string is False else set(_types(schema, root, set()))
        if types == {"string"}:
            return text
        try:
            read = value(text)
        except Malformed:
            return text
        if not types:
            return read
        kind = _TYPES[type(read)]
        fits = kind in types or (kind == "integer" and "number" in types)
        return read if fits or "string" not in types else text


def _member(schema: Any, key: str) -> Any:
    return schema.get(key) if isinstance(schema, Mapping) else None


def _types(schema: Any, root: Any, seen: set[str], depth: int = 0) -> Iterator[str]:
    """The types that a schema allows; none if it does not say."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/") and reference not in seen:
        seen.add(reference)
        target = root
        for key in reference[2:].split("/"):
            target = _member(target, key)
        yield from _types(target, root, seen, depth + 1)
    kinds = schema.get("type")
    if isinstance(kinds, str):
        yield kinds
    elif isinstance(kinds, list):
        yield from (kind for kind in kinds if isinstance(kind, str))
    if kinds is None:
        constants = schema.get("enum", [schema["const"]] if "const" in schema else [])
        if isinstance(constants, list):
            yield from (_TYPES[type(each)] for each in constants if type(each) in _TYPES)
        for word in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(word)
            for branch in branches if isinstance(branches, list) else ():
                yield from _types(branch, root, seen, depth + 1)
