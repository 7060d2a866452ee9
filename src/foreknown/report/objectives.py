"""Whether a forecast keeps an objective, and by how much it does not."""

from __future__ import annotations

from typing import Any

from foreknown.engine.promises import Objective
from foreknown.report.forecast import Forecast


def miss(objective: Objective, told: Forecast) -> float:
    """How many times too long the worst of the wanted times is; 1 or less: all are kept."""
    pairs = (
        (objective.ttft_ms, told.ttft_ms),
        (objective.tpot_ms, told.tpot_ms),
        (objective.deadline_ms, told.total_ms),
    )
    return max((has / most for most, has in pairs if most and has is not None), default=0.0)


def kept_record(objective: Objective, told: Forecast) -> dict[str, Any]:
    """As JSON shows it beside a forecast; surely: even if it is off by its noise."""
    worst = miss(objective, told)
    return {
        "objective": objective_record(objective),
        "met": worst <= 1,
        "surely_met": worst * (1 + told.noise) <= 1,
    }


def objective_record(objective: Objective | None) -> dict[str, float | None]:
    """As JSON shows it."""
    if objective is None:
        return {"ttft_ms": None, "tpot_ms": None, "total_ms": None}
    return {
        "ttft_ms": objective.ttft_ms,
        "tpot_ms": objective.tpot_ms,
        "total_ms": objective.deadline_ms,
    }


def objective_text(objective: Objective) -> str:
    """In words."""
    parts = (
        ("first token in {}", objective.ttft_ms),
        ("{} a token", objective.tpot_ms),
        ("all in {}", objective.deadline_ms),
    )
    return ", ".join(text.format(ms_text(ms)) for text, ms in parts if ms is not None)


def ms_text(ms: float) -> str:
    """Milliseconds, as seconds where they are many."""
    if ms >= 1_000:
        return f"{ms / 1e3:,.{2 if ms < 10_000 else 1}f} s"
    return f"{ms:,.0f} ms" if ms >= 100 else f"{ms:.3g} ms"
