"""Percentiles and ratios: what a pile of times comes down to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from loads.users import Round


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of the values, 0 to 1, does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def round_figures(result: Round) -> dict[str, float]:
    """What a round came down to: tokens a second, and milliseconds."""
    first = [answer.first_s for answer in result.answers]
    gaps = [gap for answer in result.answers for gap in answer.gaps_s]
    wall_s = max(answer.token_s[-1] for answer in result.answers) - result.start_s
    return {
        "tok_s": result.tokens_a_second,
        "first_p50_ms": 1e3 * percentile(first, 0.5),
        "first_p99_ms": 1e3 * percentile(first, 0.99),
        "gap_p50_ms": 1e3 * percentile(gaps, 0.5),
        "gap_p99_ms": 1e3 * percentile(gaps, 0.99),
        "client_share": result.client_s / wall_s,
    }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Each figure's median over rounds, and between which values throughput moved."""
    found = {name: round(statistics.median(r[name] for r in rounds), 4) for name in rounds[0]}
    speeds = [r["tok_s"] for r in rounds]
    return {**found, "min_tok_s": round(min(speeds), 4), "max_tok_s": round(max(speeds), 4)}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the rounds' own ratios, which the machine's mood of a round cancels out of."""
    return round(statistics.median(a / b for a, b in zip(above, below, strict=True)), 4)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }
