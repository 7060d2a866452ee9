"""An engine whose steps take what a test says, and a world in which requests come meanwhile."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknown.engine import Engine, NotPromised, Output, Request, SamplingParams
from foreknown.engine.promises import MS, Objective, Promise
from foreknown.engine.rehearsal import Arrival
from foreknown.engine.snapshot import Capacity
from foreknown.engine.virtual_engine import FOREVER_NS
from foreknown.graph.batch import BLOCK_TOKENS, Batch
from foreknown.plan.price import Price, StepShape
from tests.engine.conftest import FakeProgram


@dataclass(frozen=True)
class Linear:
    """A price that grows evenly with everything, in microseconds each."""

    step: float
    token: float = 0.0
    row: float = 0.0
    attended: float = 0.0
    kept: float = 0.0

    def seconds(self, step: StepShape) -> float:
        each = (
            self.step,
            self.token * step.tokens,
            self.row * step.rows,
            self.attended * step.attended,
            self.kept * step.kept,
        )
        return sum(each) / 1e6

    def seconds_of_rows(self, n_rows: int, context: int) -> float:
        """A step of so many rows that attend to so much each."""
        attended = n_rows * context
        return self.seconds(StepShape(n_rows, n_rows, attended, attended))


def random_price(random: np.random.Generator) -> Linear:
    """Of no round numbers, so that no two things happen at the same time by chance."""
    step = float(random.uniform(500, 20_000))
    shares = (random.random(4) * random.choice([0, 1], 4, p=[0.2, 0.8])).tolist()
    token, row, attended, kept = shares
    return Linear(step, step * token / 8, step * row / 8, step * attended / 400, step * kept / 100)


def random_arrivals(
    random: np.random.Generator,
    n: int,
    step_s: float,
    *,
    n_users: int = 3,
    n_prefixes: int = 0,
    least_output: int = 0,
) -> list[Arrival]:
    """Some at once, some while others run, some when all is done."""
    now_ns, arrivals = 0, []
    for _ in range(n):
        now_ns += int(random.choice([0, 1, 10, 60]) * random.random() * step_s * 1e9)
        prefix = tuple(range(random.integers(n_prefixes + 1)))
        if n_prefixes and random.random() < 0.3:
            prefix = tuple(n_prefixes + name for name in prefix)
        n_prompt = 16 * len(prefix) + int(random.integers(1, random.choice([3, 40, 80])))
        n_output = int(random.integers(least_output, random.choice([2, 10, 40])))
        user = f"user {random.integers(n_users)}"
        arrivals.append(Arrival(now_ns, n_prompt, n_output, user=user, prefix=prefix))
    return arrivals


def random_objective(
    random: np.random.Generator, arrival: Arrival, step_ms: float, load: float, *, paces: bool
) -> Objective:
    """Hard for a small load, easy for a large one; with paces, some tokens are to come evenly."""
    n_steps = 4 + arrival.n_output
    times = (
        n_steps * step_ms * float(random.uniform(1, 4 * load)),
        step_ms * float(random.uniform(2, 20 * load)),
        step_ms * float(random.uniform(1.05, 4)),
    )
    given = [ms if random.random() < 0.5 else None for ms in times]
    if not paces:
        given[2] = None
    return Objective(*given if any(given) else times[:1])


class SteppingClock:
    """Time that stands still until a step takes some."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now


class TimedProgram(FakeProgram):
    """Says token 0 for ever, and takes the time of a price for it.

    What a step costs is read from its batch, not from what the engine told the price.

    Attributes:
        meanwhile: is told when the step that runs will end.
        slowness: of each step, given its number.
    """

    def __init__(
        self, library: ctypes.CDLL, price: Price, clock: SteppingClock, **sizes: Any
    ) -> None:
        super().__init__(library, **sizes)
        self.price, self.clock = price, clock
        self.meanwhile: Callable[[int], None] = lambda end_ns: None
        self.slowness: Callable[[int], float] = lambda number: 1.0

    def step(self, batch: Batch) -> NDArray[np.float32]:
        batch.check(self.vocab_size, self.context, self.n_blocks)
        seconds = self.price.seconds(batch_shape(batch)) * self.slowness(len(self.batches))
        self.batches.append(len(batch.tokens))
        end_ns = self.clock.now + max(round(seconds * 1e9), 1)
        self.meanwhile(end_ns)
        self.clock.now = end_ns
        return np.zeros((len(batch.rows), self.vocab_size), np.float32)

    @property
    def capacity(self) -> Capacity:
        longest = min(self.context, self.n_blocks * BLOCK_TOKENS)
        rows, n_blocks = self.max_rows, self.n_blocks
        return Capacity(self.max_tokens, rows, n_blocks, longest, self.rewindable)


def batch_shape(batch: Batch) -> StepShape:
    """What a batch costs, counted token by token."""
    ends: dict[int, int] = {}
    for sequence, position in zip(batch.sequence.tolist(), batch.positions.tolist(), strict=True):
        ends[sequence] = max(ends.get(sequence, 0), position + 1)
    attended = sum(position + 1 for position in batch.positions.tolist())
    return StepShape(len(batch.tokens), len(batch.rows), attended, sum(ends.values()))


@dataclass
class Came:
    """What came of a request in reality.

    Attributes:
        times_ns: of its tokens; of an embedding, of it.
    """

    arrival: Arrival
    promise: Promise | None = None
    refusal: NotPromised | None = None
    times_ns: list[int] = field(default_factory=list)
    n_cached: int = 0

    @property
    def kept(self) -> bool:
        """Whether what was promised was kept."""
        if self.promise is None:
            return True
        came_ms, first_ms, last_ms = (
            ns / MS for ns in (self.arrival.time_ns, self.times_ns[0], self.times_ns[-1])
        )
        n_gaps = len(self.times_ns) - 1
        return self.promise.kept(
            first_ms - came_ms,
            (last_ms - first_ms) / n_gaps if n_gaps else None,
            last_ms - came_ms,
        )


class Reality:
    """Serves traffic as a server does: requests are reserved when they come, added between steps.

    Args:
        stops_after: of each request, after how many tokens its answer ends early; None: never.
        check: whether the books are checked after every step.
    """

    def __init__(
        self,
        program: TimedProgram,
        engine: Engine,
        stops_after: Callable[[int], int | None] = lambda number: None,
        check: bool = True,
    ) -> None:
        self.program, self.engine, self._check = program, engine, check
        self._stops_after = stops_after
        self._coming: list[tuple[int, Arrival]] = []
        self._ready: list[Request] = []
        self.came: list[Came] = []
        program.meanwhile = self.meanwhile

    def serve(self, arrivals: Iterable[Arrival]) -> list[Came]:
        """What comes of them, in order of arrival."""
        clock = self.program.clock
        self.expect(arrivals)
        while self.has_work:
            clock.now = max(clock.now, self.next_ns)
            self.take_arrivals()
            self.step()
        return self.came

    def expect(self, arrivals: Iterable[Arrival]) -> None:
        """These will come."""
        self._coming = list(enumerate(arrivals))[::-1]
        self.came = []

    @property
    def has_work(self) -> bool:
        """Whether anybody is here or will come."""
        return bool(self._coming or self._ready or self.engine.has_work)

    @property
    def next_ns(self) -> int:
        """When there is something to do."""
        return 0 if self.engine.has_work or self._ready else self.next_arrival_ns

    @property
    def next_arrival_ns(self) -> int:
        """When the next one comes."""
        return self._coming[-1][1].time_ns if self._coming else FOREVER_NS

    def take_arrivals(self) -> None:
        """Queue all who have come by now."""
        self.meanwhile(self.program.clock.now + 1)
        for request in self._ready:
            self.engine.add_samples(request)
        self._ready.clear()

    def step(self) -> None:
        """Take a step."""
        for output in self.engine.step():
            self._take(output)
        if self._check:
            self.engine.check_integrity()

    def meanwhile(self, end_ns: int) -> None:
        """Have those decided about who come before that."""
        clock = self.program.clock
        while self._coming and self._coming[-1][1].time_ns < end_ns:
            number, arrival = self._coming.pop()
            now, clock.now = clock.now, max(clock.now, arrival.time_ns)
            self._arrive(number, arrival)
            clock.now = max(now, clock.now)

    def _arrive(self, number: int, arrival: Arrival) -> None:
        came = Came(arrival)
        self.came.append(came)
        request = request_of(number, arrival, self.program.vocab_size)
        if arrival.objective is not None:
            try:
                came.promise = self.engine.reserve(request)
            except NotPromised as error:
                came.refusal = error
                return
        self._ready.append(request)

    def _take(self, output: Output) -> None:
        number = int(output.request_id)
        came = self.came[number]
        assert output.error is None, output.error
        if output.finish_reason != "cancelled":
            came.times_ns.append(output.time_ns)
        if output.finish_reason is not None:
            came.n_cached = output.n_cached
        elif self._stops_after(number) == len(came.times_ns):
            self.engine.cancel(output.request_id)


def request_of(number: int, arrival: Arrival, vocab_size: int) -> Request:
    """A request whose prompt has nothing in common with others but the blocks of its prefix."""
    prompt: list[int] = []
    for name in arrival.prefix:
        prompt += [vocab_size - 1 - name] * BLOCK_TOKENS
    prompt += [number % (vocab_size // 2)] * (arrival.n_prompt - len(prompt))
    return Request(
        prompt[: arrival.n_prompt],
        SamplingParams(max_tokens=max(arrival.n_output, 1), temperature=0, ignore_eos=True),
        id=str(number),
        user=arrival.user,
        salt="" if arrival.prefix else str(number),
        embed="" if arrival.n_output else "last",
        objective=arrival.objective,
    )


def new_reality(
    library: ctypes.CDLL,
    price: Price,
    *,
    told: Price | None = None,
    stops_after: Callable[[int], int | None] = lambda number: None,
    learns: bool = True,
    check: bool = True,
    clock: SteppingClock | None = None,
    **sizes: Any,
) -> Reality:
    """A machine and its engine.

    Args:
        price: what steps take.
        told: what the engine is told that they take, if that is something else.
        learns: whether the engine corrects what it was told.
        clock: of other engines, too, that take their steps in turns with it.
    """
    clock = clock or SteppingClock()
    program = TimedProgram(library, price, clock, **sizes)
    engine = Engine(program, clock=clock, speculate=False, price=told or price)
    if not learns:
        engine.chunking.observe = lambda *_: None  # type: ignore[method-assign]
        engine.chunking.decode.observe = lambda *_: None  # type: ignore[method-assign]
    return Reality(program, engine, stops_after, check)


def forget_prefixes(engine: Engine) -> None:
    """Nothing that was computed is found again, as in a rehearsal that has no names."""
    engine.blocks.prefixes.register = lambda *_: None  # type: ignore[method-assign]
