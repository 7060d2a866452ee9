"""What a request will take, before it runs: rooflines over the plan's own costs.

First form: it knows what the machine moves and computes, not how close the generated code comes.
It is a bound from below on time, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from foreknown.artifact import Artifact
from foreknown.artifact.loading import MemoryPlan, plan_memory
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.machine import Machine
from foreknown.plan.price import StepCosts, StepPrice, StepShape, decode_shape, prompt_shape

BASIS = "rooflines: the best that this machine, as calibrated, can do"


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


def step_costs(artifact: Artifact) -> StepCosts:
    """What an artifact's steps move and compute."""
    return StepCosts(artifact.phases(), artifact.manifest.weights_bytes)


def step_price(artifact: Artifact, machine: Machine) -> StepPrice:
    """An artifact's steps on a machine."""
    return StepPrice(step_costs(artifact), machine)


def prompt_steps(n_tokens: int, max_tokens: int) -> list[StepShape]:
    """The steps that a prompt is cut into; the last gives the first token."""
    steps = []
    for start in range(0, n_tokens, max_tokens):
        stop = min(start + max_tokens, n_tokens)
        steps.append(prompt_shape(start, stop, rows=int(stop == n_tokens)))
    return steps


def forecast(
    artifact: Artifact, machine: Machine, *, prompt_tokens: int, output_tokens: int
) -> Forecast:
    """What one request alone will take on a machine.

    Args:
        output_tokens: at most; fewer are decoded a little faster.
    """
    price, sizes = step_price(artifact, machine), artifact.manifest.sizes
    first = sum(map(price.seconds, prompt_steps(prompt_tokens, sizes.max_tokens)))
    last = min(prompt_tokens + output_tokens, sizes.context)
    middle = decode_shape(1, (prompt_tokens + 1 + last) / 2)
    return Forecast(
        first_token_ms=first * 1e3,
        decode_tok_s=1 / price.seconds(middle),
        memory=plan_memory(artifact, -(-sizes.context // BLOCK_TOKENS), machine.threads),
    )


def step_seconds(artifact: Artifact, machine: Machine) -> Callable[[int, int], float]:
    """What a step of so many tokens and rows of logits will take, at half of the context.

    The plan is read when it is first asked: most runs never do.
    """
    price = cache(lambda: step_price(artifact, machine))
    context = artifact.manifest.sizes.context / 2

    def told(tokens: int, rows: int) -> float:
        attended = tokens * context
        return price().seconds(StepShape(tokens, rows, attended, rows * context))

    return told
