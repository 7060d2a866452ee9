"""Says what can be promised: runs the scheduler ahead with everything that was promised already.

A promise is made if, in that run, at greatest lengths and on a machine as slow as it may be of
late, it and all earlier ones are kept. Those who were promised nothing are left out: they live on
the time that is left, which the run gives too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from foreknown.engine.block_count import BlockCount
from foreknown.engine.chunking import Chunking
from foreknown.engine.drift import Drift
from foreknown.engine.neighbours import Elsewhere, Outstanding
from foreknown.engine.promises import (
    MS,
    Commitment,
    Foreseen,
    NotPromised,
    Objective,
    committed,
)
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.snapshot import Capacity, Snapshot
from foreknown.engine.virtual_engine import VirtualEngine
from foreknown.plan.price import StepShape, decode_shape

GRAINS = 6
"""Leaps, about, in which all who decode come to their ends when something is to be promised: fewer
leaps are decided sooner, and margins cover what they do not show."""

STEPS_EARLY, STEPS_EARLY_OF_OTHERS = 2, 1
"""Of decode tokens: tokens come at the ends of steps, requests in the midst of them. What was
promised already may lose one of them to those who come later."""


class Granted(NamedTuple):
    """A promise that can be made.

    Attributes:
        commitment: when it is due.
        spare_s: seconds by which everything may come later then.
    """

    commitment: Commitment
    spare_s: float


class _Trial(NamedTuple):
    """What came of a run with newcomers.

    Attributes:
        commitment: that they had.
        newcomers: as they ended.
        late_s: seconds by which they would come too late; negative: by how much they are early.
        others_late_s: the same of all others.
        orders: theirs.
        allowance_s: that the newcomers were given.
    """

    commitment: Commitment
    newcomers: Sequence[Rehearsed]
    late_s: float
    others_late_s: float
    orders: Sequence[int]
    allowance_s: float

    @property
    def is_kept(self) -> bool:
        return self.late_s <= 0 >= self.others_late_s


class PromiseBook:
    """Makes promises for one engine.

    Args:
        step_seconds: what a step takes, as forecast.
        chunking: the engine's own.
        drift: how far to trust them.
        look: takes a snapshot of where the engine stands after the step it is in, which takes so
            many times longer than forecast; a run spends it, so each has its own.
        elsewhere: what is outstanding on other engines of this machine.
    """

    def __init__(
        self,
        capacity: Capacity,
        step_seconds: Callable[[StepShape], float],
        chunking: Chunking,
        drift: Drift,
        look: Callable[[float], Snapshot],
        elsewhere: Callable[[], Elsewhere] = Elsewhere,
    ) -> None:
        self._capacity, self._step_seconds = capacity, step_seconds
        self._chunking, self._drift, self._look = chunking, drift, look
        self._elsewhere = elsewhere

    def commit(self, newcomers: Sequence[Rehearsed], objective: Objective) -> Granted:
        """Promise what is asked for.

        Those who were promised something are served in the order in which it is due. If that is too
        late for a newcomer it may come before all of them, and if this is too early for others,
        after all of them.

        Args:
            newcomers: the answers of one request, the first of which computes the prompt.

        Raises:
            NotPromised: not without breaking it or another promise.
        """
        first = newcomers[0]
        wanted = committed(objective, first.arrival_ns, whole=first.comes_whole)
        elsewhere = self._elsewhere()
        trial = self._try(newcomers, wanted, elsewhere)
        trials = [trial]
        for order_ns in _places(trial):
            if trial.is_kept:
                break
            trial = self._try(newcomers, wanted._replace(order_ns=order_ns), elsewhere)
            trials.append(trial)
        if not trial.is_kept:
            raise self._refusal(newcomers, objective, trials, elsewhere)
        return Granted(trial.commitment, -max(trial.late_s, trial.others_late_s))

    def outstanding(self) -> Outstanding | None:
        """What was promised and has not come to its end; None: nothing."""
        snapshot = self._look(self._drift.slowest)
        if not (promised := _promised(snapshot)):
            return None
        allowance_s = self._allowance_s(len(snapshot.sequences), STEPS_EARLY_OF_OTHERS)
        every = self._run(snapshot, promised)
        return Outstanding(-_late_s(every, allowance_s), _work_s(snapshot, every))

    def spare_s(self) -> float:
        """Seconds by which everything that was promised, here and on other engines, may come later
        and still be kept."""
        own, others = self.outstanding(), self._elsewhere().each
        return -Elsewhere(others if own is None else (own, *others)).late_s()

    def foresee(self, newcomers: Sequence[Rehearsed]) -> Foreseen:
        """What a request takes among all that run and wait, at greatest lengths."""
        ratio = self._drift.ratio
        snapshot = self._look(ratio)
        copies = [one.again() for one in newcomers]
        self._run(snapshot, snapshot.sequences, copies, slower=ratio, grains=math.inf)
        return self._foreseen(copies, self._alone(newcomers, ratio))

    def _allowance_s(self, n_running: int, n_steps: int = STEPS_EARLY) -> float:
        """Seconds that promises add: for what is lost at once, and for steps that begin midway."""
        n_rows = min(n_running + 1, self._capacity.max_rows)
        return self._drift.allowance_s + n_steps * self._drift.ratio * self._decode_s(n_rows)

    def _decode_s(self, n_rows: int) -> float:
        """What a step of decode tokens takes as forecast, where they are half of the way."""
        return self._step_seconds(decode_shape(n_rows, self._capacity.context / 2))

    def _try(
        self, newcomers: Sequence[Rehearsed], commitment: Commitment, elsewhere: Elsewhere
    ) -> _Trial:
        copies = [one.wanting(commitment) for one in newcomers]
        snapshot = self._look(self._drift.slowest)
        n_running, promised = len(snapshot.sequences), _promised(snapshot)
        orders = [one.order[1] for one in promised]
        others = self._run(snapshot, promised, copies)
        allowance_s = self._allowance_s(n_running) + elsewhere.work_s
        others_allowance_s = self._allowance_s(n_running, STEPS_EARLY_OF_OTHERS)
        others_late_s = max(
            _late_s(others, others_allowance_s + elsewhere.work_s),
            elsewhere.late_s(_work_s(snapshot, [*others, *copies])),
        )
        late_s = _late_s(copies, allowance_s)
        return _Trial(commitment, copies, late_s, others_late_s, orders, allowance_s)

    def _refusal(
        self,
        newcomers: Sequence[Rehearsed],
        objective: Objective,
        trials: Sequence[_Trial],
        elsewhere: Elsewhere,
    ) -> NotPromised:
        """Why something was not promised; what could be is what a trial has that spares others."""
        alone = self._alone(newcomers, self._drift.slowest, trials[0].commitment)
        harmless = [trial for trial in trials if trial.others_late_s <= 0]
        allowance_ms, wait_ms = 1e3 * trials[-1].allowance_s, 0.0
        if harmless:
            told = min((t.newcomers for t in harmless), key=lambda t: max(o.total_ms for o in t))
            earliest = self._foreseen(told, alone, allowance_ms)
        else:  # its rows would slow others too much: it could come after they have ended
            snapshot = self._look(self._drift.slowest)
            others = self._run(snapshot, _promised(snapshot))
            begin_ns = alone[0].arrival_ns
            end_ns = max((one.last_ns for one in others), default=begin_ns)  # all may be through
            wait_ms = (end_ns - begin_ns) / MS
            earliest = self._foreseen(alone, alone, allowance_ms, wait_ms)
            wait_ms += 1e3 * elsewhere.work_s
        calm = self._calm(newcomers, trials[0].commitment)
        forgotten_ms = 0.0
        if _late_s(alone, trials[-1].allowance_s) > 0:
            forgotten_ms = 1e3 * self._drift.forgotten_s(newcomers[0].arrival_ns / 1e9)
        return NotPromised(objective, earliest, calm, wait_ms, forgotten_ms)

    def _calm(self, newcomers: Sequence[Rehearsed], commitment: Commitment) -> Foreseen:
        """What could be promised if nobody else was there and the machine was as calibrated."""
        margin, stall_s = self._drift.calm
        alone = self._alone(newcomers, 1 + margin, commitment)
        return self._foreseen(alone, alone, 1e3 * (stall_s + STEPS_EARLY * self._decode_s(1)))

    def _foreseen(
        self,
        told: Sequence[Rehearsed],
        alone: Sequence[Rehearsed],
        allowance_ms: float = 0.0,
        later_ms: float = 0.0,
    ) -> Foreseen:
        """The worst of a request's answers.

        Args:
            allowance_ms: to be safe.
            later_ms: how much later than they would end they begin.
        """
        total_ms = max(one.total_ms for one in told) + allowance_ms + later_ms
        margin = 1 + self._drift.margin
        return Foreseen(
            ttft_ms=max(one.ttft_ms for one in told) + allowance_ms + later_ms,
            tpot_ms=max(_pace_ms(one, allowance_ms) for one in told),
            total_ms=total_ms,
            low_ms=min(max(one.total_ms for one in alone) / margin, total_ms),
            high_ms=total_ms * margin + self._drift.allowance_s * 1e3,
        )

    def _alone(
        self, newcomers: Sequence[Rehearsed], slower: float, commitment: Commitment | None = None
    ) -> list[Rehearsed]:
        """The newcomers as they would end on an idle machine."""
        copies = [one.wanting(commitment) for one in newcomers]
        self._run(Snapshot(copies[0].arrival_ns), (), copies, slower=slower)
        return copies

    def _run(
        self,
        snapshot: Snapshot,
        sequences: Sequence[Rehearsed],
        newcomers: Sequence[Rehearsed] = (),
        *,
        slower: float | None = None,
        grains: float = GRAINS,
    ) -> list[Rehearsed]:
        """Run some of those in a snapshot to their ends, and newcomers from their arrival on.

        Args:
            slower: how many times longer than forecast steps take; None: as long as they may.
            grains: leaps, about, in which all who decode come to their ends; infinite: as many as
                there are ends, so that each is told exactly.

        Returns:
            the former and their followers, ended, as are the newcomers.
        """
        factor = self._drift.slowest if slower is None else slower
        price = self._step_seconds

        def step_seconds(shape: StepShape) -> float:
            return factor * price(shape)

        n_held = sum(one.n_blocks for one in sequences)
        n_free = max(self._capacity.n_blocks - n_held, 0)
        blocks = BlockCount(n_free, tails=self._capacity.tails)
        scheduler = Scheduler[Rehearsed](
            blocks,
            self._capacity.max_tokens,
            self._capacity.max_rows,
            chunking=self._chunking,
            step_seconds=step_seconds,
        )
        every = list(sequences)
        for one in sequences:
            followers = snapshot.followers.get(one.number, ())
            scheduler.take_over(one, followers)
            every += followers
        left = max((one.longest - one.n_tokens for one in (*sequences, *newcomers)), default=0)
        engine = VirtualEngine(
            scheduler, blocks, step_seconds, snapshot.now_ns, grain=int(left // grains)
        )
        if newcomers:
            engine.run(newcomers[0].arrival_ns)
            scheduler.add(newcomers[0], newcomers[1:])
        engine.run()
        return every


def _work_s(snapshot: Snapshot, ended: Sequence[Rehearsed]) -> float:
    """Seconds from a snapshot on until all have ended."""
    last_ns = max((one.last_ns for one in ended), default=snapshot.now_ns)
    return max(last_ns - snapshot.now_ns, 0) / 1e9


def _promised(snapshot: Snapshot) -> list[Rehearsed]:
    return [one for one in snapshot.sequences if one.is_promised]


def _places(trial: _Trial) -> Iterator[int]:
    """Where newcomers may be served instead: before all others, if they were late; after them, if
    these were."""
    own = trial.commitment.order_ns
    if trial.orders and trial.late_s > 0 and own >= min(trial.orders):
        yield min(trial.orders) - 1
    if trial.orders and trial.others_late_s > 0:
        yield max(*trial.orders, own) + 1


def _pace_ms(one: Rehearsed, allowance_ms: float) -> float:
    """From one token to the next, whenever the answer ends; safe if it is whole."""
    n_gaps = max(one.max_tokens - 1, 1)
    return max(one.tpot_ms + (allowance_ms / n_gaps if one.tpot_ms else 0.0), one.slowest_ns / MS)


def _late_s(sequences: Sequence[Rehearsed], allowance_s: float) -> float:
    """Seconds by which the latest of them is too late; negative: all may come later by so much."""
    return -min((one.spare_s(allowance_s) for one in sequences), default=math.inf)
