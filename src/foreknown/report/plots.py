"""Draws what was simulated, as SVG or PNG; matplotlib is imported only when a plot is drawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foreknown.errors import RequestError
from foreknown.report.load_search import Load
from foreknown.report.simulation import Simulation, e2e_ms, ttft_ms
from foreknown.report.tables import seconds_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, PALE, RED, GREY = "#1b6ca8", "#7fb2d9", "#c8553d", "#8a8f98"
SUFFIXES = (".svg", ".png")
WINDOWS = 200
"""Of the time that a plot spans."""


def check_plot(path: Path) -> None:
    """Whether a plot could be drawn there; asked before anything is computed for it.

    Raises:
        RequestError: another suffix, no such folder, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(
            f"a plot is {' or '.join(SUFFIXES)}, not {path.suffix or 'without a suffix'}",
            where=str(path),
            remedy="name a file that ends in one of them",
        )
    if not path.absolute().parent.is_dir():
        raise RequestError(
            "there is no such folder for the plot", where=str(path), remedy="make it first"
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise RequestError(
            "drawing needs the package matplotlib", remedy="pip install 'foreknown[plots]'"
        )


@contextmanager
def drawn(
    path: Path, rows: int, columns: int, title: str, width: float = 5.5
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of axes in rows and columns, written to a file when the block ends.

    Args:
        width: of a column, in inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,  # the same figures give the same file
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e8eb",
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(width * columns, 0.5 + 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        figure.suptitle(title, fontsize=11)
        yield figure, list(axes.flat)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=metadata)


def draw_simulation(done: Simulation, title: str, path: Path) -> None:
    """Arrivals, queue and busy share over time, and how first tokens and answers are spread."""
    with drawn(path, 2, 2, title) as (_, (arrivals, spread, queue, busy)):
        end_s = max(done.simulated_s, 1e-9)
        scale, unit = (60, "minutes") if end_s > 300 else (1, "seconds")
        edges_s = np.linspace(0, end_s, WINDOWS + 1)
        middles, width = (edges_s[:-1] + edges_s[1:]) / 2 / scale, end_s / WINDOWS
        times_s = [one.arrival.time_ns / 1e9 for one in done.rehearsal.outcomes]
        counts, _ = np.histogram(times_s, edges_s)
        arrivals.bar(middles, counts / width, width / scale, color=BLUE)
        arrivals.set(title="arrivals", ylabel="requests a second")

        line, edges = done.timeline, edges_s[:-1] / scale
        answering = line.largest_in(line.answering, edges_s)
        waiting = line.largest_in(line.waiting, edges_s)
        queue.step(edges, answering, where="post", color=PALE, label="being answered")
        queue.step(edges, waiting, where="post", color=RED, label="waiting for the first token")
        queue.legend(frameon=False)
        queue.set(title="requests at once", ylabel="requests", ylim=(0, None))

        busy.fill_between(edges, 100 * line.busy_shares(edges_s), step="post", color=PALE)
        busy.axhline(100 * done.utilisation, color=BLUE, lw=1.2, label="mean")
        busy.legend(frameon=False, loc="lower right")
        busy.set(title="busy", ylabel="% of the time", ylim=(0, 100))
        for axis in (arrivals, queue, busy):
            axis.set(xlabel=unit, xlim=(0, end_s / scale))

        first_s = [ttft_ms(one) / 1e3 for one in done.completed]
        answer_s = [e2e_ms(one) / 1e3 for one in done.completed]
        _spread(spread, "first token", first_s, RED, "right")
        _spread(spread, "whole answer", answer_s, BLUE, "left")
        spread.set(title="answers", xlabel="seconds", ylabel="% of requests", ylim=(0, 100))
        if done.completed:
            in_decades(spread)
            spread.legend(frameon=False, loc="lower right")


def in_decades(axis: Axes) -> None:
    """A logarithmic horizontal axis with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def _spread(axis: Axes, name: str, seconds: list[float], colour: str, side: str) -> None:
    """How many of the requests took at most so long; the median is written to one side."""
    if not seconds:
        return
    ordered = np.sort(seconds)
    shares = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
    axis.step(ordered, shares, where="post", color=colour, label=name)
    middle = float(np.percentile(ordered, 50))
    axis.plot([middle], [50], "o", color=colour, ms=4)
    axis.annotate(
        seconds_text(middle),
        (middle, 50),
        (6 if side == "left" else -6, 0),
        textcoords="offset points",
        ha=side,
        va="center",
        color=colour,
    )


def draw_load(load: Load, title: str, path: Path) -> None:
    """What share of the requests is in time at each rate."""
    with drawn(path, 1, 1, title, 8) as (_, (axis,)):
        rates = [point.requests_s for point in load.points]
        axis.plot(rates, [100 * p.attained for p in load.points], "o-", color=BLUE, ms=4)
        axis.axhline(100 * load.goal.attain, color=GREY, lw=1, ls="--")
        axis.annotate(
            f"{100 * load.goal.attain:g} % wanted",
            (max(rates), 100 * load.goal.attain),
            (0, -11),
            textcoords="offset points",
            ha="right",
            color=GREY,
        )
        if load.carried is not None:
            axis.axvline(load.requests_s, color=RED, lw=1)
            axis.annotate(
                f"{load.requests_s:.3g} a second,\n{load.users:,} users",
                (load.requests_s, 5),
                (5, 0),
                textcoords="offset points",
                color=RED,
            )
        axis.set(xlabel="requests a second", ylabel="% in time", xlim=(0, None), ylim=(0, 103))
