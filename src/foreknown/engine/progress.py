"""How far a generation has come, in numbers alone: all that scheduling looks at.

The engine schedules sequences, which have tokens besides; a forecast schedules these as they are.
"""

from __future__ import annotations

from enum import Enum

from foreknown.engine.promises import Commitment
from foreknown.graph.batch import BLOCK_TOKENS


class SequenceState(Enum):
    WAITING = "waiting"  # holds no blocks
    RUNNING = "running"  # holds blocks for all its tokens
    FINISHED = "finished"  # holds no blocks, ever again


PROMISED, UNPROMISED = 0, 1
"""First part of an order: whoever was promised a time goes before all others."""


class Progress:
    """Tokens 0 to n_tokens - 1 are known; the state of the first n_computed lies in its blocks.

    A step computes any number of the pending ones; the logits of the last give one more token.
    So a prompt in chunks, decoding, and computing again after preemption are the same thing.

    Attributes:
        number: order of arrival.
        order: (PROMISED or not, turn, number); lower ones are served first. It comes with its
            queue.
        user: whose it is.
        commitment: when it was promised to be done; None: nothing was.
        max_tokens: of output.
        longest: tokens of prompt and output at most.
        asks: whether its prompt counts among those looked for in the prefix cache.
        n_cached: tokens of its prompt that were found computed when it first started.
        has_started: whether it ever ran.
        n_blocks: blocks held.
    """

    __slots__ = (
        "asks",
        "commitment",
        "has_started",
        "longest",
        "max_tokens",
        "n_blocks",
        "n_cached",
        "n_computed",
        "n_prompt",
        "n_tokens",
        "number",
        "order",
        "state",
        "user",
    )

    def __init__(
        self,
        number: int,
        n_prompt: int,
        max_tokens: int,
        *,
        user: str = "",
        commitment: Commitment | None = None,
    ) -> None:
        self.number, self.user = number, user
        self.order = (UNPROMISED, 0, number)
        self.commitment = commitment
        self.n_prompt = self.n_tokens = n_prompt
        self.max_tokens = max_tokens
        self.longest = n_prompt + max_tokens
        self.n_computed = 0
        self.n_blocks = 0
        self.n_cached = 0
        self.asks = True
        self.has_started = False
        self.state = SequenceState.WAITING

    @property
    def n_pending(self) -> int:
        """Known tokens whose state is not computed; 1 while decoding."""
        return self.n_tokens - self.n_computed

    @property
    def n_output(self) -> int:
        return self.n_tokens - self.n_prompt

    @property
    def places_left(self) -> int:
        """Tokens more than it has that its blocks hold; negative: it lacks a block."""
        return self.n_blocks * BLOCK_TOKENS - self.n_tokens

    @property
    def is_promised(self) -> bool:
        """Whether it goes before those who were promised nothing."""
        return self.order[0] == PROMISED

    @property
    def n_beams(self) -> int:
        """Sequences that a search advances together, this one among them."""
        return 1

    @property
    def reads_each(self) -> bool:
        """Whether every token of its prompt needs a row of its own."""
        return False

    @property
    def comes_whole(self) -> bool:
        """Whether its tokens are told all at once, when the last is known."""
        return False

    def restart(self) -> None:
        """All its tokens are to be computed again."""
        self.n_computed = 0
        self.state = SequenceState.WAITING

    def follow(self, leader: Progress) -> None:
        """Take over what another has read of the prompt that both share."""
