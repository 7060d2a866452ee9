"""What every kind of problem is: a conversation, a worked reply, an answer and an exact check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Message:
    """One turn. `taught` is False for an assistant's draft that holds a mistake."""

    role: str
    text: str
    taught: bool = True


@dataclass(frozen=True)
class Problem:
    """One problem.

    `key` says what makes two problems the same whatever the names in them; the split into train
    and test is a function of it alone. `prompt` ends with a user's turn, `solution` is the reply
    that is taught, `answer` is what a right reply must reach. `note` tells sub-kinds apart in
    evaluation tables (steps of a story, whether a draft was right).
    """

    kind: str
    key: str
    prompt: tuple[Message, ...]
    solution: str
    answer: str
    note: str = ""


@dataclass(frozen=True)
class Kind:
    """A registered kind: its share of the training examples, its generator and its checker."""

    name: str
    share: float
    generate: Callable[[Random], Problem]
    check: Callable[[Problem, str], bool]
