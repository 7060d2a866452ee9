"""A GGUF file in llama.cpp, by its C interface: what the two llama.cpp workers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from gguf import GGUFReader
from numpy.typing import NDArray

UBATCH_TOKENS = 512

_silent = llama_cpp.llama_log_callback(lambda level, text, user_data: None)


class LlamaModel:
    """A loaded model; contexts share its weights.

    Weights are repacked for this processor's instructions where llama.cpp has such a layout.
    """

    def __init__(self, path: Path, n_threads: int) -> None:
        llama_cpp.llama_log_set(_silent, None)
        llama_cpp.llama_backend_init()
        self.path, self.n_threads = path, n_threads
        parameters = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise OSError(f"llama.cpp could not load {path}")
        vocabulary = llama_cpp.llama_model_get_vocab(self._model)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(vocabulary)

    def context(self, n_tokens: int, sequences: int, outputs_per_sequence: int = 1) -> LlamaContext:
        """State for some sequences of so many tokens each, and buffers for steps."""
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_tokens * sequences
        parameters.n_seq_max = sequences
        parameters.n_batch = parameters.n_ubatch = max(UBATCH_TOKENS, sequences)
        parameters.n_outputs_max = sequences * outputs_per_sequence
        parameters.n_outputs_max_per_seq = outputs_per_sequence
        parameters.n_threads = parameters.n_threads_batch = self.n_threads
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not context:
            raise OSError(f"llama.cpp could not make a context of {parameters.n_ctx} tokens")
        return LlamaContext(context, self.vocab_size)


class LlamaContext:
    """The state of some sequences, and steps over it."""

    def __init__(self, context: Any, vocab_size: int) -> None:
        self._context, self.vocab_size = context, vocab_size
        self._memory = llama_cpp.llama_get_memory(context)

    def forget(self, sequence: int, first: int) -> None:
        """Drop a sequence's positions from `first` on."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, first, -1)

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        wanted: set[int],
    ) -> None:
        """Run a step; logits of the rows in `wanted` are computed."""
        n = len(tokens)
        batch = llama_cpp.llama_batch_init(n, 0, 1)
        batch.n_tokens = n
        for row in range(n):
            batch.token[row] = tokens[row]
            batch.pos[row] = positions[row]
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = sequences[row]
            batch.logits[row] = row in wanted
        failed = llama_cpp.llama_decode(self._context, batch)
        llama_cpp.llama_synchronize(self._context)
        llama_cpp.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode of {n} tokens returned {failed}")

    def logits(self, row: int) -> NDArray[np.float32]:
        """f32[vocabulary] of a wanted row of the last step."""
        found = llama_cpp.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(found, (self.vocab_size,)).copy()


def tensor_bytes(path: Path) -> dict[str, int]:
    """Size of each tensor of a GGUF file."""
    return {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(path).tensors}


def system_info() -> str:
    """The instructions that this build uses."""
    return str(llama_cpp.llama_print_system_info(), "utf-8")
