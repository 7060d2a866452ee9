"""Calls the runtime's sampler: the ctypes mirror of `targets/cpu/runtime/sample.h`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.sampling import MAX_LOGPROBS, SamplingParams
from foreknown.errors import ForeknownError

LOGITS_NOT_FINITE = -1
NOTHING_ALLOWED = -2

_ALIGNMENT = 64


class _Sampling(ctypes.Structure):
    _fields_ = (
        ("seed", ctypes.c_uint64),
        ("bias_tokens", ctypes.c_void_p),
        ("bias_values", ctypes.c_void_p),
        ("seen_tokens", ctypes.c_void_p),
        ("seen_outputs", ctypes.c_void_p),
        ("allowed", ctypes.c_void_p),
        ("n_biases", ctypes.c_int32),
        ("n_seen", ctypes.c_int32),
        ("n_words", ctypes.c_int32),
        ("temperature", ctypes.c_float),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("repetition_penalty", ctypes.c_float),
        ("presence_penalty", ctypes.c_float),
        ("frequency_penalty", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_logprobs", ctypes.c_int32),
    )


class _Chosen(ctypes.Structure):
    _fields_ = (
        ("tokens", ctypes.c_void_p),
        ("logprobs", ctypes.c_void_p),
        ("top_tokens", ctypes.c_void_p),
        ("top_logprobs", ctypes.c_void_p),
        ("top_width", ctypes.c_int32),
    )


class RowSampling:
    """One sequence's settings and history, where native code reads them.

    Nothing is allocated after construction, and `record` takes the same time at any length.

    Args:
        seed: of the draws, as an unsigned 64-bit number.
        forbidden: tokens that may not come before `params.min_tokens` have.
        prompt: i32[n], for the repetition penalty.
        max_tokens: how often `record` may be called.

    Attributes:
        address: of what native code reads.
        remembers: whether what is recorded changes what is chosen.
    """

    __slots__ = (
        "_allowed",
        "_bias_tokens",
        "_bias_values",
        "_index",
        "_min_tokens",
        "_n_recorded",
        "_native",
        "_seen_outputs",
        "_seen_tokens",
        "address",
        "remembers",
    )

    def __init__(
        self,
        params: SamplingParams,
        seed: int,
        forbidden: Iterable[int],
        prompt: NDArray[np.int32],
        max_tokens: int,
    ) -> None:
        native = self._native = _Sampling()
        self.address = ctypes.addressof(native)
        native.seed = seed
        native.temperature = 0.0 if params.greedy else params.temperature
        native.top_k = params.top_k
        native.top_p = params.top_p
        native.min_p = params.min_p
        native.repetition_penalty = params.repetition_penalty
        native.presence_penalty = params.presence_penalty
        native.frequency_penalty = params.frequency_penalty
        native.top_logprobs = -1 if params.logprobs is None else params.logprobs

        self._allowed: NDArray[np.uint32] | None = None
        self.remembers = params.penalises or params.min_tokens > 0
        self._n_recorded = 0
        self._min_tokens = params.min_tokens
        # The forbidden tokens come last: they are allowed by shortening the list.
        banned = sorted(forbidden) if params.min_tokens else []
        values = [*params.logit_bias.values(), *(-np.inf for _ in banned)]
        self._bias_tokens = np.array([*params.logit_bias, *banned], np.int32)
        self._bias_values = np.array(values, np.float32)
        native.bias_tokens = self._bias_tokens.ctypes.data
        native.bias_values = self._bias_values.ctypes.data
        native.n_biases = len(values)

        self._index: dict[int, int] | None = None
        if params.penalises:
            self._start_history(np.unique(prompt), max_tokens)

    def _start_history(self, prompt: NDArray[np.int32], max_tokens: int) -> None:
        room = len(prompt) + max_tokens
        self._seen_tokens = np.zeros(room, np.int32)
        self._seen_tokens[: len(prompt)] = prompt
        self._seen_outputs = np.zeros(room, np.int32)
        self._index = {int(token): i for i, token in enumerate(prompt)}
        self._native.seen_tokens = self._seen_tokens.ctypes.data
        self._native.seen_outputs = self._seen_outputs.ctypes.data
        self._native.n_seen = len(prompt)

    def allow(self, mask: NDArray[np.uint32] | None) -> None:
        """Let only some tokens come, until this is called again; None: all of them.

        Args:
            mask: u32[n], without gaps: bit t % 32 of word t // 32. Tokens past its end may not
                come. It is read whenever a token is sampled, so it may be rewritten in place.
        """
        if mask is self._allowed:
            return
        if mask is not None and not (mask.dtype == np.uint32 and mask.flags.c_contiguous):
            raise ValueError(f"a mask is u32 without gaps, not {mask.dtype}{mask.strides}")
        self._allowed = mask
        self._native.allowed = None if mask is None else mask.ctypes.data
        self._native.n_words = 0 if mask is None else mask.size

    def record(self, token: int) -> None:
        """Take note of one more output token."""
        if not self.remembers:
            return
        self._n_recorded += 1
        if self._n_recorded == self._min_tokens:
            self._native.n_biases = int(np.isfinite(self._bias_values).sum())
        if self._index is None:
            return
        place = self._index.setdefault(token, len(self._index))
        self._seen_tokens[place] = token
        self._seen_outputs[place] += 1
        self._native.n_seen = len(self._index)


class Sampler:
    """Chooses tokens for the rows of a step, in one native call.

    Results stay until the next call:
        tokens: i32[max_rows], a token or why there is none (`refusal` explains).
        logprobs: f32[max_rows], for rows that asked.
    """

    def __init__(self, library: ctypes.CDLL, vocab_size: int, max_rows: int) -> None:
        self._sample = library.fk_sample
        self._sample.restype = ctypes.c_int32
        self._sample.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int32,
            ctypes.c_int32,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        self._vocab_size = vocab_size
        self._addresses = np.zeros(max_rows, np.uint64)
        self._positions = np.zeros(max_rows, np.int64)
        self.tokens = np.zeros(max_rows, np.int32)
        self.logprobs = np.zeros(max_rows, np.float32)
        self._top_tokens = np.zeros((max_rows, MAX_LOGPROBS), np.int32)
        self._top_logprobs = np.zeros((max_rows, MAX_LOGPROBS), np.float32)
        library.fk_sample_scratch_bytes.restype = ctypes.c_size_t
        library.fk_sample_scratch_bytes.argtypes = (ctypes.c_int32,)
        n_bytes = library.fk_sample_scratch_bytes(vocab_size)
        self._scratch = np.zeros(n_bytes + _ALIGNMENT, np.uint8)
        self._chosen = [self._places_from(row) for row in range(max_rows)]
        self._pointers = [self._pointers_from(row) for row in range(max_rows)]
        self._logits = np.zeros((0, vocab_size), np.float32)

    def sample(
        self, logits: NDArray[np.float32], rows: Sequence[RowSampling], positions: Sequence[int]
    ) -> list[int]:
        """One token for each row, or a negative number for a row that has none.

        Args:
            logits: f32[R, vocab_size]; rows may lie apart, their values may not.
            rows: R settings.
            positions: R positions, in their sequences, of the tokens to be chosen.
        """
        n = len(rows)
        if n == 0:
            return []
        self._addresses[:n] = [row.address for row in rows]
        self._positions[:n] = positions
        self._logits = logits
        self._call(0, n)
        chosen: list[int] = self.tokens[:n].tolist()
        return chosen

    def sample_again(self, row: int) -> int:
        """A row of the last call once more, now that its sequence has recorded more tokens."""
        self._call(row, 1)
        return int(self.tokens[row])

    def _call(self, first: int, n: int) -> None:
        """Sample rows of the logits, into their own places."""
        row_bytes = self._logits.strides[0]
        start = self._logits.ctypes.data + first * row_bytes
        self._sample(start, row_bytes // 4, self._vocab_size, n, *self._pointers[first])

    def _places_from(self, row: int) -> _Chosen:
        """Where results go, from a row on."""
        results = (self.tokens, self.logprobs, self._top_tokens, self._top_logprobs)
        return _Chosen(*(array[row:].ctypes.data for array in results), MAX_LOGPROBS)

    def _pointers_from(self, row: int) -> tuple[int, int, int, int]:
        """What native code is given for rows from one on."""
        return (
            self._addresses[row:].ctypes.data,
            self._positions[row:].ctypes.data,
            ctypes.addressof(self._chosen[row]),
            -(-self._scratch.ctypes.data // _ALIGNMENT) * _ALIGNMENT,
        )

    def top_logprobs(self, row: int, n: int) -> tuple[tuple[int, float], ...]:
        """The n best tokens of a row and their log-probabilities, best first."""
        n = min(n, self._vocab_size)
        tokens = self._top_tokens[row, :n].tolist()
        return tuple(zip(tokens, self._top_logprobs[row, :n].tolist(), strict=True))


def refusal(reason: int, position: int) -> ForeknownError:
    """The error for a row without a token."""
    if reason == NOTHING_ALLOWED:
        return ForeknownError(
            "no token is allowed: every logit is minus infinity or outside the grammar",
            where=f"the logits for position {position}",
            remedy="ease logit_bias, min_tokens, the stop tokens or the grammar",
        )
    return ForeknownError(
        "the model's logits are not numbers (NaN or infinity)",
        where=f"the logits for position {position}",
        remedy="check the checkpoint's weights for NaN, or compile with --weights f32",
    )
