"""Puts a call's arguments to the parameters of what it calls, with the errors that users see."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from foreknown.errors import RequestError
from foreknown.strategies.call import Call, Value, written_value

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a strategy.

    Attributes:
        name: as it is written before `=`.
        kind: the type of its values, or several; a whole number is also a float, and given as one.
        default: its value if none is given; not checked, so it may be outside what users can give.
        least: the least number it takes; None: any.
        most: the greatest.
        choices: the values it takes of each type that is among them; other types of `kind` are
            free, as in "auto" or any number.
    """

    name: str
    kind: type | tuple[type, ...]
    default: Value
    least: float | None = None
    most: float | None = None
    choices: tuple[Value, ...] = ()

    @property
    def kinds(self) -> tuple[type, ...]:
        """All types of its values."""
        return self.kind if isinstance(self.kind, tuple) else (self.kind,)

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        return " or ".join(self._allowed_of(kind) for kind in self.kinds)

    def kind_of(self, value: Value) -> type:
        """The type that a value counts as: a whole number as float where no int is taken."""
        as_float = type(value) is int and int not in self.kinds and float in self.kinds
        return float if as_float else type(value)

    def chosen(self, kind: type) -> list[Value]:
        """The choices of one type."""
        return [choice for choice in self.choices if self.kind_of(choice) is kind]

    def _allowed_of(self, kind: type) -> str:
        chosen = [written_value(choice) for choice in self.chosen(kind)]
        if chosen:
            return chosen[0] if len(chosen) == 1 else f"one of {', '.join(chosen)}"
        words = _KINDS.get(kind, "a strategy")
        if kind not in (int, float) or self.least is self.most is None:
            return words
        if self.most is None:
            return f"{words} of at least {self.least}"
        if self.least is None:
            return f"{words} of at most {self.most}"
        return f"{words} from {self.least} to {self.most}"


def bind(call: Call, signature: Sequence[Parameter]) -> dict[str, Value]:
    """Every parameter of `signature`, in its order, with what the call gives it or its default.

    Raises:
        RequestError: too many arguments, one given twice or unknown, or a value of another type,
            outside its range or not among its choices; `field` is the parameter.
    """
    given = _by_name(call, signature)
    return {
        parameter.name: _checked(call, parameter, given[parameter.name])
        if parameter.name in given
        else parameter.default
        for parameter in signature
    }


def _by_name(call: Call, signature: Sequence[Parameter]) -> dict[str, Value]:
    names = [parameter.name for parameter in signature]
    if len(call.args) > len(names):
        raise RequestError(
            f"{call.name} takes at most {len(names)} arguments, {len(call.args)} are given: "
            f"{written_value(call.args[len(names)])} is for no parameter",
            remedy=_what_there_is(call, signature),
        )
    given = dict(zip(names, call.args, strict=False))
    for name, value in call.kwargs.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise RequestError(
                f"{call.name} has no parameter {name}, which is given as "
                f"{written_value(value)}{meant}",
                remedy=_what_there_is(call, signature),
                field=name,
            )
        if name in given:
            raise RequestError(
                f"{call.name}: {name} is given twice, as {written_value(given[name])} by its "
                f"place and as {written_value(value)} by its name",
                remedy="give it once",
                field=name,
            )
        given[name] = value
    return given


def _what_there_is(call: Call, signature: Sequence[Parameter]) -> str:
    if not signature:
        return f"write {call.name} without arguments"
    listed = "; ".join(f"{parameter.name}: {parameter.allowed}" for parameter in signature)
    return f"{call.name} takes {listed}"


def _checked(call: Call, parameter: Parameter, value: Value) -> Value:
    """The value as the parameter has it; a lone name is a text where only a text can be meant."""
    if isinstance(value, Call) and not (value.args or value.kwargs):
        value = value.name if str in parameter.kinds and Call not in parameter.kinds else value
    kind = parameter.kind_of(value)
    chosen = parameter.chosen(kind)
    is_choice = not chosen or value in chosen
    if kind not in parameter.kinds or not is_choice or not _in_range(parameter, kind, value):
        raise RequestError(
            f"{call.name}: {parameter.name} is {written_value(value)}, where "
            f"{parameter.allowed} is expected",
            remedy=f"give {parameter.name} {parameter.allowed}, or leave it out",
            field=parameter.name,
        )
    return float(value) if kind is float and isinstance(value, int) else value


def _in_range(parameter: Parameter, kind: type, value: Value) -> bool:
    """Whether a number is finite and in its range; what is no number is."""
    if kind not in (int, float) or not isinstance(value, int | float):
        return True
    if kind is float and not abs(value) <= sys.float_info.max:
        return False
    least, most = parameter.least, parameter.most
    return (least is None or value >= least) and (most is None or value <= most)
