"""What a model is asked beside the question itself; a user can replace each text.

A model that was taught to check its own drafts may only want `revise`: an empty text is not asked.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from foreknown.errors import RequestError

LONGEST = 20_000
"""Characters of a template."""
_FIELDS: Mapping[str, frozenset[str]] = {
    "ideas": frozenset({"n"}),
    "pick": frozenset(),
    "revise": frozenset(),
    "judge": frozenset({"question", "answer"}),
}
_NEEDED: Mapping[str, frozenset[str]] = {"judge": frozenset({"answer"})}
_ASKED = frozenset({"revise", "judge"})
"""Without these there would be nothing to ask."""


@dataclass(frozen=True)
class Templates:
    """Texts that strategies ask.

    Attributes:
        ideas: after an answer, for ways in which it could have been better; may hold {n}.
        pick: after those, for the best of them.
        revise: after that, for the answer with it applied.
        judge: for a grade of {answer} to {question}.

    Raises:
        RequestError: one holds a field that there is not, or lacks one that it needs.
    """

    ideas: str = (
        "List up to {n} ways in which your answer could have been better, one a line: mistakes, "
        "steps that do not follow, what was asked and is missing. If it is right and complete, "
        "say only: nothing."
    )
    pick: str = "Which one of them matters most? Repeat that line and nothing else."
    revise: str = (
        "Apply it. Give your whole answer again, changed where that is needed and nowhere else."
    )
    judge: str = (
        "Question:\n{question}\n\nAnswer:\n{answer}\n\nHow likely is it that this answer is right "
        "and complete? Reply with one whole number from 0 to 100."
    )

    def __post_init__(self) -> None:
        for name, known in _FIELDS.items():
            _check(name, getattr(self, name), known, _NEEDED.get(name, frozenset()))


def read_templates(path: Path) -> Templates:
    """Templates from a TOML file; those that it does not have are the usual ones.

    Raises:
        RequestError: it cannot be read, or one of them makes no sense.
    """
    names = [field.name for field in fields(Templates)]
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(
            f"templates cannot be read from {path}: {error}",
            remedy=f"give a TOML file with any of {', '.join(names)}",
        ) from None
    for name, text in found.items():
        if name not in names or not isinstance(text, str):
            raise RequestError(
                f"{path} says {name} = {text!r}, which is no template",
                remedy=f"give texts for any of {', '.join(names)}",
                field=name,
            )
    return Templates(**found)


def _check(name: str, text: str, known: frozenset[str], needed: frozenset[str]) -> None:
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise RequestError(
            f"the template {name} cannot be read: {error}",
            remedy="write {{ and }} for braces that are meant as such",
            field=name,
        ) from None
    allowed = ", ".join(f"{{{field}}}" for field in sorted(known)) or "no fields"
    if used - known or len(text) > LONGEST:
        raise RequestError(
            f"the template {name} has {', '.join(sorted(used - known)) or len(text)}, where "
            f"{allowed} and {LONGEST} characters are allowed",
            remedy="write {{ and }} for braces that are meant as such",
            field=name,
        )
    if not text and name in _ASKED:
        raise RequestError(f"the template {name} is empty", remedy="leave it out", field=name)
    if text and needed - used:
        raise RequestError(
            f"the template {name} lacks {{{min(needed - used)}}}",
            remedy=f"it may hold {allowed}",
            field=name,
        )
