"""Says what can be promised: runs the scheduler ahead with everything that was promised already.

A promise is made if, in that run, at greatest lengths and on a machine as slow as it may be of
late, it and all earlier ones are kept. Those who were promised nothing are left out: they live on
the time that is left, which the run gives too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from foreknown.engine.block_count import BlockCount
from foreknown.engine.chunking import Chunking
from foreknown.engine.drift import Drift
from foreknown.engine.promises import (
    MS,
    Commitment,
    Foreseen,
    NotPromised,
    Objective,
    Promise,
    committed,
)
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.snapshot import Capacity, Snapshot
from foreknown.engine.virtual_engine import VirtualEngine
from foreknown.plan.price import StepShape

GRAINS = 6
"""Leaps, about, in which all who decode come to their ends."""

STEPS_EARLY = 2
"""Of decode tokens: tokens come at the ends of steps, requests in the midst of them."""


class Granted(NamedTuple):
    """A promise that can be made.

    Attributes:
        commitment: when it is due.
        spare_s: seconds by which everything may come later then.
    """

    commitment: Commitment
    spare_s: float


@dataclass(frozen=True)
class _Trial:
    """What came of a run with newcomers.

    Attributes:
        newcomers: as they ended.
        others: as they ended.
    """

    newcomers: Sequence[Rehearsed]
    others: Sequence[Rehearsed]

    def spare_s(self, allowance_s: float) -> float:
        return min(_spare_s(self.newcomers, allowance_s), _spare_s(self.others, allowance_s))


class PromiseBook:
    """Makes promises for one engine.

    Args:
        step_seconds: what a step takes, as forecast.
        chunking: the engine's own.
        drift: how far to trust them.
    """

    def __init__(
        self,
        capacity: Capacity,
        step_seconds: Callable[[StepShape], float],
        chunking: Chunking,
        drift: Drift,
    ) -> None:
        self._capacity, self._step_seconds = capacity, step_seconds
        self._chunking, self._drift = chunking, drift

    def commit(
        self, snapshot: Snapshot, newcomers: Sequence[Rehearsed], objective: Objective
    ) -> Granted:
        """Promise what is asked for.

        Those who were promised something are served in the order in which it is due. If that is too
        late for a newcomer, it may come before all of them, and if it is too early for others,
        after all of them.

        Args:
            newcomers: the answers of one request, the first of which computes the prompt.

        Raises:
            NotPromised: not without breaking it or another promise.
        """
        allowance_s = self._allowance_s(len(snapshot.sequences))
        wanted = committed(objective, newcomers[0].arrival_ns)
        trial = self._try(snapshot, newcomers, wanted)
        if trial.spare_s(allowance_s) < 0:
            orders = [one.order[1] for one in snapshot.sequences if one.is_promised]
            is_late = _spare_s(trial.newcomers, allowance_s) < 0
            if orders and (wanted.order_ns > min(orders) or not is_late):
                order_ns = min(orders) - 1 if is_late else max(orders) + 1
                wanted = wanted._replace(order_ns=order_ns)
                again = self._try(snapshot, newcomers, wanted)
                if _spare_s(again.others, allowance_s) >= 0 or not is_late:
                    trial = again
        spare_s = trial.spare_s(allowance_s)
        if spare_s < 0:
            raise self._refusal(newcomers, objective, trial, allowance_s)
        return Granted(wanted, spare_s)

    def spare_s(self, snapshot: Snapshot) -> float:
        """Seconds by which everything that was promised may come later and still be kept."""
        ahead = self._run(snapshot, _promised(snapshot))
        return _spare_s(ahead, self._allowance_s(len(snapshot.sequences)))

    def foresee(self, snapshot: Snapshot, newcomers: Sequence[Rehearsed]) -> Foreseen:
        """What a request takes among all that run and wait, at greatest lengths."""
        copies = [one.again() for one in newcomers]
        self._run(snapshot, snapshot.sequences, copies, pessimistic=False)
        return self._foreseen(copies, self._alone(newcomers, pessimistic=False))

    def _allowance_s(self, n_running: int) -> float:
        """Seconds that promises add: for a stall, and for the steps in which things happen."""
        n_rows = min(n_running + 1, self._capacity.max_rows)
        return self._drift.stall_s + STEPS_EARLY * self._chunking.decode.seconds(n_rows)

    def _try(
        self, snapshot: Snapshot, newcomers: Sequence[Rehearsed], commitment: Commitment
    ) -> _Trial:
        copies = [one.wanting(commitment) for one in newcomers]
        return _Trial(copies, self._run(snapshot, _promised(snapshot), copies))

    def _refusal(
        self,
        newcomers: Sequence[Rehearsed],
        objective: Objective,
        trial: _Trial,
        allowance_s: float,
    ) -> NotPromised:
        stall_ms = allowance_s * 1e3
        alone = self._alone(newcomers, pessimistic=True)
        told, later_ms = trial.newcomers, stall_ms
        if _spare_s(trial.others, allowance_s) < 0:
            # its rows would slow others too much: it could come after all of them
            told, end_ns = alone, max(one.last_ns for one in trial.others)
            later_ms += (end_ns - alone[0].arrival_ns) / MS
        earliest = self._foreseen(told, alone, later_ms)
        best = self._foreseen(alone, alone, later_ms=self._allowance_s(0) * 1e3)
        if not Promise.of(objective).kept(best.ttft_ms, best.tpot_ms, best.total_ms):
            return NotPromised(
                "this cannot be kept even on an idle machine: there the first token is safe after "
                f"{best.ttft_ms:.1f} ms, the last after {best.total_ms:.1f} ms, and "
                f"{best.tpot_ms:.2f} ms lie between two",
                "ask for fewer tokens or more time",
                earliest,
                never=True,
            )
        return NotPromised(
            "this cannot be promised beside what was promised before; what could be is the first "
            f"token after {earliest.ttft_ms:.1f} ms and the last after {earliest.total_ms:.1f} ms",
            "ask for that, or ask again later",
            earliest,
            never=False,
        )

    def _foreseen(
        self, told: Sequence[Rehearsed], alone: Sequence[Rehearsed], later_ms: float = 0.0
    ) -> Foreseen:
        """The worst of a request's answers."""
        total_ms = max(one.total_ms for one in told) + later_ms
        margin = 1 + self._drift.margin
        return Foreseen(
            ttft_ms=max(one.ttft_ms for one in told) + later_ms,
            tpot_ms=max(one.tpot_ms for one in told),
            total_ms=total_ms,
            low_ms=min(max(one.total_ms for one in alone) / margin, total_ms),
            high_ms=total_ms * margin + self._drift.stall_s * 1e3,
        )

    def _alone(self, newcomers: Sequence[Rehearsed], *, pessimistic: bool) -> list[Rehearsed]:
        """The newcomers as they would end on an idle machine."""
        copies = [one.wanting(None) for one in newcomers]
        self._run(Snapshot(copies[0].arrival_ns), (), copies, pessimistic=pessimistic)
        return copies

    def _run(
        self,
        snapshot: Snapshot,
        sequences: Sequence[Rehearsed],
        newcomers: Sequence[Rehearsed] = (),
        *,
        pessimistic: bool = True,
    ) -> list[Rehearsed]:
        """Run some of those in a snapshot to their ends, and newcomers from their arrival on.

        Returns:
            the former as they ended; the newcomers themselves ended.
        """
        factor = self._drift.ratio * (1 + self._drift.margin if pessimistic else 1)
        price = self._step_seconds

        def step_seconds(shape: StepShape) -> float:
            return factor * price(shape)

        copies = [one.again() for one in sequences]
        blocks = BlockCount(max(self._capacity.n_blocks - sum(one.n_blocks for one in copies), 0))
        scheduler = Scheduler[Rehearsed](
            blocks,
            self._capacity.max_tokens,
            self._capacity.max_rows,
            chunking=self._chunking,
            step_seconds=step_seconds,
        )
        followers: list[Rehearsed] = []
        for one in copies:
            scheduler.take_over(
                one, own := [f.again() for f in snapshot.followers.get(one.number, ())]
            )
            followers += own
        left = max((one.longest - one.n_tokens for one in (*copies, *newcomers)), default=0)
        engine = VirtualEngine(
            scheduler, blocks, step_seconds, snapshot.now_ns, grain=left // GRAINS
        )
        if newcomers:
            engine.run(newcomers[0].arrival_ns)
            scheduler.add(newcomers[0], newcomers[1:])
        engine.run()
        return [*copies, *followers]


def _promised(snapshot: Snapshot) -> list[Rehearsed]:
    return [one for one in snapshot.sequences if one.is_promised]


def _spare_s(sequences: Sequence[Rehearsed], allowance_s: float) -> float:
    """Seconds by which all of them may come later."""
    return min((one.spare_s(allowance_s) for one in sequences), default=math.inf)
