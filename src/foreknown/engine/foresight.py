"""What the engine says of requests that have not come, and keeps for those it promised a time.

Everything here may be asked from any thread: a copy of where the scheduler stands is taken under
the engine's lock, in microseconds, and run ahead outside of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence as Chunks
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NamedTuple

from foreknown.engine.chunk import Chunk, shape_of
from foreknown.engine.clock import Clock
from foreknown.engine.drift import Drift
from foreknown.engine.neighbours import LOOK_AGAIN_NS, Elsewhere, Outstanding
from foreknown.engine.progress import PROMISED
from foreknown.engine.promise_book import Granted, PromiseBook
from foreknown.engine.promises import Commitment, Foreseen, Objective, committed
from foreknown.engine.rehearsed import Rehearsed, rehearsed
from foreknown.engine.request import Request
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.engine.snapshot import Capacity, Snapshot, take_snapshot
from foreknown.plan.price import Price

_FIRST_NUMBER = 1 << 40
"""Of those who have not come yet: behind all who have."""


@dataclass
class InStep:
    """The step that the engine is in; no chunks: none."""

    chunks: Chunks[Chunk[Sequence]] = ()
    start_ns: int = 0


class _Expected(NamedTuple):
    """A request that was promised a time and has not come yet; its answers, and when they begin."""

    newcomers: list[Rehearsed]
    begin_ns: int


class Foresight:
    """An engine's view of what is to come.

    Args:
        lock: guards the scheduler and everything here.
        in_step: kept up to date by the engine.
        price: what steps take, as forecast.
        drift: how far that is from what they take.

    Attributes:
        neighbours: of other engines that take their steps in turns with this one.
    """

    def __init__(
        self,
        scheduler: Scheduler[Sequence],
        capacity: Capacity,
        price: Price,
        drift: Drift,
        clock: Clock,
        lock: threading.Lock,
        in_step: InStep,
    ) -> None:
        assert scheduler.chunking is not None
        self._scheduler, self._price, self._drift = scheduler, price, drift
        self._clock, self._lock, self._in_step = clock, lock, in_step
        self._book = PromiseBook(
            capacity, price.seconds, scheduler.chunking, drift, self._snapshot, self._elsewhere
        )
        self.neighbours: tuple[Foresight, ...] = ()
        self._expected: dict[str, _Expected] = {}
        self._numbers = count(_FIRST_NUMBER)
        self._look_again_ns = 0
        self._step_end_ns = 0  # as it was told when somebody looked last

    @property
    def n_expected(self) -> int:
        """Requests that were promised a time and have not come yet."""
        return len(self._expected)

    def foresee(self, request: Request, n_prompt: int, max_tokens: int) -> Foreseen:
        """What a request would take if it came now."""
        newcomers = self._newcomers(request, n_prompt, max_tokens)
        if request.objective is not None:
            first = newcomers[0]
            commitment = committed(request.objective, first.arrival_ns, whole=first.comes_whole)
            newcomers = [one.wanting(commitment) for one in newcomers]
        return self._book.foresee(newcomers)

    def promised(
        self, request: Request, objective: Objective, n_prompt: int, max_tokens: int
    ) -> tuple[list[Rehearsed], Granted]:
        """A request's answers, and what could be promised for them; nothing is kept.

        Raises:
            NotPromised: nothing could.
        """
        newcomers = self._newcomers(request, n_prompt, max_tokens)
        return newcomers, self._book.commit(newcomers, objective)

    def reserve(
        self, request: Request, objective: Objective, n_prompt: int, max_tokens: int
    ) -> None:
        """Keep the time that a request needs.

        Raises:
            NotPromised: there is none, or not in time.
        """
        newcomers, granted = self.promised(request, objective, n_prompt, max_tokens)
        order = (PROMISED, granted.commitment.order_ns)
        for one in newcomers:
            one.commitment, one.order = granted.commitment, (*order, one.number)
        with self._lock:
            begin_ns = max(newcomers[0].arrival_ns, self._step_end_ns)
            self._expected[request.id] = _Expected(newcomers, begin_ns)
            self._scheduler.spare_s = granted.spare_s
        for neighbour in self.neighbours:
            neighbour.spare_at_most(granted.spare_s)

    def spare_at_most(self, spare_s: float) -> None:
        """Another engine has promised something that leaves so much time to spare."""
        with self._lock:
            self._scheduler.spare_s = min(self._scheduler.spare_s, spare_s)

    def expects(self, request_id: str) -> bool:
        """Whether a request was promised a time and has not come yet."""
        return request_id in self._expected

    def commitment(self, request_id: str) -> Commitment | None:
        """What was promised to a request that is about to come."""
        expected = self._expected.get(request_id)
        return None if expected is None else expected.newcomers[0].commitment

    def take(self, request_id: str) -> None:
        """A request comes: whoever holds the engine's lock has given it to the scheduler."""
        expected = self._expected.pop(request_id, None)
        if expected is not None:
            now_ns = self._clock.now_ns()
            self._drift.entry_s.see(max(now_ns - expected.begin_ns, 0) / 1e9, now_ns / 1e9)

    def release(self, request_id: str) -> None:
        """Forget a request that does not come; nothing happens if nothing was promised to it."""
        with self._lock:
            self._expected.pop(request_id, None)

    def outstanding(self) -> Outstanding | None:
        """What was promised here and has not come to its end; None: nothing."""
        return self._book.outstanding()

    def _elsewhere(self) -> Elsewhere:
        found = (one.outstanding() for one in self.neighbours)
        return Elsewhere(tuple(one for one in found if one is not None))

    def step_end_ns(self) -> int:
        """When the step that runs here ends at the latest; 0: none does."""
        with self._lock:
            return self._end_ns(self._drift.slowest)

    def _end_ns(self, slower: float) -> int:
        step = self._in_step
        if not step.chunks:
            return 0
        took_s = self._price.seconds(shape_of(step.chunks)) * slower
        return step.start_ns + round(took_s * 1e9)

    def look_again(self, now_ns: int) -> None:
        """See what is to spare for those who were promised nothing, if it is time to."""
        if not self._scheduler.is_mixed or now_ns < self._look_again_ns:
            return
        spare_s = self._book.spare_s()
        took_ns = self._clock.now_ns() - now_ns
        with self._lock:
            self._scheduler.spare_s = spare_s
        self._look_again_ns = now_ns + max(LOOK_AGAIN_NS, 20 * took_ns)

    def _newcomers(self, request: Request, n_prompt: int, max_tokens: int) -> list[Rehearsed]:
        """A request's answers; the first computes the prompt that all share."""
        n_answers = request.samples if request.beams is None else request.beams.width
        arrival_ns = self._clock.now_ns()
        self._drift.forget(arrival_ns / 1e9)
        each = request.embed == "mean" or request.prompt_logprobs is not None
        newcomers = [
            Rehearsed(
                next(self._numbers),
                n_prompt,
                max_tokens,
                arrival_ns,
                user=request.user,
                reads_each=each and i == 0,
                comes_whole=request.beams is not None,
            )
            for i in range(n_answers)
        ]
        for one in newcomers[1:]:
            one.asks = False
        return newcomers

    def _snapshot(self, slower: float) -> Snapshot:
        """Where the scheduler stands when its step is done, which takes so many times longer than
        forecast."""
        others_ns = max((one.step_end_ns() for one in self.neighbours), default=0)
        with self._lock:
            now_ns = self._clock.now_ns()
            self._step_end_ns = end_ns = max(now_ns, others_ns, self._end_ns(slower))
            return take_snapshot(
                self._scheduler,
                partial(_copy, now_ns=now_ns),
                now_ns=end_ns,
                in_step=self._in_step.chunks,
                expected=[one.again() for own in self._expected.values() for one in own.newcomers],
            )


def _copy(sequence: Sequence, now_ns: int) -> Rehearsed:
    """A sequence to be run ahead; of a promise that is broken already no more is expected."""
    copy = rehearsed(sequence, sequence.arrival_ns, sequence.first_ns)
    commitment = copy.commitment
    if commitment is not None and _is_broken(commitment, copy, now_ns):
        copy.commitment = None
    return copy


def _is_broken(commitment: Commitment, one: Rehearsed, now_ns: int) -> bool:
    late = commitment.last_ns is not None and now_ns > commitment.last_ns
    if one.first_ns < 0:
        return late or (commitment.first_ns is not None and now_ns > commitment.first_ns)
    if commitment.pace_ns is not None:  # the next token would be too late already
        late |= now_ns - one.first_ns > commitment.pace_ns * one.n_output
    return late
