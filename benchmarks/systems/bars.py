"""Draws a comparison: a bar for each system and case, and a mark at what the machine allows it.

    bars.py PEERS.json PLOT.svg [PLOT.png ...]

Runs wherever matplotlib is installed, which is no dependency of ours.
"""

from __future__ import annotations

import json
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

COLOURS = ("#1b6ca8", "#7fb2d9", "#c8553d", "#e8a798", "#6a8e4e", "#b5c99a")
WIDTH = 0.8
"""Of all bars of a case together; the cases stand 1 apart."""


def draw(record: dict[str, Any], paths: list[Path]) -> None:
    """Bars grouped by case, prompts and decoding apart, each with its own scale."""
    rows = record["rows"]
    systems = list(dict.fromkeys(_name(row) for row in rows))
    kinds = [kind for kind in ("prefill", "decode") if any(r["metric"] == kind for r in rows)]
    counts = [len({r["case"] for r in rows if r["metric"] == kind}) for kind in kinds]
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(11, 4.5), width_ratios=counts, squeeze=False, layout="constrained"
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        _draw_kind(axis, [row for row in rows if row["metric"] == kind], systems)
    axes[0][0].set_ylabel("tokens a second")
    handles, labels = axes[0][-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    machine = record["machine"]
    figure.suptitle(
        f"{record['checkpoint']}: {machine['threads']} threads, {machine['read_gb_s']:.0f} GB/s "
        f"read, {machine['int8_gop_s']:.0f} GOP/s in int8; median of {record['rounds']} rounds",
        fontsize=11,
    )
    for path in paths:
        figure.savefig(path, dpi=150)


def _draw_kind(axis: plt.Axes, rows: list[dict[str, Any]], systems: list[str]) -> None:
    cases = list(dict.fromkeys(row["case"] for row in rows))
    width = WIDTH / len(systems)
    limits: list[tuple[float, float]] = []
    for number, (system, colour) in enumerate(zip(systems, cycle(COLOURS), strict=False)):
        own = [row for row in rows if _name(row) == system]
        middles = [cases.index(r["case"]) - WIDTH / 2 + width * (number + 0.5) for r in own]
        speeds = [row["tok_s"] for row in own]
        spread = [
            [row["tok_s"] - row["min_tok_s"] for row in own],
            [row["max_tok_s"] - row["tok_s"] for row in own],
        ]
        bars = axis.bar(middles, speeds, width * 0.94, label=system, color=colour)
        axis.errorbar(middles, speeds, spread, fmt="none", ecolor="#00000080", lw=0.8)
        axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
        limits += [(m, row["limit_tok_s"]) for m, row in zip(middles, own, strict=True)]
    axis.hlines(
        [limit for _, limit in limits],
        [middle - width * 0.47 for middle, _ in limits],
        [middle + width * 0.47 for middle, _ in limits],
        colors="black",
        lw=1.2,
        label="limit of the machine",
    )
    axis.set_xticks(range(len(cases)), [case.replace(", ", ",\n") for case in cases], fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _name(row: dict[str, Any]) -> str:
    return f"{row['system']} {row['weights']}"


if __name__ == "__main__":
    mpl.use("agg")
    mpl.rcParams["svg.fonttype"] = "none"
    draw(json.loads(Path(sys.argv[1]).read_text()), [Path(path) for path in sys.argv[2:]])
