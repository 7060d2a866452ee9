"""Values as models write them: JSON, and what comes near it.

JSON is kept as it was written, digit for digit. Python's literals, and objects with bare keys or
other quotes, become JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from foreknown.server.answers.pieces import Call
from foreknown.server.answers.reader import IN_STRING, MAX_DEPTH, Malformed

_SPACES = re.compile(r"\s*")
_BARE = re.compile(r"[^\s,:=(){}\[\]\"'<>]+")
_NUMBER = re.compile(r"[+-]?(\d+|\d+\.\d*|\.\d+|\d+(\.\d*)?[eE][+-]?\d+)")
_NAME = re.compile(r"[^\W\d][\w.\-]*")
_ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|(\n)|(.))", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_NAME_KEYS = ("name", "tool_name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_LONGEST_NAME = 256


def _refuse(constant: str) -> float:
    raise ValueError(constant)


_LENIENT = json.JSONDecoder(strict=False, parse_constant=_refuse)
"""Takes line ends in strings, but no NaN."""


def as_json(value: Any) -> str:
    """A value as JSON text that can be sent.

    Raises:
        Malformed: it holds a number that JSON has not.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise Malformed from None
    return text


def checked_name(name: object) -> str:
    """The name of a function, without the space it may be called in.

    Raises:
        Malformed: it is no name.
    """
    if not isinstance(name, str):
        raise Malformed
    name = name.strip().removeprefix("functions.")
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable() or " " in name:
        raise Malformed
    return name


def json_object(text: str) -> str:
    """The text of a JSON object, as it was written unless strings in it hold raw line ends.

    Raises:
        Malformed: it is none.
    """
    text = text.strip()
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = _decoded(text)
        text = as_json(value)
    if not isinstance(value, dict):
        raise Malformed
    return text


def json_calls(text: str, keyed: bool = False) -> list[Call]:
    """Calls written as a JSON object, or as an array of such.

    Args:
        keyed: an object's one key is the function's name, its value the arguments; else "name"
            and "arguments" (or one of their synonyms) are.

    Raises:
        Malformed: the text is something else.
    """
    if text.startswith("{"):
        return [_call(text, keyed)]
    calls, at = [], _spaces(text, 1)
    while not text.startswith("]", at):
        end = _value_end(text, at)
        calls.append(_call(text[at:end], keyed))
        at = _spaces(text, end)
        if text.startswith(",", at):
            at = _spaces(text, at + 1)
    return calls


def _call(text: str, keyed: bool) -> Call:
    members = _members(text)
    if keyed:
        if len(members) != 1:
            raise Malformed
        name, arguments = next(iter(members.items()))
        return Call(checked_name(name), json_object(arguments))
    names = [members[key] for key in _NAME_KEYS if key in members]
    given = [members[key] for key in _ARGUMENT_KEYS if key in members]
    if not names:
        raise Malformed
    arguments = given[0] if given else "{}"
    if arguments.startswith('"'):  # an object in a string, as the interfaces pass it
        arguments = _decoded(arguments).strip()
    if arguments in ("", "null"):
        arguments = "{}"
    return Call(checked_name(_decoded(names[0])), json_object(arguments))


def _members(text: str) -> Mapping[str, str]:
    """The members of a JSON object, values as they are written."""
    if not text.startswith("{"):
        raise Malformed
    members, at = {}, _spaces(text, 1)
    while not text.startswith("}", at):
        end = _value_end(text, at)
        key = _decoded(text[at:end])
        colon = _spaces(text, end)
        if not isinstance(key, str) or not text.startswith(":", colon):
            raise Malformed
        at = _spaces(text, colon + 1)
        end = _value_end(text, at)
        members[key] = text[at:end]
        at = _spaces(text, end)
        if text.startswith(",", at):
            at = _spaces(text, at + 1)
        elif not text.startswith("}", at):
            raise Malformed
    return members


def _decoded(text: str) -> Any:
    try:
        return _LENIENT.decode(text)
    except (ValueError, RecursionError):
        raise Malformed from None


def _value_end(text: str, at: int) -> int:
    try:
        return _LENIENT.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        raise Malformed from None


def _spaces(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    assert found is not None
    return found.end()


def python_calls(text: str) -> list[Call]:
    """Calls written as `name(argument=value, …)`, one or a list of them in brackets.

    Raises:
        Malformed: the text is something else.
    """
    at = _spaces(text, 0)
    listed = text.startswith("[", at)
    if listed:
        at = _spaces(text, at + 1)
    calls = []
    while not text.startswith("]", at):
        found = _NAME.match(text, at)
        if found is None or not text.startswith("(", found.end()):
            raise Malformed
        arguments, at = _named_arguments(text, found.end() + 1)
        calls.append(Call(checked_name(found.group()), as_json(arguments)))
        at = _spaces(text, at)
        if not listed:
            break
        if text.startswith(",", at):
            at = _spaces(text, at + 1)
        elif not text.startswith("]", at):
            raise Malformed
    if listed:
        at = _spaces(text, at + 1)
    if at != len(text):
        raise Malformed
    return calls


def _named_arguments(text: str, at: int) -> tuple[dict[str, Any], int]:
    arguments: dict[str, Any] = {}
    at = _spaces(text, at)
    while not text.startswith(")", at):
        found = _NAME.match(text, at)
        if found is None:
            raise Malformed
        equals = _spaces(text, found.end())
        if not text.startswith("=", equals):
            raise Malformed
        arguments[found.group()], at = _value(text, equals + 1, ('"', "'"), 0)
        at = _spaces(text, at)
        if text.startswith(",", at):
            at = _spaces(text, at + 1)
        elif not text.startswith(")", at):
            raise Malformed
    return arguments, at + 1


def value(text: str, quotes: tuple[str, ...] = ('"', "'")) -> Any:
    """A value in JSON, as a Python literal, or with bare keys and other quotes.

    Raises:
        Malformed: it is none, or more than one.
    """
    found, at = _value(text, 0, quotes, 0)
    if _spaces(text, at) != len(text):
        raise Malformed
    return found


def _value(text: str, at: int, quotes: tuple[str, ...], depth: int) -> tuple[Any, int]:
    at = _spaces(text, at)
    if depth > MAX_DEPTH:
        raise Malformed
    if text.startswith("{", at):
        return _object(text, at + 1, quotes, depth)
    for opening, closing in ("[]", "()"):
        if text.startswith(opening, at):
            return _array(text, at + 1, closing, quotes, depth)
    for quote in quotes:
        if text.startswith(quote, at):
            return _string(text, at + len(quote), quote)
    found = _BARE.match(text, at)
    if found is None:
        raise Malformed
    word = found.group()
    if word in _WORDS:
        return _WORDS[word], found.end()
    if _NUMBER.fullmatch(word) is None:
        raise Malformed
    try:
        number = float(word) if set(word) & set(".eE") else int(word)
    except ValueError:  # an integer of thousands of digits
        raise Malformed from None
    if number in (math.inf, -math.inf):
        raise Malformed
    return number, found.end()


def _object(text: str, at: int, quotes: tuple[str, ...], depth: int) -> tuple[Any, int]:
    members: dict[str, Any] = {}
    at = _spaces(text, at)
    while not text.startswith("}", at):
        quote = next((quote for quote in quotes if text.startswith(quote, at)), None)
        if quote is not None:
            key, at = _string(text, at + len(quote), quote)
        else:
            found = _BARE.match(text, at)
            if found is None:
                raise Malformed
            key, at = found.group(), found.end()
        at = _spaces(text, at)
        if not text.startswith(":", at):
            raise Malformed
        members[key], at = _value(text, at + 1, quotes, depth + 1)
        at = _next(text, at, "}")
    return members, at + 1


def _array(
    text: str, at: int, closing: str, quotes: tuple[str, ...], depth: int
) -> tuple[Any, int]:
    elements = []
    at = _spaces(text, at)
    while not text.startswith(closing, at):
        element, at = _value(text, at, quotes, depth + 1)
        elements.append(element)
        at = _next(text, at, closing)
    return elements, at + 1


def _next(text: str, at: int, closing: str) -> int:
    """Where the next element begins, or the bracket stands that closes."""
    at = _spaces(text, at)
    if text.startswith(",", at):
        return _spaces(text, at + 1)
    if not text.startswith(closing, at):
        raise Malformed
    return at


def _string(text: str, at: int, quote: str) -> tuple[str, int]:
    if quote not in IN_STRING:
        end = text.find(quote, at)
        if end < 0:
            raise Malformed
        return text[at:end], end + len(quote)
    found = IN_STRING[quote].match(text, at)
    assert found is not None
    if not text.startswith(quote, found.end()):
        raise Malformed
    return _ESCAPE.sub(_unescaped, found.group()), found.end() + 1


def _unescaped(found: re.Match[str]) -> str:
    four, two, eight, line_end, other = found.groups()
    if line_end:
        return ""
    if other is not None:
        # Python leaves a backslash where it means nothing, as in a pattern's "\d".
        return _ESCAPED.get(other) or (other if other in "\\'\"/" else "\\" + other)
    code = int(four or two or eight, 16)
    if code > 0x10FFFF:
        raise Malformed
    return chr(code)
