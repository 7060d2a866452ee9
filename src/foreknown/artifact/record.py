"""plan.json: a plan as a record on disk, for `inspect` to show and forecasts to be made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from foreknown.machine.kernels import kernel_record
from foreknown.plan.constants import Constant, constant_text
from foreknown.plan.costs import phase_cost, phase_kernels
from foreknown.plan.plan import Plan
from foreknown.plan.tiling import block_panels
from foreknown.targets.cpu.source import Source


def plan_record(plan: Plan, generated: Source, bits: int | None = None) -> dict[str, Any]:
    """Phases with their costs, the memory map, constants and state, as JSON holds them.

    Args:
        bits: of low-bit weights, if they were asked for.
    """
    return {
        "limits": asdict(plan.limits),
        "phases": [
            {
                "stage": phase.stage,
                "kind": phase.kind,
                "rows": phase.rows.value,
                "function": function,
                "nodes": [n.op for n in phase.nodes] + [f"store {s.kind}" for s in phase.stores],
                "cost": asdict(phase_cost(phase, plan.constants)),
                "kernels": [kernel_record(k) for k in phase_kernels(phase, plan.constants)],
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
                "why_not_lowbit": _why_not(plan, c, bits),
                "block_panels": _block_panels(c),
            }
            for c in plan.constants.values()
        ],
        "slots": [{"kind": s.kind, "values": [repr(v) for v in s.values]} for s in plan.slots],
    }


def _why_not(plan: Plan, constant: Constant, bits: int | None) -> str | None:
    """Why a matrix is not in as few bits as were asked for; None if it is, or is no matrix."""
    from foreknown.passes.lower_bits import matrix, why_not

    if bits is None or constant.layout == "lowbit":
        return None
    readers = [n for n in plan.graph.users[constant.node] if matrix(n) is constant.node]
    return next(filter(None, map(why_not, readers)), None)


def _block_panels(constant: Constant) -> int | None:
    """Panels of low-bit weights that many rows go over at once; see plan/tiling.py."""
    node = constant.node
    if constant.layout != "lowbit":
        return None
    return block_panels(node.row_shape[-1], node.integer("bits"), node.integer("group"))
