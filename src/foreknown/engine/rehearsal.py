"""Runs traffic on the virtual clock: the scheduler that serves, the price of its steps, no program.

So a forecast or a simulation is the engine itself, run ahead of time. Drafts are left out: which
of them will be right depends on the text, and without them all comes later, never sooner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from foreknown.engine.block_count import PrefixCount
from foreknown.engine.block_manager import blocks_for
from foreknown.engine.chunking import Chunking
from foreknown.engine.drift import Drift
from foreknown.engine.promise_book import PromiseBook
from foreknown.engine.promises import NotPromised, Objective, Promise
from foreknown.engine.rehearsed import Rehearsed
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.snapshot import Capacity, Snapshot, take_snapshot
from foreknown.engine.step_times import StepTimes, told_by
from foreknown.engine.virtual_engine import VirtualEngine
from foreknown.errors import DoesNotFit
from foreknown.plan.price import Price


@dataclass(frozen=True)
class Arrival:
    """A request of some traffic.

    Attributes:
        time_ns: when it comes.
        n_prompt: tokens that go in.
        n_output: tokens that come out; 0: none, only its state is wanted.
        objective: what it wants to be promised; None: nothing.
        user: whose it is.
        prefix: names of the blocks of 16 tokens that its prompt begins with: equal names are
            equal text, which is computed once while the blocks are kept.
    """

    time_ns: int
    n_prompt: int
    n_output: int
    objective: Objective | None = None
    user: str = ""
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        first_ns: when its first token came; of a refused one, when it came itself.
        last_ns: when its last token came.
        n_cached: tokens of its prompt that were found computed.
        refused: whether what it wanted could not be promised.
        kept: whether what was promised was kept; None: nothing was.
    """

    arrival: Arrival
    first_ns: int
    last_ns: int
    n_cached: int = 0
    refused: bool = False
    kept: bool | None = None


@dataclass(frozen=True)
class Rehearsal:
    """What came of some traffic.

    Attributes:
        outcomes: in order of arrival.
        busy_ns: spent in steps.
        end_ns: when the last token came.
        n_steps: that were taken.
    """

    outcomes: tuple[Outcome, ...]
    busy_ns: int
    end_ns: int
    n_steps: int


@dataclass(frozen=True)
class Beginning:
    """What a request takes beside its steps, in seconds.

    Attributes:
        request_s: to take it in and begin it.
        idle_s: more, if nothing runs when it comes.
    """

    request_s: float = 0.0
    idle_s: float = 0.0


AT_ONCE = Beginning()


def rehearse(
    arrivals: Iterable[Arrival],
    capacity: Capacity,
    price: Price,
    *,
    beginning: Beginning = AT_ONCE,
    margin: float = 0.0,
    progress: Callable[[int], None] = lambda n_arrived: None,
) -> Rehearsal:
    """Serve traffic on the virtual clock.

    Args:
        arrivals: by time.
        beginning: what each takes beside its steps.
        margin: share that promises add to what is forecast.
        progress: told how many have come.

    Raises:
        DoesNotFit: a request is longer than the context or than all blocks.
    """
    traffic = Traffic(capacity, price, beginning, margin)
    for number, arrival in enumerate(arrivals):
        _require_fit(number, arrival, capacity)
        traffic.take(number, arrival)
        progress(number + 1)
    return traffic.end()


class Traffic:
    """An engine on the virtual clock, and what came to it.

    Args:
        beginning: what each takes beside its steps.
        margin: share that promises add to what is forecast.
    """

    def __init__(
        self,
        capacity: Capacity,
        price: Price,
        beginning: Beginning = AT_ONCE,
        margin: float = 0.0,
    ) -> None:
        chunking = Chunking(StepTimes(told_by(price), capacity.context / 2))
        blocks = PrefixCount(capacity.n_blocks, tails=capacity.tails)
        self._scheduler = Scheduler[Rehearsed](
            blocks,
            capacity.max_tokens,
            capacity.max_rows,
            chunking=chunking,
            step_seconds=price.seconds,
        )
        self._engine = VirtualEngine(self._scheduler, blocks, price.seconds)
        self._beginning = beginning
        self._terms = (capacity, price.seconds, chunking, Drift.told(margin))
        self._book: PromiseBook | None = None
        self._asked_ns = 0
        self._came: list[tuple[Arrival, Rehearsed | None]] = []

    def take(self, number: int, arrival: Arrival) -> None:
        """A request comes."""
        self._come(arrival)
        one = _rehearsed(number, arrival)
        if arrival.objective is not None:
            self._asked_ns = arrival.time_ns
            try:
                granted = self._promises().commit((one,), arrival.objective)
            except NotPromised:
                self._came.append((arrival, None))
                return
            one.commitment, self._scheduler.spare_s = granted
        self._came.append((arrival, one))
        self._scheduler.add(one)

    def draw(self, arrival: Arrival, n_samples: int) -> None:
        """Samples of one prompt come, of which the first computes it."""
        self._come(arrival)
        n_came = len(self._came)
        first, *others = (_rehearsed(n_came + place, arrival) for place in range(n_samples))
        self._came += [(arrival, one) for one in (first, *others)]
        self._scheduler.add(first, others)

    def ends_by(self, seconds: float) -> bool:
        """Whether all that came ends by a time; if not, it has only come so far."""
        return seconds == math.inf or self._engine.ends_by(round(seconds * 1e9))

    def end(self) -> Rehearsal:
        """Let all come to their ends; others may come after them."""
        self._engine.run()
        outcomes = tuple(_outcome(arrival, one) for arrival, one in self._came)
        end_ns = max((outcome.last_ns for outcome in outcomes), default=0)
        return Rehearsal(outcomes, self._engine.busy_ns, end_ns, self._engine.n_steps)

    def _come(self, arrival: Arrival) -> None:
        """Run until somebody comes, and take in what that is."""
        self._engine.run(arrival.time_ns)
        begins = self._beginning
        self._engine.spend(begins.request_s + begins.idle_s * (not self._engine.has_work))

    def _promises(self) -> PromiseBook:
        """The book, from the first promise on. It and the engine know each other, and what is so
        linked waits for Python's collector; a plan, of which there are many, promises nothing."""
        if self._book is None:
            self._book = PromiseBook(*self._terms, self._snapshot)
            self._engine.every_mixed = self._look_again
        return self._book

    def _snapshot(self, slower: float) -> Snapshot:
        """Where it stands after the step that was underway when it was asked, if it is so slow."""
        engine = self._engine
        is_underway = engine.now_ns > self._asked_ns
        late_ns = round((slower - 1) * engine.step_ns) if is_underway else 0
        return take_snapshot(self._scheduler, Rehearsed.again, now_ns=engine.now_ns + late_ns)

    def _look_again(self) -> None:
        self._asked_ns = self._engine.now_ns
        self._scheduler.spare_s = self._promises().spare_s()


def _rehearsed(number: int, arrival: Arrival) -> Rehearsed:
    return Rehearsed(
        number,
        arrival.n_prompt,
        arrival.n_output,
        arrival.time_ns,
        user=arrival.user,
        prefix=arrival.prefix,
    )


def _outcome(arrival: Arrival, one: Rehearsed | None) -> Outcome:
    if one is None:
        return Outcome(arrival, arrival.time_ns, arrival.time_ns, refused=True)
    kept = None
    if arrival.objective is not None:
        promise = Promise.of(arrival.objective)
        ttft_ms = one.ttft_ms if arrival.n_output else None
        kept = promise.kept(ttft_ms, one.tpot_ms, one.total_ms)
    return Outcome(arrival, one.first_ns, one.last_ns, one.n_cached, kept=kept)


def _require_fit(number: int, arrival: Arrival, capacity: Capacity) -> None:
    n_tokens = arrival.n_prompt + arrival.n_output
    if n_tokens > capacity.context or blocks_for(n_tokens) > capacity.n_blocks:
        raise DoesNotFit(
            f"request {number} has {n_tokens} tokens, where {capacity.context} and "
            f"{capacity.n_blocks} blocks of 16 are the most",
            remedy="shorten it, or plan for a longer context",
        )
