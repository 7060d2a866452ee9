"""What a step of a plan takes on a machine, in seconds: the price that every forecast is made of.

A step's price depends on four numbers, however many sequences it mixes: see `StepShape`.

    seconds = engine + phases                on a machine whose kernels were measured
            = meetings + rooflines           on any other
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import add
from typing import NamedTuple, Protocol

from foreknown.machine import KernelCosts, Line, Machine, Work, arithmetic, seconds
from foreknown.machine.fit import rows_each
from foreknown.machine.kernel_costs import step_kind
from foreknown.machine.kernels import Attention, Kernel, Product, Rows
from foreknown.plan.costs import Cost, Formula
from foreknown.plan.phases import shared_stages

UNMEASURED_MARGIN = 2.0
"""Share by which kernels that calibration does not measure are slower than their bounds at most:
recurrences were seen to take 1.6 times theirs, and three times in steps of a few rows."""


class StepShape(NamedTuple):
    """What of a step its price depends on.

    Attributes:
        tokens: T.
        rows: R, rows of logits.
        attended: positions that tokens attend to, summed over the tokens.
        kept: positions whose state is read, summed over the sequences: a prompt's tokens share
            what they read.
    """

    tokens: int
    rows: int
    attended: float
    kept: float

    @property
    def context(self) -> float:
        """Mean over the tokens of how many positions each attends to."""
        return self.attended / self.tokens if self.tokens else 0.0

    def beside(self, other: StepShape) -> StepShape:
        """Both in one step."""
        return StepShape(*map(add, self, other))


def decode_shape(batch: int, context: float) -> StepShape:
    """One token of each of `batch` sequences, that attend to so many positions each."""
    return StepShape(batch, batch, batch * context, batch * context)


def prompt_shape(start: int, stop: int, rows: int = 0) -> StepShape:
    """Positions [start, stop) of one prompt; of its last chunk a row is wanted."""
    n_tokens = stop - start
    return StepShape(n_tokens, rows, n_tokens * (start + 1 + stop) / 2, stop)


class Price(Protocol):
    """What steps take; see `StepPrice`."""

    def seconds(self, step: StepShape) -> float: ...


@dataclass(frozen=True)
class Slower:
    """The price of steps that take so many times as long as another tells."""

    told: Price
    times: float

    def seconds(self, step: StepShape) -> float:
        return self.times * self.told.seconds(step)


class CostedPhase(Protocol):
    """A phase of a plan, or its record in an artifact."""

    @property
    def stage(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def rows(self) -> str: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def kernels(self) -> tuple[Kernel, ...]: ...


class StepCosts:
    """What a plan's steps move and compute, for any step.

    Args:
        phases: of the plan, in order.
        weights_bytes: that every step reads.
    """

    def __init__(self, phases: Sequence[CostedPhase], weights_bytes: int) -> None:
        self.phases, self.weights_bytes = phases, weights_bytes
        self.total = sum((phase.cost for phase in phases), Cost())
        self.stages = len({phase.stage for phase in phases})
        self.shared_stages = len(shared_stages(phases))

    def bytes(self, step: StepShape) -> float:
        """Bytes that a step moves."""
        return _at(self.total.bytes, step)

    def work(self, step: StepShape) -> Work:
        """Everything that a step moves and computes."""
        return _work(self.total, step)

    def works(self, step: StepShape) -> list[Work]:
        """Each phase's share."""
        return [_work(phase.cost, step) for phase in self.phases]

    def meetings(self, step: StepShape) -> int:
        """How often all threads meet; for a lone token only where something is shared out."""
        return self.shared_stages if step.tokens == 1 else self.stages

    @property
    def vocabulary(self) -> int:
        """Logits of a row."""
        heads = [p.kernels[-1] for p in self.phases if p.rows == "R" and p.kind == "linear"]
        return next((k.outputs for k in reversed(heads) if isinstance(k, Product)), 0)

    @property
    def kept_bytes(self) -> float:
        """Bytes of state that a position leaves to be read."""
        kernels = [k for phase in self.phases for k in phase.kernels]
        return sum(k.kept_bytes for k in kernels if isinstance(k, Attention))

    @property
    def fewest_groups(self) -> int:
        """Groups of heads of the attention that has the fewest."""
        kernels = [k for phase in self.phases for k in phase.kernels]
        return min((k.groups for k in kernels if isinstance(k, Attention)), default=2**15)

    def working_set_bytes(self, step: StepShape) -> float:
        """What steps like this one read again and again: weights, and the past of its rows."""
        return self.weights_bytes + self.total.bytes.per_context * step.kept


KEPT_BITS = 6
"""Working sets are told apart by so many positions of state, as a power of two."""


class _Parts(NamedTuple):
    """A step's price but for its past: seconds, and for each position those of `Line`."""

    fixed: float
    line: Line
    windows: tuple[tuple[int, Line], ...]


class StepPrice:
    """A plan's steps on a machine.

    Args:
        machine: as calibrated, or estimated.
    """

    def __init__(self, costs: StepCosts, machine: Machine) -> None:
        self.costs, self.machine = costs, machine
        self._kept_bytes, self._vocabulary = costs.kept_bytes, costs.vocabulary
        self._fewest_groups = costs.fewest_groups
        self._parts: dict[tuple[int, int], _Parts] = {}
        self._kinds: list[tuple[CostedPhase, int]] = []
        counts: dict[tuple[object, ...], int] = {}
        for phase in costs.phases:
            key = (phase.kind, phase.rows, phase.kernels)
            if key not in counts:
                self._kinds.append((phase, 0))
            counts[key] = counts.get(key, 0) + 1
        self._kinds = [(p, counts[p.kind, p.rows, p.kernels]) for p, _ in self._kinds]
        self._shares: dict[int, float] = {}
        self._least_streamed = machine.streamed_share(costs.weights_bytes)

    def seconds(self, step: StepShape) -> float:
        """What a step takes, from one to the next: phases, meetings, sampling, scheduling."""
        tokens, rows, attended, kept = step
        kernels = self.machine.kernels
        if kernels is None:
            costs = self.costs
            return seconds(
                self.machine, costs.works(step), costs.working_set_bytes(step), costs.meetings(step)
            )
        parts = self._parts.get((tokens, rows))
        if parts is None:
            parts = self._parts[tokens, rows] = self._make(kernels, tokens, rows)
        streamed = self._least_streamed
        if streamed < 1.0:
            streamed = self._streamed_share(kept)
        total = parts.fixed
        base_streamed, base_cached, per_attended, kept_streamed, kept_cached = parts.line
        total += base_cached + streamed * (base_streamed - base_cached)
        total += per_attended * attended
        total += (kept_cached + streamed * (kept_streamed - kept_cached)) * kept
        for window, line in parts.windows:
            most = tokens * window
            total += _past(line, min(attended, most), min(kept, most), streamed)
        return total

    def _streamed_share(self, kept: float) -> float:
        """How much of what a step reads comes from memory, for about so many positions kept."""
        key = int(kept) >> KEPT_BITS
        share = self._shares.get(key)
        if share is None:
            middle = (key << KEPT_BITS) + (1 << KEPT_BITS >> 1)
            bytes_read = self.costs.weights_bytes + self._kept_bytes * middle
            share = self._shares[key] = self.machine.streamed_share(bytes_read)
        return share

    def phase_seconds(self, step: StepShape) -> list[float]:
        """Each phase's share of it; the engine's own work is not among them."""
        kernels = self.machine.kernels
        working_set = self.costs.working_set_bytes(step)
        if kernels is None:
            works = self.costs.works(step)
            return [seconds(self.machine, [work], working_set, 0) for work in works]
        streamed, found = self._streamed_share(step.kept), list[float]()
        for phase in self.costs.phases:
            line, window = self._line(kernels, phase, step.tokens, step.rows), _window(phase)
            most = step.tokens * window if window else float("inf")
            base = line.cached + streamed * (line.streamed - line.cached)
            past = _past(line, min(step.attended, most), min(step.kept, most), streamed)
            found.append(base + past)
        return found

    @property
    def margin(self) -> float:
        """Share by which steps are slower than told at most, on a machine that is as calibrated."""
        margin = self.machine.margin
        shares = [
            sum(self.estimated_shares([(step, 1)]).values())
            for step in (decode_shape(1, 1), prompt_shape(0, 256, 1))
        ]
        return margin + max(shares) * max(UNMEASURED_MARGIN - margin, 0.0)

    def estimated_shares(self, steps: Iterable[tuple[StepShape, int]]) -> dict[str, float]:
        """By kinds of phases that calibration does not measure, their share of the time of steps.

        Args:
            steps: with how often each is run.
        """
        total_s, found = 0.0, dict[str, float]()
        for step, count in steps:
            total_s += count * self.seconds(step)
            for kind, own_s in self.estimated_seconds(step).items():
                found[kind] = found.get(kind, 0.0) + count * own_s
        return {kind: own_s / total_s for kind, own_s in found.items()}

    def estimated_seconds(self, step: StepShape) -> dict[str, float]:
        """Seconds of a step in kernels that calibration does not measure, by kinds of phases.

        Of these only bounds are known. A machine that was not measured at all has none that it
        would have to tell apart.
        """
        found: dict[str, float] = {}
        for phase, n_kernels in self._unmeasured:
            bound = n_kernels * self._bound(phase, step.tokens, step.rows).cached
            found[phase.kind] = found.get(phase.kind, 0.0) + bound
        return found

    @cached_property
    def _unmeasured(self) -> list[tuple[CostedPhase, int]]:
        """Phases with kernels that calibration does not measure, and how many."""
        kernels = self.machine.kernels
        if kernels is None:
            return []
        counted = [
            (phase, sum(not _is_measured(kernels, one) for one in phase.kernels))
            for phase in self.costs.phases
        ]
        return [(phase, n_kernels) for phase, n_kernels in counted if n_kernels]

    def engine_seconds(self, step: StepShape) -> float:
        """The rest: scheduling, waking threads, sampling; on a roofline, meetings."""
        if self.machine.kernels is None:
            return self.costs.meetings(step) * self.machine.barrier_us / 1e6
        engine = self.machine.kernels.engine
        return engine.seconds(step.tokens, step.rows, self._vocabulary)

    def first_touch_seconds(self, n_bytes: float) -> float:
        """What it takes more to write memory for the first time: the system gives pages then."""
        return n_bytes / self.machine.first_touch_gb_s / 1e9

    def bound_by(self, step: StepShape) -> str:
        """What takes most of a step, as in "bandwidth: linear_3": which resource, which phase."""
        by_function: dict[str, float] = {}
        works: dict[str, Work] = {}
        told = self.phase_seconds(step)
        for phase, work, took in zip(self.costs.phases, self.costs.works(step), told, strict=True):
            by_function[phase.function] = by_function.get(phase.function, 0.0) + took
            works[phase.function] = work
        if not by_function:
            return "engine"
        most = max(by_function, key=lambda name: by_function[name])
        meetings = self.costs.meetings(step) * self.machine.barrier_us / 1e6
        engine = self.engine_seconds(step) if self.machine.kernels else 0.0
        if max(meetings, engine) > by_function[most]:
            return "threads meeting" if meetings > engine else "scheduling and sampling"
        work = works[most]
        bandwidth = self.machine.bandwidth_gb_s(self.costs.working_set_bytes(step)) * 1e9
        moves = work.bytes / bandwidth > arithmetic(self.machine, work)
        return f"{'bandwidth' if moves else 'arithmetic'}: {most}"

    def _make(self, kernels: KernelCosts, tokens: int, rows: int) -> _Parts:
        line, windows = Line(), dict[int, Line]()
        for phase, count in self._kinds:
            own = self._line(kernels, phase, tokens, rows).times(count)
            window = _window(phase)
            if window:
                past = own._replace(streamed=0.0, cached=0.0)
                windows[window] = windows.get(window, Line()).plus(past)
                own = Line(own.streamed, own.cached)
            line = line.plus(own)
        fixed = kernels.engine.seconds(tokens, rows, self._vocabulary)
        return _Parts(fixed, line, tuple(windows.items()))

    def _line(self, kernels: KernelCosts, phase: CostedPhase, tokens: int, rows: int) -> Line:
        threads = self.machine.threads
        alone = tokens == 1 and rows <= 1 and 1 < threads <= self._fewest_groups
        count, total = (rows if phase.rows == "R" else tokens), Line()
        for kernel in phase.kernels:
            line = None
            match kernel:
                case Product():
                    table = kernels.product(kernel.weights)
                    line = table.line(kernel, count, threads) if table and count else None
                case Attention():
                    costs = kernels.attend(kernel.kept)
                    line = costs.line(kernel, tokens, threads) if costs else None
                case Rows():
                    of_rows = kernels.row_phases(step_kind(count, alone))
                    each = rows_each(count, alone, threads)
                    line = of_rows.line(kernel, each) if of_rows else None
            total = total.plus(line or self._bound(phase, tokens, rows))
        return total

    def _bound(self, phase: CostedPhase, tokens: int, rows: int) -> Line:
        """Of what nobody measured."""
        work = _work(phase.cost, StepShape(tokens, rows, 0.0, 0.0))
        bound = seconds(self.machine, [work], self.costs.weights_bytes, 1)
        return Line(bound, bound)


def _is_measured(kernels: KernelCosts, kernel: Kernel) -> bool:
    """Whether calibration measures kernels of its kind and format."""
    match kernel:
        case Product():
            return kernels.product(kernel.weights) is not None
        case Attention():
            return kernels.attend(kernel.kept) is not None
        case Rows():
            return bool(kernels.rows)
    return False


def _past(line: Line, attended: float, kept: float, streamed: float) -> float:
    """Seconds for the positions that a step looks back on."""
    per_kept = line.kept_cached + streamed * (line.kept_streamed - line.kept_cached)
    return line.per_attended * attended + per_kept * kept


def _window(phase: CostedPhase) -> int:
    """Positions that a phase's tokens see at most; 0: all of them."""
    return next((k.window for k in phase.kernels if isinstance(k, Attention)), 0)


def _work(cost: Cost, step: StepShape) -> Work:
    return Work(_at(cost.bytes, step), _at(cost.flops, step), _at(cost.int8_ops, step))


def _at(formula: Formula, step: StepShape) -> float:
    return formula.at(tokens=step.tokens, rows=step.rows, context=step.context)
