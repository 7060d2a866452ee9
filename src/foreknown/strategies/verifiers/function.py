"""Verifies by a function of the user's own, which runs in this process."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.verifier import Verdict, checked, failed, in_a_line

Judge = Callable[[str, str], "bool | float | Verdict"]
"""Takes a question and an answer; True, 1 or a verdict of score 1: it is right."""

_FORM = "write package.module:name or path/file.py:name"


class Function:
    """As a function says: a bool, a number from 0 to 1, or a verdict; all else is a failed one.

    What the function raises passes on; see `guarded`. It runs in this process with the rights of
    this process, so it is for one's own functions.

    Raises:
        RequestError: it is not callable, or is a coroutine function.
    """

    def __init__(self, function: Judge) -> None:
        if not callable(function) or isinstance(function, type):
            raise RequestError(
                f"a verifier's function is a {type(function).__name__}, which cannot be one",
                remedy="give a function of a question and an answer",
                field="function",
            )
        if inspect.iscoroutinefunction(function):
            raise RequestError(
                "a verifier's function is asynchronous",
                remedy="give one that returns its verdict",
                field="function",
            )
        self._function = function
        self._name = getattr(function, "__name__", type(function).__name__)

    def verify(self, question: str, answer: str) -> Verdict:
        """What the function says of an answer.

        Raises:
            Exception: whatever the function raises.
        """
        said = self._function(question, answer)
        if isinstance(said, Verdict):
            return checked(said)
        if isinstance(said, (bool, int, float)):
            return checked(Verdict(float(said), f"{self._name} says {said}"))
        return failed(
            f"{self._name} gave a {type(said).__name__}, "
            "where a bool, a number from 0 to 1 or a Verdict is expected"
        )


def load_function(text: str) -> Judge:
    """The function that a user named, as `package.module:name` or `path/file.py:name`.

    Importing runs the module, in this process: the user named it, so the user trusts it.

    Raises:
        RequestError: the form is wrong, there is no such file, module or name, importing it
            raises, or it is not a function.
    """
    where, separator, name = text.rpartition(":")
    if not separator or not where or not name:
        raise RequestError(f"{text!r} names no function", remedy=_FORM, field="function")
    is_file = where.endswith(".py") or "/" in where
    module = _from_file(Path(where)) if is_file else _from_name(where)
    try:
        function = getattr(module, name)
    except AttributeError:
        near = difflib.get_close_matches(name, [n for n in vars(module) if n[0] != "_"], 1)
        raise RequestError(
            f"there is no {name!r} in {where}",
            remedy=f"did you mean {near[0]!r}?" if near else "name a function that it defines",
            field="function",
        ) from None
    if not callable(function):
        raise RequestError(
            f"{text} is a {type(function).__name__}, not a function",
            remedy="name a function of a question and an answer",
            field="function",
        )
    judge: Judge = function
    return judge


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise RequestError(
                f"there is no module {error.name!r}",
                remedy="install it, or name its file: path/file.py:name",
                field="function",
            ) from None
        raise _not_imported(name, error) from error
    except (Exception, SystemExit) as error:
        raise _not_imported(name, error) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise RequestError(f"there is no file {path}", remedy=_FORM, field="function")
    name = f"foreknown_verifier_{path.stem}_{abs(hash(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path} is not a Python file", remedy=_FORM, field="function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and the like look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _not_imported(str(path), error) from error
    return module


def _not_imported(name: str, error: BaseException) -> RequestError:
    return RequestError(
        f"{name} cannot be imported: {type(error).__name__}: {in_a_line(str(error))}",
        remedy="try it with python alone",
        field="function",
    )
