"""What the engine asks of a streaming detokenizer (`checkpoint.incremental` is one)."""

from __future__ import annotations

from typing import Protocol


class Detokenizer(Protocol):
    """Turns one sequence's tokens into text as they come; never splits a character."""

    def push(self, token: int, /) -> str:
        """The text that is certain after this token; may be empty."""
        ...

    def finish(self) -> str:
        """What was held back, now that no more tokens will come."""
        ...


class NoText:
    """For callers that only want token ids."""

    def push(self, token: int, /) -> str:
        return ""

    def finish(self) -> str:
        return ""
