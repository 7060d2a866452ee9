"""The text of a graph: printed for people and tests, and parsed back to the same nodes.

    graph tiny {
      %0 = weight {name="embed", shape=[10,8], stored="bf16"} : f32[10,8]
      %1 = tokens : i32[T]
      %2 = take %0, %1 : f32[T,8]
      %3 = const {value=0.5} : f32[]
      %4 = mul %2, %3 : f32[T,8]
      return hidden=%4
    }

Constants of up to eight elements are written out, exactly; longer ones are named by digest, and
`literals` collects their arrays. The parser also takes names (`%q`), blank lines and `#` comments,
and types may be left out; where they are given, they must be what the operation derives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.errors import GraphError
from foreknown.graph.ir import DTYPES, Graph, Literal, Node, R, Shape, Symbol, T, make

INLINE_ELEMENTS = 8
"""Constants up to this size are written out."""

_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.\-]*")


def print_graph(graph: Graph) -> str:
    """The graph as text; `parse_graph` gives back the very same nodes."""
    number = {node: i for i, node in enumerate(graph.nodes)}
    lines = [f"  {_line(node, number)}" for node in graph.nodes]
    outputs = ", ".join(f"{_name(n)}=%{number[node]}" for n, node in graph.outputs.items())
    return "\n".join([f"graph {_name(graph.name)} {{", *lines, f"  return {outputs}", "}\n"])


def print_node(graph: Graph, node: Node) -> str:
    """One line of the text of a graph."""
    return _line(node, {n: i for i, n in enumerate(graph.nodes)})


def literals(graph: Graph) -> dict[str, NDArray[Any]]:
    """The arrays that the text of a graph names by digest."""
    values = (n.attrs["value"] for n in graph.nodes if n.op == "const")
    return {v.digest: v.array for v in values if isinstance(v, Literal)}


def _line(node: Node, number: Mapping[Node, int]) -> str:
    parts = [f"%{number[node]} = {node.op}"]
    if node.args:
        parts.append(", ".join(f"%{number[a]}" for a in node.args))
    if node.attrs:
        parts.append("{" + ", ".join(f"{k}={_value(v)}" for k, v in node.attrs.items()) + "}")
    parts.append(f": {_type(node)}")
    return " ".join(parts)


def _type(node: Node) -> str:
    return f"{node.dtype}[{','.join(map(repr, node.shape))}]"


def _name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Literal):
        return _literal(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _literal(literal: Literal) -> str:
    array = literal.array
    if array.size > INLINE_ELEMENTS or not _canonical(array):
        return f"@{literal.digest}"
    return _elements(array)


def _canonical(array: NDArray[Any]) -> bool:
    """Whether every NaN is the NaN that "nan" is read as."""
    if array.dtype.kind != "f":
        return True
    bits = array[np.isnan(array)].view(np.uint32)
    return bool(np.all(bits == np.asarray(np.nan, np.float32).view(np.uint32)))


def _elements(array: NDArray[Any]) -> str:
    if array.ndim:
        return f"[{','.join(_elements(np.asarray(part)) for part in array)}]"
    shortest = str(array[()]).lower()
    if array.dtype.kind == "f" and np.float32(float(shortest)) != array and array == array:
        return repr(float(array))  # the shortest decimal rounds twice on its way through f64
    return shortest


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
    | (?P<end>\n)
    | (?P<id>%[\w.]+)
    | (?P<digest>@[0-9a-f]+)
    | (?P<number>-?(?:inf\b|nan\b|\d+(?:\.\d*)?(?:e[+-]?\d+)?))
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<name>[A-Za-z_][\w.\-]*)
    | (?P<sign>[{}\[\]=,:])""",
    re.VERBOSE,
)


def parse_graph(text: str, literals: Mapping[str, NDArray[Any]] = MappingProxyType({})) -> Graph:
    """The graph of a text.

    Args:
        literals: the arrays of constants that are written by digest.

    Raises:
        GraphError: the text is malformed or breaks a rule of an operation; `where` has the line.
    """
    return _Parser(text, literals).graph()


class _Parser:
    """One token ahead of a text; every error knows its line."""

    def __init__(self, text: str, literals: Mapping[str, NDArray[Any]]) -> None:
        self.lines = text.splitlines()
        self.literals = literals
        self.nodes: dict[str, Node] = {}
        self.tokens = self._scan(text)
        self.kind, self.word, self.line = next(self.tokens)

    def _scan(self, text: str) -> Iterator[tuple[str, str, int]]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self.line = line
                raise self.error(f"{text[at]!r} means nothing here")
            kind = str(match.lastgroup)
            if kind == "end":
                line += 1
            elif kind != "space":
                yield kind, match.group(), line
            at = match.end()
        yield "nothing", "the end of the text", line

    def error(self, what: str) -> GraphError:
        text = self.lines[self.line - 1].strip() if 0 < self.line <= len(self.lines) else ""
        return GraphError(what, where=f"line {self.line}: {text}")

    def next(self) -> str:
        word = self.word
        self.kind, self.word, self.line = next(self.tokens, ("nothing", "", self.line))
        return word

    def expect(self, word: str) -> None:
        if self.word != word or self.kind == "string":
            raise self.error(f"expected {word!r}, found {self.word!r}")
        self.next()

    def take(self, kind: str) -> str:
        if self.kind != kind:
            raise self.error(f"expected a {kind}, found {self.word!r}")
        return self.next()

    def accept(self, word: str) -> bool:
        if self.kind not in {"sign", "name"} or self.word != word:
            return False
        self.next()
        return True

    def graph(self) -> Graph:
        self.expect("graph")
        name = self.label()
        self.expect("{")
        while not self.accept("return"):
            self.statement()
        outputs: dict[str, Node] = {}
        while not outputs or self.accept(","):
            label = self.label()
            if label in outputs:
                raise self.error(f"there are two outputs named {label!r}")
            self.expect("=")
            outputs[label] = self.operand()
        self.expect("}")
        if self.kind != "nothing":
            raise self.error(f"expected nothing more, found {self.word!r}")
        return Graph(name, outputs)

    def label(self) -> str:
        return str(json.loads(self.next())) if self.kind == "string" else self.take("name")

    def operand(self) -> Node:
        found = self.nodes.get(self.word)
        if self.kind == "id" and found is None:
            raise self.error(f"{self.word} is used before it is defined")
        self.take("id")
        assert found is not None
        return found

    def statement(self) -> None:
        line = self.line
        result = self.take("id")
        if result in self.nodes:
            raise self.error(f"{result} is defined twice")
        self.expect("=")
        op = self.take("name")
        args: list[Node] = []
        if self.kind == "id" and self.line == line:
            args.append(self.operand())
            while self.accept(","):
                args.append(self.operand())
        attrs = self.attrs()
        declared = self.type() if self.accept(":") else None
        self.line, after = line, self.line
        if op == "const" and "value" in attrs:
            attrs["value"] = self.constant(attrs["value"], declared)
        try:
            node = make(op, *args, **attrs)
        except GraphError as error:
            raise GraphError(error.what, where=self.error("").where, remedy=error.remedy) from error
        if declared is not None and declared != (node.dtype, node.shape):
            raise self.error(f"{op} gives {_type(node)} here, not what is declared")
        self.nodes[result] = node
        self.line = after

    def attrs(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        if not self.accept("{"):
            return attrs
        while not attrs or self.accept(","):
            key = self.take("name")
            if key in attrs:
                raise self.error(f"{key} is given twice")
            self.expect("=")
            attrs[key] = self.value()
        self.expect("}")
        return attrs

    def value(self) -> Any:
        if self.accept("["):
            return self.values()
        if self.kind == "string":
            return json.loads(self.next())
        if self.kind == "number":
            word = self.next()
            return int(word) if re.fullmatch(r"-?\d+", word) else float(word)
        if self.kind == "digest":
            return _Digest(self.next()[1:])
        words = {"true": True, "false": False, "none": None, "T": T, "R": R}
        if self.kind == "name" and self.word in words:
            return words[self.next()]
        raise self.error(f"expected a value, found {self.word!r}")

    def values(self) -> tuple[Any, ...]:
        found: list[Any] = []
        while not self.accept("]"):
            if found:
                self.expect(",")
            found.append(self.value())
        return tuple(found)

    def type(self) -> tuple[str, Shape]:
        dtype = self.take("name")
        if dtype not in DTYPES:
            raise self.error(f"there is no dtype {dtype}")
        self.expect("[")
        dims = self.values()
        if not all(isinstance(d, Symbol) or type(d) is int for d in dims):
            raise self.error("dimensions are integers, T or R")
        return dtype, dims

    def constant(self, value: Any, declared: tuple[str, Shape] | None) -> Literal:
        if isinstance(value, _Digest):
            if value not in self.literals:
                raise self.error(f"the array of digest {value} is not at hand")
            literal = Literal(self.literals[value])
            if literal.digest != value:
                raise self.error(f"the array given for {value} has digest {literal.digest}")
            return literal
        if declared is None:
            raise self.error("a constant needs its type")
        dtype, shape = declared
        try:
            if not _all_of(value, {"f32": (int, float), "i32": (int,), "bool": (bool,)}[dtype]):
                raise ValueError("an element of another dtype")
            array = np.array(value, DTYPES[dtype])
            return Literal(array.reshape([int(str(d)) for d in shape]))
        except (ValueError, OverflowError, TypeError) as error:
            raise self.error(f"a constant does not fit its type: {error}") from error


def _all_of(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, tuple):
        return all(_all_of(v, types) for v in value)
    return type(value) in types


class _Digest(str):
    """The digest of an array, told apart from a string."""
