"""Draws accuracy against time: a line a strategy, over its budgets, beside what was told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.evaluation.measured import Measured
from foreknown.report.plots import BLUE, GREY, PALE, RED, drawn, in_decades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, RED, "#4c8c4a", "#7a5195", "#d4a017", PALE, "#3d5a80", "#a05195")


def draw_evaluation(measured: Sequence[Measured], title: str, path: Path) -> None:
    """One field a task; what was not timed is left out.

    Args:
        path: see `report.plots.check_plot`.
    """
    tasks = list(dict.fromkeys(one.task for one in measured))
    with drawn(path, 1, len(tasks), title, 7) as (figure, axes):
        for axis, task in zip(axes, tasks, strict=True):
            _draw_task(axis, [one for one in measured if one.task == task], task)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False)


def _draw_task(axis: Axes, measured: Sequence[Measured], task: str) -> None:
    lines: dict[str, list[Measured]] = {}
    for one in measured:
        if one.seconds is not None:
            lines.setdefault(_name(one), []).append(one)
    for place, (name, own) in enumerate(lines.items()):
        colour = GREY if own[0].setting.is_baseline else COLOURS[place % len(COLOURS)]
        _draw_line(axis, sorted(own, key=lambda one: one.seconds or 0.0), name, colour)
    in_decades(axis)
    axis.set(title=task, xlabel="seconds an answer; hollow: told before, at most", ylabel="% right")


def _draw_line(axis: Axes, measured: Sequence[Measured], name: str, colour: str) -> None:
    """Measured points with their intervals; hollow, what was told of each at most."""
    seconds = [one.seconds or 0.0 for one in measured]
    right = [100 * one.accuracy for one in measured]
    low = [100 * (one.accuracy - one.interval.low) for one in measured]
    high = [100 * (one.interval.high - one.accuracy) for one in measured]
    axis.errorbar(
        seconds, right, yerr=[low, high], fmt="o-", ms=4, lw=1, capsize=2, color=colour, label=name
    )
    for one, share in zip(measured, right, strict=True):
        if one.forecast is not None:
            axis.plot([one.forecast], [share], "o", ms=5, mfc="none", mec=colour)


def _name(one: Measured) -> str:
    return "direct, greedy" if one.setting.is_baseline else str(one.setting.call)
