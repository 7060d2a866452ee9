"""Decides which tokens of which sequences the next step computes.

Knows nothing of programs and texts, and looks at no clock but the time it is given, so a
forecast can run it ahead of time.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from foreknown.engine.block_manager import BlockManager
from foreknown.engine.sequence import Sequence, SequenceState


class Chunk(NamedTuple):
    """The next `n_tokens` pending tokens of a sequence."""

    sequence: Sequence
    n_tokens: int

    @property
    def gives_token(self) -> bool:
        """Whether the sequence's next token can be chosen after this step."""
        return self.n_tokens == self.sequence.n_pending


class Scheduler:
    """First come, first served.

    Each step: one token of every decoding sequence, then prompts in chunks while there is room.
    A sequence starts when there are blocks for all it has so far; if blocks run out later, the
    youngest running one gives its own back, waits, and is computed again. Whoever waits is
    younger than all who run, so the oldest always advances and every sequence finishes.

    Args:
        max_tokens: tokens of the largest step.
        max_rows: sequences at once.
    """

    def __init__(self, blocks: BlockManager, max_tokens: int, max_rows: int) -> None:
        self.blocks = blocks
        self.max_tokens = max_tokens
        self.max_running = min(max_rows, max_tokens)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.n_preemptions = 0

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def schedule(self, now_ns: int) -> list[Chunk]:
        """The chunks of the next step; empty if there is nothing to do.

        Args:
            now_ns: the time, for policies that need it.
        """
        chunks = self._decode()
        room = self.max_tokens - len(chunks)
        for sequence in self.running:
            if room and sequence.n_pending > 1:
                chunks.append(Chunk(sequence, min(room, sequence.n_pending)))
                room -= chunks[-1].n_tokens
        while room and self._can_start():
            sequence = self._start()
            chunks.append(Chunk(sequence, min(room, sequence.n_pending)))
            room -= chunks[-1].n_tokens
        return chunks

    def finish(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is."""
        if sequence.state is SequenceState.RUNNING:
            self.running.remove(sequence)
            self.blocks.free(sequence)
        elif sequence.state is SequenceState.WAITING:
            self.waiting.remove(sequence)
        sequence.state = SequenceState.FINISHED

    def _decode(self) -> list[Chunk]:
        chunks = []
        for sequence in tuple(self.running):
            if sequence.n_pending != 1 or sequence.state is not SequenceState.RUNNING:
                continue
            if self.blocks.needs_block(sequence) and not self._append_block(sequence):
                continue
            chunks.append(Chunk(sequence, 1))
        return chunks

    def _append_block(self, sequence: Sequence) -> bool:
        """One more block for a sequence; False if it was itself the youngest and gave way."""
        while not self.blocks.can_append():
            youngest = self.running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return False
        self.blocks.append(sequence)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self.blocks.free(sequence)
        sequence.n_computed = 0
        sequence.state = SequenceState.WAITING
        self.waiting.appendleft(sequence)
        self.n_preemptions += 1

    def _can_start(self) -> bool:
        # One token more than it has: a sequence that must give way at once need not start.
        return (
            bool(self.waiting)
            and len(self.running) < self.max_running
            and self.blocks.can_allocate(self.waiting[0].n_tokens + 1)
        )

    def _start(self) -> Sequence:
        sequence = self.waiting.popleft()
        self.blocks.allocate(sequence)
        sequence.state = SequenceState.RUNNING
        self.running.append(sequence)
        return sequence
