"""Decides which tokens of which sequences the next step computes.

Knows nothing of programs and texts, and looks at no clock but the time it is given, so a
forecast can run it ahead of time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Tokens
from typing import NamedTuple

from foreknown.engine.block_manager import BlockManager
from foreknown.engine.sequence import Sequence, SequenceState
from foreknown.engine.speculation import MAX_DRAFTS, Speculation


class Chunk(NamedTuple):
    """The next `n_tokens` pending tokens of a sequence, and guesses of those that follow."""

    sequence: Sequence
    n_tokens: int
    drafts: Tokens[int] = ()

    @property
    def gives_token(self) -> bool:
        """Whether the sequence's next token can be chosen after this step."""
        return self.n_tokens == self.sequence.n_pending


class Scheduler:
    """First come, first served.

    Each step: one token of every decoding sequence, drafts of what may follow it where that is
    worth it, then prompts in chunks while there is room.
    A sequence starts when there are blocks for all it has so far; if blocks run out later, the
    youngest running one gives its own back, waits, and is computed again. Whoever waits is
    younger than all who run, so the oldest always advances and every sequence finishes.

    Args:
        max_tokens: tokens of the largest step.
        max_rows: rows of logits of the largest step, so also sequences at once.
        speculation: gives drafts; None: there are none.
    """

    def __init__(
        self,
        blocks: BlockManager,
        max_tokens: int,
        max_rows: int,
        speculation: Speculation | None = None,
    ) -> None:
        self.blocks = blocks
        self.max_tokens = max_tokens
        self.max_rows = max_rows
        self.max_running = min(max_rows, max_tokens)
        self.speculation = speculation
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.n_preemptions = 0
        self._drafted: list[Sequence] = []

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
        if chunks and self.speculation is not None and self.speculation.has_credit:
            room -= self._add_drafts(chunks, self.speculation)
        for sequence in self.running:
            if room and sequence.n_pending > 1:
                chunks.append(Chunk(sequence, min(room, sequence.n_pending)))
                room -= chunks[-1].n_tokens
        while room and self._can_start():
            sequence = self._start()
            chunks.append(Chunk(sequence, min(room, sequence.n_pending)))
            room -= chunks[-1].n_tokens
        return chunks

    def settle(self) -> None:
        """Take back the blocks that only drafts needed; after every step, even a failed one."""
        for sequence in self._drafted:
            self.blocks.trim(sequence)
        self._drafted.clear()

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

    def _add_drafts(self, chunks: list[Chunk], speculation: Speculation) -> int:
        """Give decoding sequences what drafts they may have at nobody's expense; how many.

        Half of the step's room is left to prompts, and a row to each sequence that may run.
        """
        promising = speculation.look([chunk.sequence for chunk in chunks])
        if not promising:
            return 0
        may_run = min(self.max_running, len(self.running) + len(self.waiting))
        room = min((self.max_tokens - len(chunks)) // 2, self.max_rows - may_run)
        limits = self._draft_limits([chunks[index].sequence for index, _ in promising])
        drafters = [drafter for _, drafter in promising]
        depths = speculation.depths(drafters, limits, len(chunks), max(room, 0))
        for (index, drafter), n_drafts in zip(promising, depths, strict=True):
            sequence = chunks[index].sequence
            if n_drafts > self.blocks.places_left(sequence):
                self.blocks.append(sequence)
                self._drafted.append(sequence)
            chunks[index] = Chunk(sequence, 1, drafter.propose(n_drafts))
        return sum(depths)

    def _draft_limits(self, sequences: list[Sequence]) -> list[int]:
        """For each sequence, drafts that neither its end nor a want of blocks makes useless.

        Whoever waits is waiting for blocks: then drafts get no more than what is held anyway.
        """
        limits, spare = [], 0 if self.waiting else len(self.blocks.free_blocks)
        for sequence in sequences:
            limit = min(MAX_DRAFTS, sequence.max_tokens - sequence.n_output - 1)
            held = self.blocks.places_left(sequence)
            if limit > held:
                limit, spare = (limit, spare - 1) if spare else (held, 0)
            limits.append(limit)
        return limits

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
