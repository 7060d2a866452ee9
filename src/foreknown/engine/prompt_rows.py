"""What is read of the rows of a prompt, chunk by chunk: an embedding, or its log-probabilities.

Which rows are wanted is asked before a step; what they held is handed over after it. Values are
taken row by row in the order of positions, so neither chunks nor company show in the bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.native_sampling import RowSampling
from foreknown.engine.output import TokenLogprob
from foreknown.engine.sampling import SamplingParams


class Pooling:
    """One hidden state for a whole text.

    Args:
        mode: which; the mean is summed in f64.
        n_prompt: tokens of the text.

    Attributes:
        from_start: whether rows of the start are wanted, so that all must be computed.
        each: whether every token's row is wanted.
        sampling: how its rows are sampled, though no token is drawn from them.
    """

    def __init__(self, mode: Literal["mean", "last", "first"], n_prompt: int) -> None:
        self.from_start, self.each = mode != "last", mode == "mean"
        self.sampling = _looked_at(None)
        self._mode, self._n_prompt = mode, n_prompt
        self._sum: NDArray[np.float64] | None = None

    def rows(self, start: int, n_tokens: int) -> range:
        """Those wanted of a chunk of tokens from a position on, counted within the chunk."""
        if self._mode == "mean":
            return range(n_tokens)
        if self._mode == "first":
            return range(start == 0)
        return range(n_tokens - (start + n_tokens == self._n_prompt), n_tokens)

    def n_read(self, start: int, n_tokens: int) -> int:
        """How many of a chunk's rows are wanted."""
        return len(self.rows(start, n_tokens))

    def restart(self) -> None:
        """Forget what was read: the text will be computed again."""
        self._sum = None

    def take(self, hidden: Iterable[NDArray[np.float32]]) -> None:
        """Take the rows that were wanted of the next chunk."""
        for row in hidden:
            if self._sum is None:
                self._sum = row.astype(np.float64)
            else:
                self._sum += row

    def pooled(self) -> NDArray[np.float32]:
        """f32[hidden_size], when all rows were taken; not normalised."""
        assert self._sum is not None
        n_rows = self._n_prompt if self._mode == "mean" else 1
        return (self._sum / n_rows).astype(np.float32)


class PromptLogprobs:
    """The log-probability of each token of a prompt, given those before it.

    Args:
        prompt: i32[n].
        n_logprobs: of the best tokens in each place.

    Attributes:
        found: of the tokens so far; the first has none.
        sampling: how its rows are sampled: the best token, and log-probabilities.
    """

    from_start = True
    each = True

    def __init__(self, prompt: NDArray[np.int32], n_logprobs: int) -> None:
        self.n_logprobs = n_logprobs
        self.sampling = _looked_at(n_logprobs)
        self._prompt: list[int] = prompt.tolist()
        self.restart()

    def rows(self, start: int, n_tokens: int) -> range:
        """All of a chunk's; the last one of the prompt's gives the first token of output."""
        return range(n_tokens)

    def n_read(self, start: int, n_tokens: int) -> int:
        """How many of them tell of a token of the prompt."""
        return n_tokens - (start + n_tokens == len(self._prompt))

    def restart(self) -> None:
        """Forget what was read: the prompt will be computed again."""
        self.found = [TokenLogprob(self._prompt[0], None)]

    @property
    def next_token(self) -> int:
        """The token that the next row tells the log-probability of."""
        return self._prompt[len(self.found)]

    def take(self, logprob: float, top_logprobs: tuple[tuple[int, float], ...]) -> None:
        """Take what the next row tells."""
        self.found.append(TokenLogprob(self.next_token, logprob, top_logprobs))


def _looked_at(n_logprobs: int | None) -> RowSampling:
    params = SamplingParams(temperature=0.0, logprobs=n_logprobs)
    return RowSampling(params, 0, (), np.zeros(1, np.int32), 0)


PromptRows = Pooling | PromptLogprobs
