"""What a program must be given, from its plan and its source."""

from __future__ import annotations

from foreknown.plan.plan import Plan
from foreknown.targets.cpu.program import Sizes
from foreknown.targets.cpu.source import Source


def program_sizes(plan: Plan, generated: Source) -> Sizes:
    """What a plan's program must be given."""
    hidden = plan.hidden
    return Sizes(
        vocab_size=plan.graph.outputs["logits"].row_size,
        context=plan.limits.context,
        max_tokens=plan.limits.max_tokens,
        max_rows=plan.limits.max_rows,
        arena_bytes=plan.arena_bytes,
        scratch_bytes=generated.scratch_bytes,
        own_bytes=plan.own_bytes,
        block_bytes=generated.block_bytes,
        logits_offset=plan.logits.offset,
        n_phases=len(plan.phases),
        rewindable=all(slot.kind != "scan" for slot in plan.slots),
        hidden_offset=hidden.offset if hidden else 0,
        hidden_size=hidden.value.row_size if hidden else 0,
    )
