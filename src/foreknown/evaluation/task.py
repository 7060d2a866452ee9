"""What a task is: questions to a model, each with an exact check of a reply to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foreknown.strategies.strategy import Draft, Message
from foreknown.strategies.verifiers import Verifier


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        id: names it within its task.
        messages: the conversation, of which the last is the user's.
        answer: what a right reply comes to, for people to look at.
        check: whether a reply is right.
        verifier: for strategies that want one, where the user named none; it does not know the
            answer.
        drafts: finished replies that are given beside it, for strategies to choose from.
    """

    id: str
    messages: tuple[Message, ...]
    answer: str
    check: Callable[[str], bool]
    verifier: Verifier | None = None
    drafts: Sequence[Draft] = ()


@dataclass(frozen=True)
class Task:
    """Questions of one kind, at least one.

    Attributes:
        name: as a user gives it, without the folders of its file.
        verifier: what that of its questions is called; "": they have none.
        is_given: whether its replies are given already, so that no model is asked.
    """

    name: str
    questions: tuple[Question, ...]
    verifier: str = ""
    is_given: bool = False


def asked(text: str) -> tuple[Message, ...]:
    """A conversation that is one question."""
    return ({"role": "user", "content": text},)
