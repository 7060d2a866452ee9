"""Verifiers: what strategies ask how good an answer is. `verifier.py` says what one is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.arithmetic import Arithmetic
from foreknown.strategies.verifiers.code import PythonCode
from foreknown.strategies.verifiers.function import Function, load_function
from foreknown.strategies.verifiers.pattern import Pattern
from foreknown.strategies.verifiers.schema import JsonSchema
from foreknown.strategies.verifiers.verifier import Verdict, Verifier, guarded

__all__ = [
    "Arithmetic",
    "Function",
    "JsonSchema",
    "Pattern",
    "PythonCode",
    "Verdict",
    "Verifier",
    "guarded",
    "load_function",
    "parse_verifier",
]

FORMS = ("arithmetic", "schema:FILE", "regex:PATTERN", "function:MODULE:NAME", "code:TESTS_FILE")


def parse_verifier(text: str, *, allow_code: bool = False) -> Verifier:
    """The verifier that a user names at the command line, in one of these forms:

        arithmetic             equations in the answer hold
        schema:FILE            it is JSON, valid against the schema in a file
        regex:PATTERN          it has what a regular expression searches for
        function:MODULE:NAME   a function of the user's says so; MODULE may be a file, a/b.py
        code:TESTS_FILE        its Python code passes the tests in a file

    Args:
        allow_code: whether code of a model may be run; `code` needs it.

    Raises:
        RequestError: there is no such verifier, or it cannot be had.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    makers: dict[str, Callable[[str], Verifier]] = {
        "schema": lambda file: JsonSchema(_read_json(file)),
        "regex": Pattern,
        "function": lambda named: Function(load_function(named)),
        "code": lambda file: PythonCode(_read(file), allow_code=allow_code),
    }
    if text.strip() == "arithmetic":
        return Arithmetic()
    if name not in makers or not rest:
        raise RequestError(
            f"there is no verifier {text!r}", remedy=f"use {', '.join(FORMS)}", field="verifier"
        )
    return makers[name](rest)


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RequestError(
            f"the verifier's file {file!r} cannot be read: {why}",
            remedy="give the path of a text file",
            field="verifier",
        ) from None


def _read_json(file: str) -> Any:
    try:
        return json.loads(_read(file))
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the schema in {file!r} is not JSON: {error}",
            remedy="give a file with a JSON schema",
            field="verifier",
        ) from None
