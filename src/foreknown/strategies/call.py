"""A strategy as it is written: a name and its arguments, and the text form of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Call:
    """A strategy with its arguments, not yet checked against its signature.

    Attributes:
        name: what is called, hyphens as underscores.
        args: the arguments without a name.
        kwargs: those with one.
        place: where in the text its name begins; calls are equal wherever they stand.
    """

    name: str
    args: tuple[Value, ...] = ()
    kwargs: dict[str, Value] = field(default_factory=dict)
    place: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """The canonical form: it parses to an equal call."""
        written = [written_value(value) for value in self.args]
        written += [f"{name}={written_value(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(written)})" if written else self.name


Value: TypeAlias = int | float | bool | str | Call


def written_value(value: Value) -> str:
    """An argument as the text form has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    quote = "'" if value.count('"') > value.count("'") else '"'
    escapes = {"\\": r"\\", "\n": r"\n", "\t": r"\t", quote: f"\\{quote}"}
    return quote + "".join(escapes.get(character, character) for character in value) + quote
