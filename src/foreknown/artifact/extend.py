"""The record of a deep model's plan, from those of two shorter ones that differ by a period.

    shorter   head · period ·                 tail
    longer    head · period · period ·        tail
    whole     head · period · period · … ·    tail

That the longer one has a period more than the shorter, and the same as it had before, is looked
at, not assumed: where it does not hold the model has to be captured whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from foreknown.targets.cpu.program import Sizes

Phase = Mapping[str, Any]


@dataclass(frozen=True)
class Outlined:
    """Of a plan what its record, its program's sizes and its weights file come to.

    Attributes:
        phases: as plan.json has them.
    """

    phases: tuple[Phase, ...]
    sizes: Sizes
    weights_bytes: int


def extended(shorter: Outlined, longer: Outlined, missing: int) -> Outlined | None:
    """The whole, of so many more periods than the longer; None if the two do not tell."""
    phases = _repeated(shorter.phases, longer.phases, missing)
    one_more = {
        "n_phases": len(longer.phases) - len(shorter.phases),
        "block_bytes": longer.sizes.block_bytes - shorter.sizes.block_bytes,
    }
    grown = {key: getattr(shorter.sizes, key) + more for key, more in one_more.items()}
    if phases is None or replace(shorter.sizes, **grown) != longer.sizes:
        return None
    sizes = {key: getattr(longer.sizes, key) + missing * more for key, more in one_more.items()}
    return Outlined(
        phases,
        replace(longer.sizes, **sizes),
        longer.weights_bytes + missing * (longer.weights_bytes - shorter.weights_bytes),
    )


def _repeated(
    shorter: tuple[Phase, ...], longer: tuple[Phase, ...], missing: int
) -> tuple[Phase, ...] | None:
    short, long = _relative(shorter), _relative(longer)
    more = len(long) - len(short)
    head = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), None)
    head = len(short) if head is None else head
    before, added = long[max(head - more, 0) : head], long[head : head + more]
    if more <= 0 or short[head:] != long[head + more :] or before != added:
        return None
    functions = [p["function"] for p in longer]
    end = head + more
    whole = long[:end] + added * missing + long[end:]
    names = functions[:end] + functions[head:end] * missing + functions[end:]
    phases, stage = [], 0
    for phase, name in zip(whole, names, strict=True):
        stage += phase["stage"]
        phases.append({**phase, "stage": stage, "function": name})
    return tuple(phases)


def _relative(phases: tuple[Phase, ...]) -> list[dict[str, Any]]:
    """Phases that are equal where they do equal work: stages counted from the one before."""
    stages = [0, *(p["stage"] for p in phases)]
    steps = [stage - before for before, stage in pairwise(stages)]
    return [
        {key: value for key, value in {**phase, "stage": step}.items() if key != "function"}
        for phase, step in zip(phases, steps, strict=True)
    ]
