"""Random JSON schemas of every kind that answers are kept to, the same for the same seed."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

NAMES = ("a", "b", "name", "größe", "x-y", "id 7", "😀", "$ref", "a/b~c", 'q"\\', "0", "")
TEXTS = ("", "red", "green", "ünïcode", "日本語", "a\nb", 'with "quotes"', "tab\t", "null", "1")
PATTERNS = (
    "^[A-Z]{2,4}$", "\\d+", "^\\w+$", "^(foo|bar)-[0-9]{1,3}$", "a.c", "^\\S+$", "[^\\d\\s]",
    "^x", "y$", "^[\\w.-]+@[\\w-]+\\.[a-z]{2,}$", "^$|^ok$", "(?:ab){2}", "\\u00e9", "^\\W",
    "\\D{3}", "^[^a-z]*$", "^\\+?[1-9]\\d{1,14}$", "ä|ö|ü", "^.{1,8}$", "^\\{.*\\}$",
)  # fmt: skip
FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
           "uri", "int32")  # fmt: skip


class SchemaMaker:
    """Makes schemas; `schema` gives one with its $defs."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._definitions: dict[str, Schema] = {}

    def schema(self) -> Schema:
        self._definitions = {}
        root = self._any(self._random.randint(1, 4))
        if self._random.random() < 0.3:
            root = self._object(3)
        while missing := self._referred(root) - self._definitions.keys():
            name = min(missing)
            self._definitions[name] = {}
            self._definitions[name] = self._recursive(name)
        if self._definitions:
            root = {**root, "$defs": self._definitions}
        return root

    def _referred(self, part: Any) -> set[str]:
        parts = [part, *self._definitions.values()]
        found = set()
        while parts:
            one = parts.pop()
            if isinstance(one, dict):
                reference = one.get("$ref")
                if isinstance(reference, str):
                    found.add(reference.rpartition("/")[2])
                parts.extend(one.values())
            elif isinstance(one, list):
                parts.extend(one)
        return found

    def _recursive(self, name: str) -> Schema:
        """A definition that may contain itself, but need not."""
        myself = {"$ref": f"#/$defs/{name}"}
        return self._random.choice([
            {"type": "object", "properties": {"value": self._any(1), "next": myself},
             "required": ["value"], "additionalProperties": False},
            {"anyOf": [{"type": "array", "items": myself, "maxItems": 2}, self._scalar()]},
            {"type": "object", "properties": {"left": myself, "right": myself}},
            self._object(1),
        ])  # fmt: skip

    def _any(self, depth: int) -> Schema:
        makers: list[Callable[[int], Schema]] = [self._object, self._object, self._array,
                                                 self._combined, self._reference]  # fmt: skip
        if depth <= 0 or self._random.random() < 0.35:
            return self._scalar()
        return self._random.choice(makers)(depth - 1)

    def _reference(self, depth: int) -> Schema:
        return {"$ref": f"#/$defs/{self._random.choice('pqrs')}"}

    def _combined(self, depth: int) -> Schema:
        kind = self._random.randrange(6)
        if kind == 0:
            return {"anyOf": [self._any(depth) for _ in range(self._random.randint(1, 3))]}
        if kind == 1:
            return {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": tag}, "body": self._any(depth)},
                 "required": ["kind"], "additionalProperties": False}
                for tag in self._random.sample(string.ascii_lowercase, 3)
            ]}  # fmt: skip
        if kind == 2:
            return {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
        if kind == 3:
            return {"allOf": [
                {"type": "object", "properties": {"a": self._any(depth)}, "required": ["a"]},
                {"type": "object", "properties": {"b": self._scalar()}, "required": ["b"]},
            ]}  # fmt: skip
        if kind == 4:
            return {"type": "object", "properties": {"a": self._scalar(), "b": self._scalar()},
                    "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}  # fmt: skip
        return {"type": ["string", "null", "object"], "maxLength": 5,
                "additionalProperties": self._scalar()}  # fmt: skip

    def _object(self, depth: int) -> Schema:
        names = self._random.sample(NAMES, self._random.randint(0, 4))
        schema: Schema = {"type": "object", "title": "something"}
        if names:
            schema["properties"] = {name: self._any(depth) for name in names}
        if self._random.random() < 0.6:
            schema["required"] = [name for name in names if self._random.random() < 0.6]
        rest = self._random.randrange(5)
        if rest in (0, 1):
            schema["additionalProperties"] = False
        elif rest == 2:
            schema["additionalProperties"] = self._scalar()
        extra = self._random.randrange(8)
        if extra == 0 and not names:
            schema["propertyNames"] = {"pattern": self._random.choice(PATTERNS)}
        elif extra == 1 and not names:
            schema["propertyNames"] = {"enum": list(self._random.sample(TEXTS, 3))}
        elif extra == 2:
            schema["patternProperties"] = {self._random.choice(PATTERNS): self._scalar()}
        elif extra == 3:
            schema["minProperties"] = len(schema.get("required", ()))
        elif extra == 4 and not names:
            schema["maxProperties"] = self._random.randint(0, 3)
        return schema

    def _array(self, depth: int) -> Schema:
        schema: Schema = {"type": "array", "items": self._any(depth)}
        kind = self._random.randrange(5)
        if kind == 0:
            least = self._random.randint(0, 3)
            schema.update(minItems=least, maxItems=least + self._random.randint(0, 3))
        elif kind == 1:
            schema["prefixItems"] = [self._any(depth) for _ in range(self._random.randint(1, 3))]
            schema["items"] = self._random.choice([False, self._scalar()])
        elif kind == 2:
            values = self._random.sample(TEXTS, self._random.randint(1, 4))
            schema.update(items={"enum": values}, uniqueItems=True)
            if self._random.random() < 0.5:
                schema["minItems"] = 1
        return schema

    def _scalar(self) -> Schema:
        kind = self._random.randrange(8)
        if kind == 0:
            return {"enum": self._random.sample([*TEXTS, 1, 2.5, -3, None, True, [1], {"a": 1}], 4)}
        if kind == 1:
            return {"const": self._random.choice([*TEXTS, 0, 1.0, 1e-7, False, {"k": [1, None]}])}
        if kind == 2:
            return {"type": self._random.choice(["boolean", "null", ["integer", "null"]])}
        if kind in (3, 4):
            return self._number()
        return self._text()

    def _number(self) -> Schema:
        schema: Schema = {"type": self._random.choice(["integer", "number"])}
        low = self._random.choice([0, -5, 1, 1000, -0.5, 0.001, 3.25])
        high = low + self._random.choice([0, 1, 10, 2.5, 12345, 1e9])
        kind = self._random.randrange(4)
        if kind >= 1:
            schema[self._random.choice(["minimum", "exclusiveMinimum"])] = low
        if kind >= 2:
            schema[self._random.choice(["maximum", "exclusiveMaximum"])] = high
        if self._random.random() < 0.2:
            schema["multipleOf"] = self._random.choice([1, 2, 7, 100, 0.5, 0.25])
        return schema

    def _text(self) -> Schema:
        schema: Schema = {"type": "string"}
        kind = self._random.randrange(5)
        if kind == 0:
            schema["pattern"] = self._random.choice(PATTERNS)
        elif kind == 1:
            schema["format"] = self._random.choice(FORMATS)
        elif kind >= 3:
            least = self._random.randint(0, 5)
            schema.update(minLength=least, maxLength=least + self._random.randint(0, 9))
            if kind == 4 and self._random.random() < 0.3:
                schema["pattern"] = self._random.choice(PATTERNS)
        return schema
