"""One generation: its tokens, how far they are computed, and where its state lies."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.detokenizer import Detokenizer
from foreknown.engine.draft import Drafter
from foreknown.engine.native_sampling import RowSampling
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.stop_strings import StopStrings


class SequenceState(Enum):
    WAITING = "waiting"  # holds no blocks
    RUNNING = "running"  # holds blocks for all its tokens
    FINISHED = "finished"  # holds no blocks, ever again


class Sequence:
    """Tokens 0 to n_tokens - 1 are known; the state of the first n_computed lies in its blocks.

    A step computes any number of the pending ones; the logits of the last give one more token.
    So a prompt in chunks, decoding, and computing again after preemption are the same thing.

    Attributes:
        number: order of arrival; the engine serves lower numbers first.
        tokens: i32[n_prompt + max_tokens], prompt then output; entries past n_tokens are unused.
        last_token: tokens[n_tokens - 1].
        stop_ids: tokens that end it.
        drafter: guesses what comes next; None while nobody asked it to.
        table: row of the block manager's tables while running, else -1.
        n_blocks: blocks held.
    """

    __slots__ = (
        "arrival_ns",
        "detokenizer",
        "drafter",
        "last_token",
        "max_tokens",
        "n_blocks",
        "n_computed",
        "n_prompt",
        "n_tokens",
        "number",
        "params",
        "request_id",
        "sampling",
        "state",
        "stop_ids",
        "stop_strings",
        "table",
        "tokens",
    )

    def __init__(
        self,
        request_id: str,
        number: int,
        arrival_ns: int,
        prompt: NDArray[np.int32],
        max_tokens: int,
        params: SamplingParams,
        stop_ids: frozenset[int],
        seed: int,
        detokenizer: Detokenizer,
    ) -> None:
        self.request_id = request_id
        self.number = number
        self.arrival_ns = arrival_ns
        self.params = params
        self.max_tokens = max_tokens
        self.stop_ids = stop_ids
        self.detokenizer = detokenizer
        self.stop_strings = StopStrings(params.stop)
        self.sampling = RowSampling(params, seed, stop_ids, prompt, max_tokens)
        self.n_prompt = len(prompt)
        self.tokens = np.empty(self.n_prompt + max_tokens, np.int32)
        self.tokens[: self.n_prompt] = prompt
        self.n_tokens = self.n_prompt
        self.last_token = int(prompt[-1])
        self.n_computed = 0
        self.drafter: Drafter | None = None
        self.state = SequenceState.WAITING
        self.table = -1
        self.n_blocks = 0

    @property
    def n_pending(self) -> int:
        """Known tokens whose state is not computed; 1 while decoding."""
        return self.n_tokens - self.n_computed

    @property
    def n_output(self) -> int:
        return self.n_tokens - self.n_prompt

    @property
    def output(self) -> list[int]:
        """Output token ids so far."""
        return [int(token) for token in self.tokens[self.n_prompt : self.n_tokens]]

    def append(self, token: int) -> None:
        """One more token, chosen from the last one's logits."""
        self.tokens[self.n_tokens] = token
        self.n_tokens += 1
        self.last_token = token
        self.sampling.record(token)
