"""Our side of the comparison of speed: an artifact. `our_speed.py ARTIFACT THREADS`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from foreknown import __version__
from foreknown.artifact import load_program, open_artifact
from foreknown.graph.batch import BLOCK_TOKENS, Batch, single
from foreknown.report.forecast import StepCosts, StepShape
from systems.case import CASES, PREFILL, Case
from systems.serving import serve
from systems.stopwatch import answers

CHUNK = 512
"""Tokens of a step that fills state."""


class Ours:
    """A loaded artifact with state for every case at once."""

    def __init__(self, directory: Path, n_threads: int) -> None:
        self.artifact = open_artifact(directory)
        self.costs = StepCosts(self.artifact)
        self.first_block, n_blocks = _places()
        whole = -(-self.artifact.manifest.sizes.context // BLOCK_TOKENS)
        loaded = load_program(self.artifact, sequences=-(-n_blocks // whole), n_threads=n_threads)
        self.program = loaded.program
        self.filled: set[Case] = set()
        self.past = 0

    def facts(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "settings": f"{self.artifact.manifest.target}, {self.program.n_threads} threads",
            "weights_bytes": self.artifact.manifest.weights_bytes,
        }

    def step_bytes(self, case: Case) -> float:
        tokens = case.tokens_of_step
        context = (1 + case.tokens) / 2 if case.metric == PREFILL else case.tokens
        return self.costs.bytes(StepShape(tokens, case.batch, context))

    def rewind(self, case: Case) -> None:
        self.past = case.first_past
        if case in self.filled or case.metric == PREFILL:
            return
        for sequence in range(case.batch):
            table = self._tables(case)[sequence : sequence + 1]
            for start in range(0, self.past, CHUNK):
                tokens = list(range(start, min(start + CHUNK, self.past)))
                piece = single([t % self.program.vocab_size for t in tokens], start, [])
                self.program.step(
                    Batch(piece.tokens, piece.positions, piece.sequence, table, piece.rows)
                )
        self.filled.add(case)

    def step(self, case: Case) -> None:
        if case.metric == PREFILL:
            tokens = np.arange(case.tokens, dtype=np.int32) % self.program.vocab_size
            batch = single(tokens.tolist(), rows=[case.tokens - 1])
        else:
            sequences = np.arange(case.batch, dtype=np.int32)
            batch = Batch(
                tokens=sequences % self.program.vocab_size,
                positions=np.full(case.batch, self.past, np.int32),
                sequence=sequences,
                block_tables=self._tables(case),
                rows=sequences,
            )
            self.past += 1
        self.program.step(batch)

    def _tables(self, case: Case) -> np.ndarray[Any, np.dtype[np.int32]]:
        blocks = -(-case.tokens // BLOCK_TOKENS)
        first = self.first_block[case]
        last = first + case.batch * blocks
        return np.arange(first, last, dtype=np.int32).reshape(case.batch, blocks)


def _places() -> tuple[dict[Case, int], int]:
    """Each case's first block of state, and how many there are; all prompts share theirs."""
    places: dict[Case, int] = {}
    n_blocks = max(-(-c.tokens // BLOCK_TOKENS) for c in CASES if c.metric == PREFILL)
    for case in CASES:
        places[case] = n_blocks
        if case.metric != PREFILL:
            n_blocks += case.batch * -(-case.tokens // BLOCK_TOKENS)
    return places, n_blocks


if __name__ == "__main__":
    serve(answers(Ours(Path(sys.argv[1]), int(sys.argv[2]))))
