"""llama.cpp's side of the comparison of speed. `llama_speed.py FILE.gguf THREADS`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import llama_cpp
from gguf import GGUFReader

from systems.case import PREFILL, Case
from systems.llama_model import UBATCH_TOKENS, LlamaContext, LlamaModel, system_info, tensor_bytes
from systems.serving import serve
from systems.stopwatch import answers

STATE_ITEM_BYTES = 2
"""Keys and values are kept in f16, as llama.cpp does unless told otherwise."""


class Llama:
    """A model with a context of the right size for each case."""

    def __init__(self, path: Path, n_threads: int) -> None:
        self.model = LlamaModel(path, n_threads)
        sizes = tensor_bytes(path)
        self.weights_bytes = sum(sizes.values())
        self.read_bytes = self.weights_bytes
        if "output.weight" in sizes:
            self.read_bytes -= sizes["token_embd.weight"]  # only looked up in
        self.token_state_bytes = _token_state_bytes(path)
        self.contexts: dict[Case, LlamaContext] = {}
        self.past = 0

    def facts(self) -> dict[str, Any]:
        return {
            "version": llama_cpp.__version__,
            "settings": f"{self.model.n_threads} threads, flash attention, f16 state, "
            f"micro-batch {UBATCH_TOKENS}",
            "system_info": system_info(),
            "weights_bytes": self.weights_bytes,
        }

    def step_bytes(self, case: Case) -> float:
        return self.read_bytes + case.batch * case.tokens * self.token_state_bytes

    def rewind(self, case: Case) -> None:
        self.past = case.first_past
        if case in self.contexts:
            for sequence in range(case.batch):
                self.contexts[case].forget(sequence, self.past)
            return
        context = self.contexts[case] = self.model.context(case.tokens, case.batch)
        for sequence in range(case.batch):
            for start in range(0, self.past, UBATCH_TOKENS):
                positions = range(start, min(start + UBATCH_TOKENS, self.past))
                n = len(positions)
                context.decode(self._tokens(positions), positions, [sequence] * n, {n - 1})

    def step(self, case: Case) -> None:
        context = self.contexts[case]
        if case.metric == PREFILL:
            n, positions = case.tokens, range(case.tokens)
            context.decode(self._tokens(positions), positions, [0] * n, {n - 1})
        else:
            n, sequences = case.batch, range(case.batch)
            context.decode(self._tokens(sequences), [self.past] * n, sequences, set(sequences))
        self.past += 1

    def _tokens(self, numbers: range) -> list[int]:
        return [number % self.model.vocab_size for number in numbers]


def _token_state_bytes(path: Path) -> int:
    """Bytes of keys and values of one token."""
    fields = GGUFReader(path).fields
    layers, heads, width = (
        int(fields[f"llama.{name}"].contents())
        for name in ("block_count", "attention.head_count_kv", "attention.key_length")
    )
    return 2 * STATE_ITEM_BYTES * layers * heads * width


if __name__ == "__main__":
    serve(answers(Llama(Path(sys.argv[1]), int(sys.argv[2]))))
