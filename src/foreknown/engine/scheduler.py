"""Decides which tokens of which sequences the next step computes.

Knows nothing of programs and texts, and looks at no clock but the time it is given, so a
forecast can run it ahead of time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence as Tokens
from operator import attrgetter
from typing import NamedTuple

from foreknown.engine.block_manager import BlockManager
from foreknown.engine.chunking import Chunking
from foreknown.engine.fair_turns import FairTurns
from foreknown.engine.sequence import Sequence, SequenceState
from foreknown.engine.speculation import MAX_DRAFTS, Speculation

COUNTED_OUTPUT = 256
"""Tokens that an output is counted as at most, when turns are given: few use all they may."""

_order = attrgetter("order")


class Chunk(NamedTuple):
    """The next `n_tokens` pending tokens of a sequence, and guesses of those that follow."""

    sequence: Sequence
    n_tokens: int
    drafts: Tokens[int] = ()

    @property
    def gives_token(self) -> bool:
        """Whether the sequence's next token can be chosen after this step."""
        return self.n_tokens == self.sequence.n_pending


class Room:
    """What is left of a step.

    Attributes:
        tokens: of all that it may have.
        prompt_tokens: of those that prompts and drafts may have.
        rows: of logits.
    """

    __slots__ = ("prompt_tokens", "rows", "tokens")

    def __init__(self, tokens: int, rows: int) -> None:
        self.tokens = self.prompt_tokens = tokens
        self.rows = rows

    def take(self, n_tokens: int, n_rows: int) -> None:
        self.tokens -= n_tokens
        self.prompt_tokens -= n_tokens
        self.rows -= n_rows


class Scheduler:
    """Everybody in turn.

    Each step: one token of every decoding sequence, drafts of what may follow it where that is
    worth it, then prompts in chunks while there is room.
    A sequence starts when there are blocks for all it has so far; if blocks run out later, the
    running one whose turn comes last gives its own back, waits, and is computed again. Nobody
    overtakes whoever waits, and a newcomer's turn is never before that of one who started: so
    the first in order always advances and every sequence finishes.

    Args:
        max_tokens: tokens of the largest step.
        max_rows: rows of logits of the largest step, so also sequences at once.
        speculation: gives drafts; None: there are none.
        chunking: says how long prompts may make a step; None: as long as there is room.

    Attributes:
        waiting: in order.
        running: in order.
        followers: by the number of another sequence, those who wait for it to compute the prompt
            that they share.
        n_decoding: sequences that the last step computed one token of, and its drafts.
    """

    def __init__(
        self,
        blocks: BlockManager,
        max_tokens: int,
        max_rows: int,
        speculation: Speculation | None = None,
        chunking: Chunking | None = None,
    ) -> None:
        self.blocks = blocks
        self.max_tokens = max_tokens
        self.max_rows = max_rows
        self.max_running = min(max_rows, max_tokens)
        self.speculation = speculation
        self.chunking = chunking
        self.turns = FairTurns()
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.followers: dict[int, list[Sequence]] = {}
        self.n_decoding = 0
        self.n_preemptions = 0
        self._drafted: list[Sequence] = []

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def n_waiting(self) -> int:
        """Sequences that do not run yet, or not now."""
        return len(self.waiting) + sum(map(len, self.followers.values()))

    def add(self, sequence: Sequence, followers: Tokens[Sequence] = ()) -> None:
        """Queue a sequence, and others of the same prompt that wait until it has computed it."""
        if not self.has_work:
            self.turns.restart()
        for one in (sequence, *followers):
            one.order = (self.turns.queue(one.user, _cost(one)), one.number)
        insort(self.waiting, sequence, key=_order)
        if followers:
            self.followers[sequence.number] = list(followers)

    def schedule(self, now_ns: int) -> list[Chunk]:
        """The chunks of the next step; empty if there is nothing to do.

        Args:
            now_ns: the time, for policies that need it.
        """
        chunks, prompts = self._decode()
        self.n_decoding = len(chunks)
        room = Room(self.max_tokens - len(chunks), self.max_rows - len(chunks))
        if self.chunking is not None and (prompts or self.waiting):
            room.prompt_tokens = self.chunking.most(len(chunks), room.tokens)
        if chunks and self.speculation is not None and self.speculation.has_credit:
            self._add_drafts(chunks, self.speculation, room)
        for sequence in prompts:
            if sequence.state is SequenceState.RUNNING:
                self._add_chunk(chunks, sequence, room)
        self._start_waiting(chunks, room)
        while self.running and not chunks:
            # All who run wait for others, who wait for blocks.
            self._preempt(self.running[-1])
            self._start_waiting(chunks, room)
        return chunks

    def settle(self) -> None:
        """Take back the blocks that only drafts needed; after every step, even a failed one."""
        for sequence in self._drafted:
            self.blocks.trim(sequence)
        self._drafted.clear()

    def prompt_computed(self, sequence: Sequence) -> None:
        """Remember a running sequence's prompt, and let those go on who waited for it."""
        n_prompt = sequence.n_prompt
        self.blocks.register(sequence)
        self.blocks.register_tail(sequence, n_prompt)
        # Whoever has the same prompt computes its last token at least.
        self.blocks.register_tail(sequence, n_prompt - 1)
        for follower in self.followers.pop(sequence.number, ()):
            follower.prompt_rows, follower.prompt_logprobs = None, sequence.prompt_logprobs
            insort(self.waiting, follower, key=_order)

    def finish(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is."""
        if sequence.state is SequenceState.FINISHED:
            return
        self.withdraw(sequence)
        sequence.state = SequenceState.FINISHED
        followers = self.followers.pop(sequence.number, None)
        if followers:  # nobody computes the prompt for them: the first of them does
            insort(self.waiting, followers[0], key=_order)
            if followers[1:]:
                self.followers[followers[0].number] = followers[1:]

    def withdraw(self, sequence: Sequence) -> None:
        """Take a sequence out for a while, or one that is out already."""
        if sequence.state is SequenceState.RUNNING:
            self.blocks.register(sequence)
            self.blocks.register_tail(sequence, sequence.n_computed)
            self._stop(sequence)
            return
        place = bisect_left(self.waiting, sequence.order, key=_order)
        if place < len(self.waiting) and self.waiting[place] is sequence:
            self.waiting.pop(place)
        else:
            self._leave_leader(sequence)
        if not sequence.has_started:
            sequence.has_started = True
            self.turns.leave(sequence.user)

    def put_back(self, sequence: Sequence) -> None:
        """Queue a sequence again that was withdrawn."""
        insort(self.waiting, sequence, key=_order)

    def _leave_leader(self, sequence: Sequence) -> None:
        for leader, followers in self.followers.items():
            if sequence in followers:
                followers.remove(sequence)
                if not followers:
                    del self.followers[leader]
                return

    def _decode(self) -> tuple[list[Chunk], list[Sequence]]:
        """A token of everyone who decodes; and who has more than one to compute."""
        chunks, prompts = [], []
        for sequence in tuple(self.running):
            n_pending = sequence.n_tokens - sequence.n_computed
            if n_pending > 1:
                prompts.append(sequence)
            if n_pending != 1 or sequence.state is not SequenceState.RUNNING:
                continue
            if self.blocks.needs_block(sequence) and not self._append_block(sequence):
                continue
            chunks.append(Chunk(sequence, 1))
        return chunks, prompts

    def _add_drafts(self, chunks: list[Chunk], speculation: Speculation, room: Room) -> None:
        """Give decoding sequences what drafts they may have at nobody's expense.

        Half of the step's room is left to prompts, and a row to each sequence that may run.
        """
        promising = speculation.look([chunk.sequence for chunk in chunks])
        if not promising:
            return
        may_run = min(self.max_running, len(self.running) + len(self.waiting))
        most = min(room.prompt_tokens // 2, room.tokens // 2, self.max_rows - may_run)
        limits = self._draft_limits([chunks[index].sequence for index, _ in promising])
        drafters = [drafter for _, drafter in promising]
        depths = speculation.depths(drafters, limits, len(chunks), max(most, 0))
        for (index, drafter), n_drafts in zip(promising, depths, strict=True):
            sequence = chunks[index].sequence
            if n_drafts > self.blocks.places_left(sequence):
                self.blocks.append(sequence)
                self._drafted.append(sequence)
            chunks[index] = Chunk(sequence, 1, drafter.propose(n_drafts))
            room.take(n_drafts, n_drafts)

    def _draft_limits(self, sequences: list[Sequence]) -> list[int]:
        """For each sequence, drafts that neither its end nor a want of blocks makes useless.

        Whoever waits is waiting for blocks: then drafts get no more than what is held anyway.
        """
        limits, spare = [], 0 if self.waiting else self.blocks.n_free
        for sequence in sequences:
            limit = min(MAX_DRAFTS, sequence.max_tokens - sequence.n_output - 1)
            held = self.blocks.places_left(sequence)
            if limit > held:
                limit, spare = (limit, spare - 1) if spare else (held, 0)
            limits.append(limit)
        return limits

    def _add_chunk(self, chunks: list[Chunk], sequence: Sequence, room: Room) -> None:
        """As much of a sequence's prompt as there is room for; a lone token spoils nothing."""
        n_pending = sequence.n_pending
        n_tokens = min(n_pending, room.tokens, max(room.prompt_tokens, n_pending == 1))
        rows = sequence.prompt_rows
        if rows is not None and rows.each:
            n_tokens = n_rows = min(n_tokens, room.rows)
        elif room.rows:
            n_rows = 1
        else:  # not to its end
            n_tokens, n_rows = min(n_tokens, n_pending - 1), 0
        if n_tokens > 0:
            chunks.append(Chunk(sequence, n_tokens))
            room.take(n_tokens, n_rows)

    def _start_waiting(self, chunks: list[Chunk], room: Room) -> None:
        while self.waiting and room.tokens and room.rows and len(self.running) < self.max_running:
            sequence = self.waiting[0]
            found = self.blocks.find(sequence)
            if found is None:
                break
            if room.prompt_tokens <= 0 and sequence.n_tokens - found.n_tokens > 1:
                break
            self.waiting.pop(0)
            self.blocks.allocate(sequence, found)
            if not sequence.has_started:
                sequence.has_started = True
                self.turns.start(sequence.user, sequence.order[0], _cost(sequence))
            sequence.state = SequenceState.RUNNING
            insort(self.running, sequence, key=_order)
            self._add_chunk(chunks, sequence, room)

    def _append_block(self, sequence: Sequence) -> bool:
        """One more block for a sequence; False if it was itself the last in order and gave way."""
        while not self.blocks.n_free:
            last = self.running[-1]
            self._preempt(last)
            if last is sequence:
                return False
        self.blocks.append(sequence)
        return True

    def _preempt(self, sequence: Sequence) -> None:
        self._stop(sequence)
        insort(self.waiting, sequence, key=_order)
        self.n_preemptions += 1

    def _stop(self, sequence: Sequence) -> None:
        """Take back what a running sequence holds; all its tokens are to be computed again."""
        self.running.remove(sequence)
        self.blocks.free(sequence)
        sequence.n_computed = 0
        if sequence.prompt_rows is not None:
            sequence.prompt_rows.restart()
        sequence.state = SequenceState.WAITING


def _cost(sequence: Sequence) -> int:
    """Tokens that it may take to compute; a prompt that others share counts once."""
    width = 1 if sequence.beams is None else sequence.beams.width
    n_output = min(sequence.max_tokens, COUNTED_OUTPUT)
    return (sequence.n_prompt if sequence.asks else 1) + width * n_output
