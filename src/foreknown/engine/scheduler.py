"""Decides which tokens of which sequences the next step computes.

Knows nothing of programs and texts, and looks at no clock but the time it is given, so a
forecast can run it ahead of time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from collections.abc import Sequence as Tokens
from math import inf
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from foreknown.engine.block_manager import Found
from foreknown.engine.chunk import (
    Chunk,
    Limits,
    Order,
    P,
    Room,
    decoding_shape,
    next_token,
    shape_of,
)
from foreknown.engine.chunking import Chunking
from foreknown.engine.draft import Drafter
from foreknown.engine.fair_turns import FairTurns
from foreknown.engine.pace import Pace
from foreknown.engine.progress import PROMISED, UNPROMISED, Progress, SequenceState
from foreknown.engine.speculation import most_drafts
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import StepShape

COUNTED_OUTPUT = 256
"""Tokens that an output is counted as at most, when turns are given: few use all they may."""

_order = attrgetter("order")


_P = TypeVar("_P", bound=Progress, contravariant=True)


class Blocks(Protocol[_P]):
    """Who lends blocks of state to sequences; see `BlockManager`."""

    @property
    def n_free(self) -> int: ...
    def find(self, sequence: _P) -> Found | None: ...
    def allocate(self, sequence: _P, found: Found) -> None: ...
    def append(self, sequence: _P) -> None: ...
    def trim(self, sequence: _P) -> None: ...
    def free(self, sequence: _P) -> None: ...
    def register(self, sequence: _P) -> None: ...
    def register_tail(self, sequence: _P, n_tokens: int) -> None: ...


class Drafts(Protocol[P]):
    """Who guesses tokens; see `Speculation`."""

    @property
    def has_credit(self) -> bool: ...
    def look(self, sequences: list[P]) -> list[tuple[int, Drafter]]: ...
    def depths(
        self, drafters: list[Drafter], limits: list[int], n_plain: int, room: int
    ) -> list[int]: ...


class Scheduler(Generic[P]):
    """Everybody in turn.

    Each step: one token of every decoding sequence, drafts of what may follow it where that is
    worth it, then prompts in chunks while there is room.
    A sequence starts when there are blocks for all it has so far; if blocks run out later, the
    running one whose turn comes last gives its own back, waits, and is computed again. Nobody
    overtakes whoever waits, and a newcomer's turn is never before that of one who started: so
    the first in order always advances and every sequence finishes.

    Those who were promised a time come first, in the order in which it is due, and take whatever
    the others hold. Where both are there, the others have a part in a step only as long as the
    time that this costs is time to spare: so nobody without a promise can break one.

    Args:
        max_tokens: tokens of the largest step.
        max_rows: rows of logits of the largest step, so also sequences at once.
        speculation: gives drafts; None: there are none.
        chunking: says how long prompts may make a step; None: as long as there is room.
        step_seconds: what a step takes, as forecast; None: promises are made to nobody.

    Attributes:
        waiting: in order.
        running: in order.
        followers: by the number of another sequence, those who wait for it to compute the prompt
            that they share.
        n_decoding: sequences that the last step computed one token of, and its drafts.
        is_pressed: whether what was promised has held back somebody's tokens in the last step.
        spare_s: seconds by which all that was promised may come later, and is still in time.
    """

    def __init__(
        self,
        blocks: Blocks[P],
        max_tokens: int,
        max_rows: int,
        speculation: Drafts[P] | None = None,
        chunking: Chunking | None = None,
        step_seconds: Callable[[StepShape], float] | None = None,
    ) -> None:
        self.blocks = blocks
        self.max_tokens = max_tokens
        self.max_rows = max_rows
        self.max_running = min(max_rows, max_tokens)
        self.speculation = speculation
        self.chunking = chunking
        self.step_seconds = step_seconds
        self.pace = Pace[P](step_seconds, chunking)
        self.spare_s = inf
        self.is_pressed = False
        self.turns = FairTurns()
        self.waiting: list[P] = []
        self.running: list[P] = []
        self.followers: dict[int, list[P]] = {}
        self.n_decoding = 0
        self.n_preemptions = 0
        self._drafted: list[P] = []

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def n_waiting(self) -> int:
        """Sequences that do not run yet, or not now."""
        return len(self.waiting) + sum(map(len, self.followers.values()))

    def add(self, sequence: P, followers: Tokens[P] = ()) -> None:
        """Queue a sequence, and others of the same prompt that wait until it has computed it."""
        if not self.has_work:
            self.turns.restart()
        for one in (sequence, *followers):
            one.order = self._order(one)
        insort(self.waiting, sequence, key=_order)
        if followers:
            self.followers[sequence.number] = list(followers)

    def take_over(self, sequence: P, followers: Tokens[P] = ()) -> None:
        """Go on with a sequence that was scheduled elsewhere, where it stood there."""
        queue = self.running if sequence.state is SequenceState.RUNNING else self.waiting
        insort(queue, sequence, key=_order)
        self.turns.pass_over(sequence.order[1])
        if followers:
            self.followers[sequence.number] = list(followers)

    def schedule(self, now_ns: int) -> list[Chunk[P]]:
        """The chunks of the next step; empty if there is nothing to do.

        Args:
            now_ns: the time, for policies that need it.
        """
        chunks: list[Chunk[P]] = []
        room = Room(self.max_tokens, self.max_rows)
        self.n_decoding = 0
        self.is_pressed = False
        if self.is_mixed:
            self._fill(chunks, room, now_ns, PROMISED)
            self._fill_spare(chunks, room)
        else:
            self._fill(chunks, room, now_ns)
        while self.running and not chunks:
            # All who run wait for others, who wait for blocks.
            self._preempt(self.running[-1])
            self._start_waiting(chunks, room)
        return chunks

    @property
    def has_promised(self) -> bool:
        """Whether anybody here was promised a time."""
        running, waiting = self.running, self.waiting
        return bool((running and running[0].is_promised) or (waiting and waiting[0].is_promised))

    @property
    def is_mixed(self) -> bool:
        """Whether some were promised a time and others were not."""
        running, waiting = self.running, self.waiting
        return self.has_promised and bool(
            (running and not running[-1].is_promised) or (waiting and not waiting[-1].is_promised)
        )

    def settle(self) -> None:
        """Take back the blocks that only drafts needed; after every step, even a failed one."""
        for sequence in self._drafted:
            self.blocks.trim(sequence)
        self._drafted.clear()

    def prompt_computed(self, sequence: P) -> None:
        """Remember a running sequence's prompt, and let those go on who waited for it."""
        n_prompt = sequence.n_prompt
        self.blocks.register(sequence)
        self.blocks.register_tail(sequence, n_prompt)
        # Whoever has the same prompt computes its last token at least.
        self.blocks.register_tail(sequence, n_prompt - 1)
        for follower in self.followers.pop(sequence.number, ()):
            follower.follow(sequence)
            insort(self.waiting, follower, key=_order)

    def finish(self, sequence: P) -> None:
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

    def withdraw(self, sequence: P) -> None:
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
            if not sequence.is_promised:
                self.turns.leave(sequence.user)

    def put_back(self, sequence: P) -> None:
        """Queue a sequence again that was withdrawn."""
        insort(self.waiting, sequence, key=_order)

    def _leave_leader(self, sequence: P) -> None:
        for leader, followers in self.followers.items():
            if sequence in followers:
                followers.remove(sequence)
                if not followers:
                    del self.followers[leader]
                return

    def _order(self, sequence: P) -> Order:
        """A newcomer's place."""
        if sequence.commitment is not None:
            return PROMISED, sequence.commitment.order_ns, sequence.number
        return UNPROMISED, self.turns.queue(sequence.user, _cost(sequence)), sequence.number

    def _fill(
        self, chunks: list[Chunk[P]], room: Room, now_ns: int, rank: int | None = None
    ) -> None:
        """Let everybody have a part in a step, or all of one rank."""
        decoding, prompts = self._decode(rank)
        limits: Limits = ()
        if self.has_promised:
            limits, n_may = self.pace.limits(decoding, now_ns)
            self.is_pressed |= n_may < len(decoding)
            del decoding[n_may:]
        chunks += decoding
        self.n_decoding += len(decoding)
        room.take(len(decoding), len(decoding))
        if prompts or self.waiting:
            room.prompt_tokens = self._prompt_tokens(decoding, _start(prompts), room.tokens)
            room.limits = limits
        may_draft = rank is None and decoding and not self.pace.is_near(len(decoding), limits)
        if may_draft and self.speculation and self.speculation.has_credit:
            self._add_drafts(chunks, self.speculation, room)
        self._add_prompts(chunks, prompts, room, rank)
        if limits and len(chunks) > len(decoding):
            self.is_pressed |= room.prompt_tokens <= 0 < room.tokens

    def _fill_spare(self, chunks: list[Chunk[P]], room: Room) -> None:
        """Let those who were promised nothing have a part, as far as there is time to spare."""
        assert self.step_seconds is not None
        before_s = self.step_seconds(shape_of(chunks))
        decoding, prompts = self._decode(UNPROMISED)
        decoding = decoding[: min(room.tokens, room.rows)]
        spent_s = self.step_seconds(shape_of([*chunks, *decoding])) - before_s
        if spent_s > self.spare_s:
            return
        chunks += decoding
        self.n_decoding += len(decoding)
        room.take(len(decoding), len(decoding))
        if self.chunking is not None:
            most = self.chunking.most(decoding_shape(chunks), _start(prompts), room.tokens)
            room.prompt_tokens = self.pace.affordable(chunks, most, before_s + self.spare_s)
        room.limits = ()
        self._add_prompts(chunks, prompts, room, UNPROMISED)
        self.spare_s -= self.step_seconds(shape_of(chunks)) - before_s

    def _prompt_tokens(self, decoding: list[Chunk[P]], start: int, room: int) -> int:
        """How many tokens of prompts, from a position on, those who decode bear in a step.

        Those who were promised a time bear what it leaves them, which is looked at for each prompt,
        all others what keeps their gaps short.
        """
        if self.chunking is None or self.has_promised:
            return room
        return self.chunking.most(shape_of(decoding), start, room)

    def _decode(self, rank: int | None) -> tuple[list[Chunk[P]], list[P]]:
        """A token of everyone who decodes; and who has more than one to compute."""
        chunks, prompts = [], []
        for sequence in tuple(self.running):
            if rank is not None and sequence.order[0] != rank:
                continue
            n_tokens = sequence.n_tokens
            n_pending = n_tokens - sequence.n_computed
            if n_pending > 1:
                prompts.append(sequence)
            if n_pending != 1 or sequence.state is not SequenceState.RUNNING:
                continue
            if n_tokens > sequence.n_blocks * BLOCK_TOKENS and not self._append_block(sequence):
                continue
            chunks.append(next_token(sequence))
        return chunks, prompts

    def _add_drafts(self, chunks: list[Chunk[P]], speculation: Drafts[P], room: Room) -> None:
        """Give decoding sequences what drafts they may have at nobody's expense.

        Half of the step's room is left to prompts, and a row to each sequence that may run.
        """
        promising = speculation.look([chunk.sequence for chunk in chunks])
        if not promising:
            return
        may_run = min(self.max_running, len(self.running) + len(self.waiting))
        most = min(room.prompt_tokens // 2, room.tokens // 2, self.max_rows - may_run)
        of_each = most_drafts(len(chunks))
        limits = self._draft_limits([chunks[index].sequence for index, _ in promising], of_each)
        drafters = [drafter for _, drafter in promising]
        depths = speculation.depths(drafters, limits, len(chunks), max(most, 0))
        for (index, drafter), n_drafts in zip(promising, depths, strict=True):
            sequence = chunks[index].sequence
            if n_drafts > sequence.places_left:
                self.blocks.append(sequence)
                self._drafted.append(sequence)
            chunks[index] = Chunk(sequence, 1, drafter.propose(n_drafts))
            room.take(n_drafts, n_drafts)

    def _draft_limits(self, sequences: list[P], most: int) -> list[int]:
        """For each sequence, drafts that neither its end nor a want of blocks makes useless.

        Whoever waits is waiting for blocks: then drafts get no more than what is held anyway.
        """
        limits, spare = [], 0 if self.waiting else self.blocks.n_free
        for sequence in sequences:
            limit = min(most, sequence.max_tokens - sequence.n_output - 1)
            held = sequence.places_left
            if limit > held:
                limit, spare = (limit, spare - 1) if spare else (held, 0)
            limits.append(limit)
        return limits

    def _add_prompts(
        self, chunks: list[Chunk[P]], prompts: list[P], room: Room, rank: int | None
    ) -> None:
        for sequence in prompts:
            if sequence.state is SequenceState.RUNNING:
                self._add_chunk(chunks, sequence, room)
        self._start_waiting(chunks, room, rank)

    def _add_chunk(self, chunks: list[Chunk[P]], sequence: P, room: Room) -> None:
        """As much of a sequence's prompt as there is room for; a lone token spoils nothing."""
        n_pending = sequence.n_pending
        n_tokens = min(n_pending, room.tokens, max(room.prompt_tokens, n_pending == 1))
        if sequence.reads_each:
            n_tokens = n_rows = min(n_tokens, room.rows)
        elif room.rows:
            n_rows = 1
        else:  # not to its end
            n_tokens, n_rows = min(n_tokens, n_pending - 1), 0
        if n_tokens > 1 and room.limits:
            n_within = self.pace.within(chunks, sequence, n_tokens, room.limit_s(sequence.order))
            if n_within < n_tokens:
                n_tokens = room.prompt_tokens = n_within
                n_rows = n_tokens if sequence.reads_each else 0
        if n_tokens > 0:
            chunks.append(Chunk(sequence, n_tokens))
            room.take(n_tokens, n_rows)

    def _start_waiting(self, chunks: list[Chunk[P]], room: Room, rank: int | None = None) -> None:
        while self.waiting and room.tokens and room.rows:
            sequence = self.waiting[0]
            if rank is not None and sequence.order[0] != rank:
                break
            found = self._find(sequence, room)
            if found is None:
                break
            if room.prompt_tokens <= 0 and sequence.n_tokens - found.n_tokens > 1:
                break
            self.waiting.pop(0)
            self.blocks.allocate(sequence, found)
            if not sequence.has_started:
                sequence.has_started = True
                if not sequence.is_promised:
                    self.turns.start(sequence.user, sequence.order[1], _cost(sequence))
            sequence.state = SequenceState.RUNNING
            insort(self.running, sequence, key=_order)
            self._add_chunk(chunks, sequence, room)

    def _find(self, sequence: P, room: Room) -> Found | None:
        """What is there of a waiting sequence; None if it cannot start now.

        Whoever was promised a time starts in the place of those who were not.
        """
        while True:
            found = self.blocks.find(sequence) if len(self.running) < self.max_running else None
            if found is not None or (room.prompt_tokens <= 0 and sequence.n_tokens > 1):
                return found
            if not sequence.is_promised or not self.running or self.running[-1].is_promised:
                return None
            self._preempt(self.running[-1])

    def _append_block(self, sequence: P) -> bool:
        """One more block for a sequence; False if it was itself the last in order and gave way."""
        while not self.blocks.n_free:
            last = self.running[-1]
            self._preempt(last)
            if last is sequence:
                return False
        self.blocks.append(sequence)
        return True

    def _preempt(self, sequence: P) -> None:
        self._stop(sequence)
        insort(self.waiting, sequence, key=_order)
        self.n_preemptions += 1

    def _stop(self, sequence: P) -> None:
        """Take back what a running sequence holds; all its tokens are to be computed again."""
        self.running.remove(sequence)
        self.blocks.free(sequence)
        sequence.restart()


def _start(prompts: list[P]) -> int:
    """Where prompts go on; whoever waits is computed from the beginning."""
    return prompts[0].n_computed if prompts else 0


def _cost(sequence: Progress) -> int:
    """Tokens that it may take to compute; a prompt that others share counts once."""
    n_output = min(sequence.max_tokens, COUNTED_OUTPUT)
    return (sequence.n_prompt if sequence.asks else 1) + sequence.n_beams * n_output
