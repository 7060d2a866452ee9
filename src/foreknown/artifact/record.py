"""plan.json: a plan as a record on disk, for `inspect` to show and forecasts to be made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from foreknown.plan.constants import constant_text
from foreknown.plan.costs import phase_cost
from foreknown.plan.plan import Plan
from foreknown.targets.cpu.source import Source


def plan_record(plan: Plan, generated: Source) -> dict[str, Any]:
    """Phases with their costs, the memory map, constants and state, as JSON holds them."""
    return {
        "limits": asdict(plan.limits),
        "phases": [
            {
                "stage": phase.stage,
                "kind": phase.kind,
                "function": function,
                "nodes": [n.op for n in phase.nodes] + [f"store {s.kind}" for s in phase.stores],
                "cost": asdict(phase_cost(phase, plan.constants)),
            }
            for phase, function in zip(plan.phases, generated.functions, strict=True)
        ],
        "memory": {
            "weights_bytes": plan.weights_bytes,
            "arena_bytes": plan.arena_bytes,
            "scratch_bytes_per_thread": generated.scratch_bytes,
            "state_bytes_per_block": generated.block_bytes,
        },
        "buffers": [
            {
                "value": repr(b.value),
                **{k: getattr(b, k) for k in ("offset", "bytes", "born", "dies")},
            }
            for b in plan.buffers
        ],
        "constants": [
            {
                "value": constant_text(c.node),
                "shape": list(c.node.row_shape),
                **{k: getattr(c, k) for k in ("layout", "stored", "offset", "bytes")},
            }
            for c in plan.constants.values()
        ],
        "slots": [{"kind": s.kind, "values": [repr(v) for v in s.values]} for s in plan.slots],
    }
