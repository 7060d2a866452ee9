"""The table of lowering rules: an ATen operation's name → the function that gives its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register for operations by name, `aten.add.Tensor` or all overloads of `aten.add`.

    A rule takes the lowering and the operation's arguments by the names in its schema.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, name
            RULES[name] = function
        return function

    return register


def find_rule(target: Any) -> Rule | None:
    """The rule of an operator overload."""
    name = str(target)
    return RULES.get(name) or RULES.get(name.rsplit(".", 1)[0])
