"""The Jinja environment that chat templates run in: transformers' dialect, with bounds.

A template comes with a checkpoint, so it is a stranger's program. Jinja's immutable sandbox keeps
it from the machine; the meter here keeps it from running or growing without end: every turn of a
loop, every call and every text it makes is counted while it renders.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

TEXT_LIMIT_CHARS = 16 * 1024 * 1024
STEP_LIMIT = 2_000_000
TIME_LIMIT_S = 5.0


class OverBudget(Exception):
    """A template wanted more steps, time or text than it may have."""


@dataclass
class Meter:
    """What one rendering has used; `now` is the time that `strftime_now` tells."""

    now: datetime
    steps: int = 0
    deadline_s: float = field(default_factory=lambda: time.monotonic() + TIME_LIMIT_S)

    def step(self) -> None:
        self.steps += 1
        if self.steps > STEP_LIMIT:
            raise OverBudget(f"more than {STEP_LIMIT:,} steps")
        if self.steps % 256 == 0 and time.monotonic() > self.deadline_s:
            raise OverBudget(f"more than {TIME_LIMIT_S:g} seconds")


_METER: ContextVar[Meter] = ContextVar("meter")


@contextlib.contextmanager
def metered(now: datetime) -> Iterator[None]:
    """Everything rendered inside is counted against one fresh meter."""
    token = _METER.set(Meter(now))
    try:
        yield
    finally:
        _METER.reset(token)


def check_length(chars: int) -> None:
    """Raises OverBudget if a text of that many characters is too long."""
    if chars > TEXT_LIMIT_CHARS:
        raise OverBudget(f"a text of more than {TEXT_LIMIT_CHARS:,} characters")


class _MeteredIterable:
    """What a `for` walks: the same items and length, each turn counted."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        meter = _METER.get()
        for item in iter(self._items):
            meter.step()
            yield item

    def __len__(self) -> int:
        return len(self._items)  # a TypeError, as without us, where there is no length


@pass_context  # keeps the optimizer from running it at compile time
def _counted(_context: Context, items: Any) -> _MeteredIterable:
    iter(items)  # what cannot be walked fails here, on the line of the `for`
    return _MeteredIterable(items)


@pass_context
def _joined(_context: Context, parts: list[Any]) -> str:
    texts = [part if isinstance(part, str) else str(part) for part in parts]
    check_length(sum(map(len, texts)))
    return str_join(texts)


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks assistant text; it renders as is."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Macro) -> str:
        return str(caller())


class _Namespace(Namespace):
    """No name that starts with an underscore, so that nothing of Python's can be shadowed."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


class _Dict:
    """`dict` without its type's attributes."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template may not store {name!r} on a namespace")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    _check_widths((indent,))
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return _METER.get().now.strftime(format)


def _check_widths(arguments: Any) -> None:
    for argument in arguments:
        if isinstance(argument, int):
            check_length(abs(argument))


def _check_format(text: str) -> None:
    # A width such as {:>1000000000} makes a text of that length out of nothing.
    if re.search(r"[0-9]{7,}|%[^a-zA-Z%]*\*|\{[^{}]*:[^{}]*\{", text):
        raise OverBudget("a format with a width that is too large or computed")


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """transformers' settings and names (utils/chat_template_utils.py, 5.23), metered."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        self.filters |= {"tojson": _tojson, "_counted": _counted, "_joined": _joined}
        for name in ("center", "indent", "batch", "slice", "format"):
            self.filters[name] = _bounded(self.filters[name])
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "dict": _Dict(),
            "namespace": _Namespace,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """As Jinja parses, with loops and `~` sent through the meter."""
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = _filtered(loop.iter, "_counted")
        _replace_concats(tree)
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        _METER.get().step()
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str):
            _check_text_call(owner, getattr(__obj, "__name__", ""), args)
        value = super().call(__context, __obj, *args, **kwargs)
        if isinstance(value, str):
            check_length(len(value))
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for many, count in ((left, right), (right, left)):
                if isinstance(many, (str, list, tuple)) and isinstance(count, int):
                    check_length(len(many) * count)
        elif operator == "+" and hasattr(left, "__len__") and hasattr(right, "__len__"):
            check_length(len(left) + len(right))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            check_length(left.bit_length() * abs(right))
        elif operator == "%" and isinstance(left, str):
            _check_format(left)
        if operator in "**" and isinstance(left, int) and isinstance(right, int):
            check_length(left.bit_length() + right.bit_length())
        return super().call_binop(context, operator, left, right)


def _check_text_call(text: str, method: str, args: tuple[Any, ...]) -> None:
    if method in ("ljust", "rjust", "center", "zfill", "expandtabs"):
        _check_widths(args)
    elif method in ("format", "format_map"):
        _check_format(text)
    elif method == "replace" and len(args) >= 2 and all(isinstance(a, str) for a in args[:2]):
        check_length(text.count(args[0]) * len(args[1]))
    elif method == "join" and args and hasattr(args[0], "__len__"):
        check_length(len(text) * len(args[0]))


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        _check_widths((*args, *kwargs.values()))
        if function.__name__ == "do_format":
            _check_format(str(args[0]))
        return function(*args, **kwargs)

    return checked


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    filtered = nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None)
    filtered.set_lineno(node.lineno)
    return filtered.set_environment(node.environment)  # type: ignore[return-value,arg-type]


def _replace_concats(node: nodes.Node) -> None:
    for key, value in list(node.iter_fields()):
        if isinstance(value, list):
            setattr(node, key, [_without_concat(item) for item in value])
        else:
            setattr(node, key, _without_concat(value))


def _without_concat(value: Any) -> Any:
    if not isinstance(value, nodes.Node):
        return value
    _replace_concats(value)
    if isinstance(value, nodes.Concat):
        parts = nodes.List(value.nodes)
        parts.set_lineno(value.lineno).set_environment(value.environment)  # type: ignore[arg-type]
        return _filtered(parts, "_joined")
    return value
