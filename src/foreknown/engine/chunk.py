"""What a step computes of one sequence, and what is left of a step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Sequence as Tokens
from math import inf
from operator import itemgetter
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from foreknown.engine.progress import Progress
from foreknown.plan.price import StepShape

P = TypeVar("P", bound=Progress)
Order: TypeAlias = tuple[int, int, int]
Limits: TypeAlias = Tokens[tuple[Order, float]]
_order = itemgetter(0)


class Chunk(NamedTuple, Generic[P]):
    """The next `n_tokens` pending tokens of a sequence, and guesses of those that follow."""

    sequence: P
    n_tokens: int
    drafts: Tokens[int] = ()

    @property
    def gives_token(self) -> bool:
        """Whether the sequence's next token can be chosen after this step."""
        return self.n_tokens == self.sequence.n_pending


def next_token(sequence: P) -> Chunk[P]:
    """Chunk(sequence, 1), in half the time: there is one for each token."""
    return tuple.__new__(Chunk, (sequence, 1, ()))


class Room:
    """What is left of a step.

    Attributes:
        tokens: of all that it may have.
        prompt_tokens: of those that prompts and drafts may have.
        rows: of logits.
        limits: orders of those who decode, and what the whole step may take with prompts that come
            after them, in seconds; ascending and descending.
    """

    __slots__ = ("limits", "prompt_tokens", "rows", "tokens")

    def __init__(self, tokens: int, rows: int) -> None:
        self.tokens = self.prompt_tokens = tokens
        self.rows = rows
        self.limits: Limits = ()

    def limit_s(self, order: Order) -> float:
        """What the step may take with a prompt; who is due later does not hold it back."""
        n_before = bisect_left(self.limits, order, key=_order)
        return self.limits[n_before - 1][1] if n_before else inf

    def take(self, n_tokens: int, n_rows: int) -> None:
        self.tokens -= n_tokens
        self.prompt_tokens -= n_tokens
        self.rows -= n_rows


def shape_of(chunks: Iterable[Chunk[P]]) -> StepShape:
    """What the price of a step of these chunks depends on."""
    tokens = rows = attended = kept = 0
    for sequence, n_tokens, drafts in chunks:
        start = sequence.n_computed
        n_rows = n_tokens if sequence.reads_each else n_tokens == sequence.n_tokens - start
        if drafts:
            n_tokens += len(drafts)
            n_rows += len(drafts)
        end = start + n_tokens
        tokens += n_tokens
        rows += n_rows
        attended += n_tokens * (start + 1 + end) // 2
        kept += end
    return StepShape(tokens, rows, attended, kept)


def decoding_shape(chunks: Iterable[Chunk[P]]) -> StepShape:
    """The same of those alone that a step computes one token of, without drafts."""
    return shape_of([next_token(chunk.sequence) for chunk in chunks if chunk.n_tokens == 1])
