"""What a case will take, before it runs: the scheduler on the virtual clock.

A case is so many equal requests that come at once. The engine's own scheduler gives them their
steps and the plan's costs say what each takes on a machine, so a forecast chunks and batches as
serving does. Guesses of tokens ahead are left out: they can only make an answer come sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from foreknown.artifact import Artifact
from foreknown.artifact.loading import MemoryPlan
from foreknown.artifact.planned import PlannedModel
from foreknown.engine.rehearsal import AT_ONCE, Arrival, Beginning, Rehearsal, rehearse
from foreknown.engine.snapshot import Capacity
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine
from foreknown.plan.price import StepCosts, StepPrice, StepShape, decode_shape, prompt_shape
from foreknown.report.instructions import machine_for
from foreknown.report.provenance import provenance

MILLION = 1_000_000
ESTIMATE_NOISE = 0.5
"""How far a time may be off of which only a bound is known, relative: as on estimated machines."""
CONTEXTS_SHOWN = 6
"""Of a growing context, about so many lengths are shown."""


@dataclass(frozen=True)
class Case:
    """Equal requests that come at once.

    Attributes:
        prompt_tokens: of each.
        output_tokens: of each; all of them come.
        batch: requests.
    """

    prompt_tokens: int
    output_tokens: int
    batch: int = 1

    @property
    def tokens(self) -> int:
        """Of one sequence, prompt and output."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Forecast:
    """Of a case; times are those of the slowest of its answers.

    Attributes:
        machine: as it runs the model's instruction set.
        ttft_ms: from the requests to the first token.
        tpot_ms: from one token to the next, in the mean; None for a single token.
        total_ms: from the requests to the last token.
        tok_s: tokens of output a second, of all answers together.
        memory: of the loaded program, with state for the case.
        joules: of one answer: its share of what the machine draws.
        usd: of one answer: its share of the machine's price.
        tpot_by_context: pairs of positions attended to and milliseconds from token to token.
        bound_by: what takes longest of all: which resource, in which phase.
        bounds: the same of first tokens and of those that follow.
        estimated: kinds of phases that calibration does not measure, and their shares of the time.
        room_bytes: memory that there is for it; None: nobody said.
    """

    model: PlannedModel
    machine: Machine
    case: Case
    ttft_ms: float
    tpot_ms: float | None
    total_ms: float
    tok_s: float
    memory: MemoryPlan
    joules: float
    usd: float
    tpot_by_context: tuple[tuple[int, float], ...]
    bound_by: str
    bounds: tuple[str, str]
    estimated: tuple[tuple[str, float], ...] = ()
    room_bytes: int | None = None

    @property
    def decode_tok_s(self) -> float:
        """Tokens a second of one answer, after its first."""
        return 1e3 / (self.tpot_ms or self.tpot_by_context[0][1])

    @property
    def noise(self) -> float:
        """How far times may be off, relative: as repeats are apart, and what is estimated more."""
        share, noise = sum(share for _, share in self.estimated), self.machine.noise
        return (1 - share) * noise + share * max(noise, ESTIMATE_NOISE)

    @property
    def low_ms(self) -> float:
        """Total time, if it is off by its noise."""
        return self.total_ms / (1 + self.noise)

    @property
    def high_ms(self) -> float:
        """The same the other way."""
        return self.total_ms * (1 + self.noise)

    @property
    def fits(self) -> bool:
        """Whether there is memory for it."""
        return self.room_bytes is None or self.memory.total <= self.room_bytes

    @property
    def provenance(self) -> dict[str, str]:
        """Where its numbers come from."""
        return provenance(self.model, self.machine, self.estimated)

    def per_million(self, of_an_answer: float) -> float:
        """What a million tokens of output come to."""
        return of_an_answer / self.case.output_tokens * MILLION

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        case, memory, room = self.case, self.memory, self.room_bytes
        return {
            "model": self.model.name,
            "case": {
                "prompt_tokens": case.prompt_tokens,
                "output_tokens": case.output_tokens,
                "batch": case.batch,
                "weights": self.model.weights,
                "state": self.model.state,
                "context": self.model.sizes.context,
            },
            "ttft_ms": round(self.ttft_ms, 3),
            "tpot_ms": None if self.tpot_ms is None else round(self.tpot_ms, 4),
            "total_ms": round(self.total_ms, 3),
            "tok_s": round(self.tok_s, 2),
            "memory_bytes": {
                "weights": memory.weights,
                "state": memory.state,
                "scratch": memory.scratch,
                "total": memory.total,
            },
            **({} if room is None else {"fits": self.fits, "room_bytes": room}),
            "joules": round(self.joules, 4),
            "usd": _significant(self.usd),
            "joules_per_million_tokens": round(self.per_million(self.joules), 1),
            "usd_per_million_tokens": _significant(self.per_million(self.usd)),
            "interval": {"low_ms": round(self.low_ms, 3), "high_ms": round(self.high_ms, 3)},
            "bound_by": self.bound_by,
            "bounds": dict(zip(("ttft_ms", "tpot_ms"), self.bounds, strict=True)),
            "tpot_by_context": [
                {"context": context, "ms": round(ms, 4)} for context, ms in self.tpot_by_context
            ],
            "machine": self.machine.name,
            "threads": self.machine.threads,
            "estimated_share": {kind: round(share, 4) for kind, share in self.estimated},
            "provenance": self.provenance,
        }

    def short_record(self) -> dict[str, Any]:
        """As JSON shows it beside what was measured."""
        return {
            "first_token_ms": round(self.ttft_ms, 3),
            "decode_tok_s": round(self.decode_tok_s, 2),
            "total_ms": round(self.total_ms, 3),
            "interval": {"low_ms": round(self.low_ms, 3), "high_ms": round(self.high_ms, 3)},
            "memory_bytes": self.memory.total,
            "joules": round(self.joules, 4),
            "usd": _significant(self.usd),
            "bound_by": self.bound_by,
            "basis": self.provenance["machine"],
        }


def step_costs(artifact: Artifact) -> StepCosts:
    """What an artifact's steps move and compute."""
    return StepCosts(artifact.phases(), artifact.manifest.weights_bytes)


def beginning(machine: Machine) -> Beginning:
    """What a request takes beside its steps; nothing, where kernels were not measured."""
    if machine.kernels is None:
        return AT_ONCE
    engine = machine.kernels.engine
    return Beginning(engine.request_us / 1e6, engine.idle_us / 1e6)


def step_price(model: Artifact | PlannedModel, machine: Machine) -> StepPrice:
    """A model's steps on a machine, as it runs the model's instruction set.

    Raises:
        MachineError: it cannot run it.
    """
    if isinstance(model, PlannedModel):
        return StepPrice(model.costs, machine_for(model.target, machine, model.name))
    here = machine_for(model.manifest.target, machine, str(model.directory))
    return StepPrice(step_costs(model), here)


def capacity(model: PlannedModel, sequences: int) -> Capacity:
    """What a program holds that is loaded for so many sequences of full context."""
    sizes = model.sizes
    n_blocks = sequences * model.blocks
    return Capacity(sizes.max_tokens, sizes.max_rows, n_blocks, sizes.context, sizes.rewindable)


def sequences_for(model: PlannedModel, case: Case) -> int:
    """Sequences of full context that have the blocks that a case needs."""
    return -(-case.batch * -(-case.tokens // BLOCK_TOKENS) // model.blocks)


def check_case(model: PlannedModel, case: Case) -> None:
    """Refuse what a program cannot do at once.

    Raises:
        RequestError: says what it could.
    """
    sizes = model.sizes
    if case.tokens > sizes.context:
        raise RequestError(
            f"{case.prompt_tokens} tokens in and {case.output_tokens} out are more than the "
            f"context of {sizes.context} holds",
            where=model.name,
            remedy=_fewer(model, case),
            too_long=True,
        )
    most = min(sizes.max_rows, sizes.max_tokens)
    if case.batch > most:
        raise RequestError(
            f"a batch of {case.batch} is more than the {most} sequences that run at once",
            where=model.name,
            remedy=f"ask for a batch of at most {most}",
        )


def _fewer(model: PlannedModel, case: Case) -> str:
    """What to do about a case that is longer than a program's context."""
    if model.longest is not None and case.tokens > model.longest:
        return f"ask for fewer: {model.longest} tokens are the most that the model itself holds"
    verb = "compile with" if model.made_from == "artifact" else "give"
    return f"ask for fewer, or {verb} a longer --context"


def forecast(
    model: PlannedModel,
    machine: Machine,
    case: Case,
    price: StepPrice | None = None,
    room_bytes: int | None = None,
) -> Forecast:
    """What a case will take on a machine.

    Args:
        price: of the model's steps on the machine, where it is at hand.
        room_bytes: memory that there is; what does not fit is forecast all the same, and says so.

    Raises:
        RequestError: the case is more than the program can do.
        MachineError: the machine cannot run the model's instruction set.
    """
    check_case(model, case)
    price = price or step_price(model, machine)
    machine = price.machine
    sequences = sequences_for(model, case)
    done = rehearse(
        [Arrival(0, case.prompt_tokens, case.output_tokens)] * case.batch,
        capacity(model, sequences),
        price,
        beginning=beginning(machine),
    )
    first_ms, last_ms, pace_ms = _slowest(done)
    seconds = done.end_ns / 1e9
    decoding = decode_shape(case.batch, case.prompt_tokens + case.output_tokens / 2)
    bounds = price.bound_by(_last_chunk(model, case)), price.bound_by(decoding)
    return Forecast(
        model,
        machine,
        case,
        ttft_ms=first_ms,
        tpot_ms=pace_ms if case.output_tokens > 1 else None,
        total_ms=last_ms,
        tok_s=case.batch * case.output_tokens / seconds,
        memory=model.memory(machine.threads, sequences),
        joules=machine.busy_watts * done.busy_ns / 1e9 / case.batch,
        usd=machine.usd_per_hour * seconds / 3600 / case.batch,
        tpot_by_context=tuple(
            (context, 1e3 * price.seconds(decode_shape(case.batch, context)))
            for context in _contexts(case)
        ),
        bound_by=bounds[first_ms < last_ms - first_ms],
        bounds=bounds,
        estimated=tuple(_estimated_shares(model, case, price).items()),
        room_bytes=room_bytes,
    )


def _estimated_shares(model: PlannedModel, case: Case, price: StepPrice) -> dict[str, float]:
    middle = decode_shape(case.batch, case.prompt_tokens + case.output_tokens / 2)
    if not price.estimated_seconds(middle):
        return {}
    most = model.sizes.max_tokens
    stops = [*range(most, case.prompt_tokens, most), case.prompt_tokens]
    chunks = ((prompt_shape(stop - 1 - (stop - 1) % most, stop), case.batch) for stop in stops)
    return price.estimated_shares([*chunks, (middle, case.output_tokens - 1)])


def _slowest(done: Rehearsal) -> tuple[float, float, float]:
    """Milliseconds to the first token, to the last, and between two, of the slowest answer each."""
    firsts = [one.first_ns - one.arrival.time_ns for one in done.outcomes]
    lasts = [one.last_ns - one.arrival.time_ns for one in done.outcomes]
    paces = [
        (one.last_ns - one.first_ns) / max(1, one.arrival.n_output - 1) for one in done.outcomes
    ]
    return max(firsts) / 1e6, max(lasts) / 1e6, max(paces) / 1e6


def _last_chunk(model: PlannedModel, case: Case) -> StepShape:
    start = (case.prompt_tokens - 1) // model.sizes.max_tokens * model.sizes.max_tokens
    return prompt_shape(start, case.prompt_tokens, rows=1)


def _contexts(case: Case) -> list[int]:
    """Lengths from the prompt's to the answer's end, not too many."""
    first, last = case.prompt_tokens + 1, case.tokens
    step = max(1, -(-(last - first) // (CONTEXTS_SHOWN - 1)))
    return sorted({*range(first, last, step), last})


def _significant(value: float) -> float:
    """Four digits of it: prices are of any size."""
    return float(f"{value:.4g}")
