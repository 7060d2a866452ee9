"""What a request will take, before it runs: rooflines over the plan's own costs.

First form: it knows what the machine moves and computes, not how close the generated code comes.
It is a bound from below on time, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from foreknown.artifact import Artifact, PhaseRecord
from foreknown.artifact.loading import MemoryPlan, plan_memory
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine, Work, seconds
from foreknown.plan.costs import Cost, Formula
from foreknown.plan.phases import shared_stages

BASIS = "rooflines: the best that this machine, as calibrated, can do"


@dataclass(frozen=True)
class StepShape:
    """What of a step its cost depends on.

    Attributes:
        tokens: T.
        rows: R.
        context: mean over the tokens of how many positions each attends to.
    """

    tokens: int
    rows: int
    context: float


@dataclass(frozen=True)
class Forecast:
    """Of one request.

    Attributes:
        first_token_ms: from the request to its first token.
        decode_tok_s: tokens a second after that, over the whole output.
        memory: of the loaded program.
    """

    first_token_ms: float
    decode_tok_s: float
    memory: MemoryPlan

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "first_token_ms": round(self.first_token_ms, 3),
            "decode_tok_s": round(self.decode_tok_s, 2),
            "memory_bytes": self.memory.total,
            "basis": BASIS,
        }


class StepCosts:
    """An artifact's phases, ready to be priced for any step."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        self.phases: Sequence[PhaseRecord] = artifact.phases()
        self.total = sum((phase.cost for phase in self.phases), Cost())
        self.stages = len({phase.stage for phase in self.phases})
        self.shared_stages = len(shared_stages(self.phases))

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

    def working_set_bytes(self, step: StepShape) -> float:
        """What steps like this one read again and again: weights, and the past of its rows."""
        per_context = self.total.bytes.per_context * step.context * step.rows
        return self.artifact.manifest.weights_bytes + per_context

    def seconds(self, machine: Machine, step: StepShape) -> float:
        """The least seconds of a step."""
        return seconds(machine, self.works(step), self.working_set_bytes(step), self.meetings(step))


def _work(cost: Cost, step: StepShape) -> Work:
    return Work(_at(cost.bytes, step), _at(cost.flops, step), _at(cost.int8_ops, step))


def _at(formula: Formula, step: StepShape) -> float:
    return formula.at(tokens=step.tokens, rows=step.rows, context=step.context)


def prompt_steps(n_tokens: int, max_tokens: int) -> list[StepShape]:
    """The steps that a prompt is cut into; the last gives the first token."""
    steps = []
    for start in range(0, n_tokens, max_tokens):
        stop = min(start + max_tokens, n_tokens)
        steps.append(StepShape(stop - start, int(stop == n_tokens), (start + 1 + stop) / 2))
    return steps


def forecast(
    artifact: Artifact, machine: Machine, *, prompt_tokens: int, output_tokens: int
) -> Forecast:
    """What one request alone will take on a machine.

    Args:
        output_tokens: at most; fewer are decoded a little faster.
    """
    costs, sizes = StepCosts(artifact), artifact.manifest.sizes
    first = sum(
        costs.seconds(machine, step) for step in prompt_steps(prompt_tokens, sizes.max_tokens)
    )
    last = min(prompt_tokens + output_tokens, sizes.context)
    middle = StepShape(1, 1, (prompt_tokens + 1 + last) / 2)
    return Forecast(
        first_token_ms=first * 1e3,
        decode_tok_s=1 / costs.seconds(machine, middle),
        memory=plan_memory(artifact, -(-sizes.context // BLOCK_TOKENS), machine.threads),
    )


def step_seconds(artifact: Artifact, machine: Machine) -> Callable[[int, int], float]:
    """What a step of so many tokens and rows of logits will take, at half of the context.

    The plan is read when it is first asked: most runs never do.
    """
    costs = cache(lambda: StepCosts(artifact))
    context = artifact.manifest.sizes.context / 2
    return lambda tokens, rows: costs().seconds(machine, StepShape(tokens, rows, context))
