"""llama.cpp's logits of whole texts. `llama_logits.py FILE.gguf THREADS`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from gguf import GGUFReader

from systems.llama_model import LlamaModel
from systems.serving import serve


class LlamaLogits:
    """A model that is asked for the logits of every position."""

    def __init__(self, path: Path, n_threads: int) -> None:
        self.path, self.model = path, LlamaModel(path, n_threads)

    def matrix_bytes(self) -> int:
        """Stored size of all matrices."""
        tensors = GGUFReader(self.path).tensors
        return sum(int(tensor.n_bytes) for tensor in tensors if len(tensor.shape) > 1)

    def logits(self, sequences: list[list[int]], directory: str) -> None:
        """Write f32[n, vocabulary] of each sequence as DIRECTORY/0.npy, 1.npy, ..."""
        longest = max(map(len, sequences))
        context = self.model.context(longest, 1, outputs_per_sequence=longest)
        for number, tokens in enumerate(sequences):
            n = len(tokens)
            context.forget(0, 0)
            context.decode(tokens, range(n), [0] * n, set(range(n)))
            rows = np.stack([context.logits(row) for row in range(n)])
            np.save(Path(directory) / f"{number}.npy", rows)


if __name__ == "__main__":
    model = LlamaLogits(Path(sys.argv[1]), int(sys.argv[2]))
    serve({"matrix_bytes": model.matrix_bytes, "logits": model.logits})
