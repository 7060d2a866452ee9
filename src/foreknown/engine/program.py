"""What the engine asks of a compiled model; knows nothing of how it was made."""

from __future__ import annotations

import ctypes
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foreknown.graph.batch import Batch


class Program(Protocol):
    """A loaded model that runs steps.

    Attributes:
        vocab_size: length of a row of logits.
        context: positions of the longest sequence, prompt and output together.
        max_tokens: tokens (T) of the largest step.
        max_rows: rows of logits (R) of the largest step; also sequences (S).
        n_blocks: blocks that hold sequences' state.
        hidden_size: length of a hidden state, the row that the head reads; 0: there is none.
        rewindable: whether positions may be computed again with other tokens, as if the first
            time had not been. State that is kept for each position allows it; the state of a
            recurrence, one for the whole past, does not.
        library: the loaded runtime, with `fk_sample`.
    """

    @property
    def vocab_size(self) -> int: ...
    @property
    def context(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def max_rows(self) -> int: ...
    @property
    def n_blocks(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def rewindable(self) -> bool: ...
    @property
    def library(self) -> ctypes.CDLL: ...

    def step(self, batch: Batch) -> NDArray[np.float32]:
        """Run one step; logits f32[R, vocab_size], a view that is valid until the next step.

        R may be 0: a step of prompt chunks that do not reach their prompts' ends.
        """
        ...

    def hidden(self, n_rows: int) -> NDArray[np.float32]:
        """Hidden states f32[n_rows, hidden_size] of the last step's rows, until the next step."""
        ...

    def copy_block(self, source: int, destination: int) -> None:
        """Copy the state that one block holds to another."""
        ...
