"""What routes and streams see of an answer underway, however it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from foreknown.engine import Output


@dataclass
class Usage:
    """Tokens, counted so far."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Underway(Protocol):
    """One or more answers of one caller; iterate over it once, and close it in any case."""

    usage: Usage

    @property
    def is_over(self) -> bool:
        """Whether every answer has ended."""
        ...

    def told(self) -> dict[str, Any]:
        """What a response says at its beginning of what it will take; nothing if nobody asked."""
        ...

    def outcome(self) -> dict[str, Any]:
        """The same at its end, with what it took."""
        ...

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the head of its response says of a promise."""
        ...

    def record(self) -> dict[str, Any]:
        """What a log says of it; nothing of its text."""
        ...

    def close(self) -> None:
        """End what is still running, and enter in the books what became of a promise."""
        ...

    def __aiter__(self) -> AsyncIterator[list[tuple[int, Output]]]:
        """Groups of outputs that came together, each with its answer's place.

        Raises:
            Refusal: an answer ended in an error, or was cut off because the server stops.
        """
        ...
