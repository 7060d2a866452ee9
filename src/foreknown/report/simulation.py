"""A trace on the virtual clock: what a machine that serves it will show, before it does.

The scheduler that serves is run itself, on the times that steps will take: see engine/rehearsal.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.planned import PlannedModel
from foreknown.engine.drift import Drift
from foreknown.engine.rehearsal import Outcome, Rehearsal, rehearse
from foreknown.engine.snapshot import Capacity
from foreknown.engine.virtual_engine import FOREVER_NS
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine
from foreknown.plan.price import Price, Slower, decode_shape
from foreknown.report.forecast import beginning, capacity, step_price
from foreknown.report.provenance import provenance
from foreknown.report.tables import Table, bytes_text, seconds_text
from foreknown.report.timeline import Timeline, timeline
from foreknown.report.traffic import YEAR_S, Traffic

PERCENTILES = (50, 90, 99)
SLOWER = 1.05
"""Steps of a second machine, times those of the first: what its speed is to those who wait."""


@dataclass(frozen=True)
class Served:
    """A model as a machine would serve it.

    Attributes:
        name: of the model, for people.
        price: of its steps on the machine.
        margin: share by which they are slower than told at most.
        capacity: what it has room for.
        memory_bytes: that it takes, once loaded.
        provenance: where the numbers come from.
    """

    name: str
    machine: Machine
    price: Price
    margin: float
    capacity: Capacity
    memory_bytes: int
    provenance: dict[str, str]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return min(self.capacity.context, self.capacity.n_blocks * BLOCK_TOKENS)

    def slower(self, times: float) -> Served:
        """On a machine whose steps take so many times as long."""
        return replace(self, price=Slower(self.price, times))


def served(model: PlannedModel, machine: Machine, sequences: int) -> Served:
    """A model with room for so many sequences of full context."""
    price = step_price(model, machine)
    machine, token = price.machine, decode_shape(1, model.sizes.context / 2)
    return Served(
        name=model.name,
        machine=machine,
        price=price,
        margin=price.margin,
        capacity=capacity(model, sequences),
        memory_bytes=model.memory(machine.threads, sequences).total,
        provenance=provenance(model, machine, [*price.estimated_shares([(token, 1)]).items()]),
    )


@dataclass(frozen=True)
class Simulation:
    """What came of some traffic.

    Attributes:
        wall_s: what it took to find out.
    """

    served: Served
    traffic: Traffic
    rehearsal: Rehearsal
    wall_s: float

    @cached_property
    def completed(self) -> list[Outcome]:
        """Of all that were not refused."""
        return [one for one in self.rehearsal.outcomes if not one.refused]

    @cached_property
    def timeline(self) -> Timeline:
        return timeline(self.rehearsal.outcomes)

    @property
    def simulated_s(self) -> float:
        """From the first arrival to the last token."""
        return self.rehearsal.end_ns / 1e9

    @property
    def utilisation(self) -> float:
        """Share of that time in which a step ran."""
        return self.rehearsal.busy_ns / max(1, self.rehearsal.end_ns)

    def waits_ms(self, of: Callable[[Outcome], float]) -> NDArray[np.float64]:
        """Percentiles of some time over all who were answered; somebody was."""
        return np.percentile([of(one) for one in self.completed], PERCENTILES)

    @cached_property
    def times_ms(self) -> dict[str, dict[str, float | None]]:
        """What all who were answered waited for, as JSON shows it."""
        done = self.completed
        return {
            "ttft_ms": percentiles([ttft_ms(one) for one in done]),
            "tpot_ms": percentiles([tpot_ms(one) for one in done if one.arrival.n_output > 1]),
            "e2e_ms": percentiles([e2e_ms(one) for one in done]),
        }

    @cached_property
    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        done, machine = self.completed, self.served.machine
        output = sum(one.arrival.n_output for one in done)
        prompts = sum(one.arrival.n_prompt for one in done)
        span_s, busy_s = self.simulated_s, self.rehearsal.busy_ns / 1e9
        promised = [one for one in done if one.kept is not None]
        return {
            "model": self.served.name,
            "machine": machine.name,
            "threads": machine.threads,
            "requests": len(self.rehearsal.outcomes),
            "completed": len(done),
            "clipped": self.traffic.n_clipped,
            **self.times_ms,
            "promises": {
                "made": len(promised),
                "kept": sum(bool(one.kept) for one in promised),
                "refused": len(self.rehearsal.outcomes) - len(done),
            },
            "utilisation": round(self.utilisation, 4),
            "largest_queue": self.timeline.largest_queue,
            "requests_s": _share(len(done), span_s),
            "output_tok_s": _share(output, span_s),
            "prompt_tok_s": _share(prompts, span_s),
            "prefix_cache_share": _share(sum(one.n_cached for one in done), prompts),
            "joules": round(
                machine.busy_watts * busy_s + machine.idle_watts * max(0.0, span_s - busy_s), 3
            ),
            "usd": round(machine.usd_per_hour * span_s / 3600, 6),
            "memory_bytes": self.served.memory_bytes,
            "steps": self.rehearsal.n_steps,
            "wall_s": round(self.wall_s, 4),
            "simulated_s": round(span_s, 6),
            "provenance": self.served.provenance,
        }

    def print(self, about: str, slower: Simulation, file: TextIO) -> None:
        """For people.

        Args:
            about: says what the traffic is.
            slower: the same traffic on a machine that is `SLOWER`.
        """
        record = self.record
        names = [f"p{share}" for share in PERCENTILES]
        table = Table(self.served.name, ("", *names), right=names)
        for name, key in (
            ("first token", "ttft_ms"),
            ("from token to token", "tpot_ms"),
            ("whole answer", "e2e_ms"),
        ):
            table.row(name, *(_ms_text(record[key][percentile]) for percentile in names))
        table.print(file)
        for line in (f"traffic: {about}", *self._lines(record), *self._compared(slower)):
            file.write(f"{line}\n")

    def _compared(self, slower: Simulation) -> Iterator[str]:
        if self.completed and slower.completed:
            first, whole = (
                ", ".join(f"{ratio:.2f}" for ratio in slower.waits_ms(of) / self.waits_ms(of))
                for of in (ttft_ms, e2e_ms)
            )
            yield (
                f"on a machine {SLOWER - 1:.0%} slower: first tokens take {first} times as long, "
                f"whole answers {whole}"
            )

    def _lines(self, record: dict[str, Any]) -> Iterator[str]:
        machine, promises = self.served.machine, record["promises"]
        yield (
            f"requests: {record['completed']:,} of {record['requests']:,} answered in "
            f"{seconds_text(self.simulated_s)}, {record['requests_s']:.3g} a second; tokens a "
            f"second: {record['output_tok_s']:,.0f} out, {record['prompt_tok_s']:,.0f} in"
        )
        if record["clipped"]:
            yield (
                f"cut: {record['clipped']:,} requests to the model's context of "
                f"{self.served.longest:,} tokens"
            )
        if promises["made"] or promises["refused"]:
            yield (
                f"promises: {promises['made']:,} made, {promises['kept']:,} kept, "
                f"{promises['refused']:,} requests refused"
            )
        yield (
            f"busy: {record['utilisation']:.1%} of the time; at most {record['largest_queue']:,} "
            f"requests waited for their first token at once"
        )
        if record["prefix_cache_share"]:
            yield f"prefix cache: {record['prefix_cache_share']:.1%} of the prompts' tokens"
        cost = f", {record['usd']:.4g} USD" if machine.usd_per_hour else ""
        memory = bytes_text(self.served.memory_bytes)
        yield f"energy: {record['joules'] / 3600:,.3g} Wh{cost}; memory: {memory}"
        yield (
            f"machine: {machine.name}, {machine.threads} threads; "
            f"{self.served.provenance['machine']}"
        )
        yield (
            f"found in {seconds_text(self.wall_s)}, "
            f"{self.simulated_s / max(self.wall_s, 1e-9):,.0f} times faster than real time"
        )


def simulate(
    served: Served,
    traffic: Traffic,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Simulation:
    """Rehearse some traffic.

    Args:
        progress: told how many requests have come, and of how many.

    Raises:
        RequestError: it takes longer than a virtual clock can tell.
    """
    n_total, start = len(traffic.arrivals), time.perf_counter()
    rehearsal = rehearse(
        traffic.arrivals,
        served.capacity,
        served.price,
        beginning=beginning(served.machine),
        margin=Drift(served.margin).margin,  # as a server that is as it was calibrated
        progress=lambda n: progress(n, n_total),
    )
    unanswered = any(one.last_ns < 0 for one in rehearsal.outcomes if not one.refused)
    if unanswered or rehearsal.end_ns > FOREVER_NS:
        raise RequestError(
            f"{served.name} needs more than {FOREVER_NS / 1e9 / YEAR_S:.0f} years on "
            f"{served.machine.name} for this traffic",
            remedy="simulate fewer or shorter requests, or another machine",
        )
    return Simulation(served, traffic, rehearsal, time.perf_counter() - start)


def ttft_ms(outcome: Outcome) -> float:
    """From a request's arrival to its first token."""
    return (outcome.first_ns - outcome.arrival.time_ns) / 1e6


def tpot_ms(outcome: Outcome) -> float:
    """From token to token, in the mean; 0 of a single one."""
    return (outcome.last_ns - outcome.first_ns) / 1e6 / max(1, outcome.arrival.n_output - 1)


def e2e_ms(outcome: Outcome) -> float:
    """From a request's arrival to its last token."""
    return (outcome.last_ns - outcome.arrival.time_ns) / 1e6


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p90 and p99, between two values by a line; None without any."""
    if not values:
        return {f"p{share}": None for share in PERCENTILES}
    found = np.percentile(np.asarray(values), PERCENTILES)
    return {f"p{share}": round(float(x), 3) for share, x in zip(PERCENTILES, found, strict=True)}


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def _ms_text(ms: float | None) -> str:
    return "-" if ms is None else seconds_text(ms / 1e3)
