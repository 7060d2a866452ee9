"""What was measured, as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TextIO

from foreknown.evaluation.measured import Measured
from foreknown.report.objectives import ms_text
from foreknown.report.tables import Table
from foreknown.strategies.budget import Budget

COLUMNS = (
    "strategy",
    "budget",
    "right",
    "95 %",
    "over greedy",
    "tokens",
    "time",
    "told, at most",
    "of it",
    "joules",
    "USD",
    "cut",
    "late",
    "lost",
)


def print_task(measured: Sequence[Measured], file: TextIO) -> None:
    """A task's table; see docs/evaluation.md for its columns."""
    first = measured[0]
    table = Table(f"{first.task}: {first.n} problems", COLUMNS, right=COLUMNS[2:])
    for one in measured:
        table.row(*_cells(one))
    table.print(file)


def _cells(one: Measured) -> list[str]:
    gain = ""
    if not one.setting.is_baseline:
        gain = f"{100 * one.gained:+.1f} ({100 * one.gain.low:+.1f} to {100 * one.gain.high:+.1f})"
    return [
        "direct, greedy" if one.setting.is_baseline else str(one.setting.call),
        budget_text(one.setting.budget),
        f"{100 * one.accuracy:.1f} %",
        f"{100 * one.interval.low:.1f} to {100 * one.interval.high:.1f}",
        gain,
        f"{one.tokens:,.0f}",
        _shown(one.seconds, lambda s: ms_text(1e3 * s)),
        _shown(one.forecast, lambda s: ms_text(1e3 * s)),
        f"{100 * median(one.ratios):.0f} %" if one.ratios else "",
        _shown(one.joules, "{:.3g}".format),
        _shown(one.usd, "{:.2g}".format),
        f"{one.n_cut or ''}",
        f"{one.n_late or ''}",
        f"{sum(bool(judged.failure) for judged in one.judged) or ''}",
    ]


def budget_text(budget: Budget) -> str:
    """In words."""
    limits = []
    if budget.deadline_ms is not None:
        limits.append(ms_text(budget.deadline_ms))
    if budget.max_tokens is not None:
        limits.append(f"{budget.max_tokens:,} tokens")
    return ", ".join(limits)


def _shown(value: float | None, text: Callable[[float], str]) -> str:
    return "" if value is None else text(value)
