"""How far shares of right answers may be from those of endless problems: 95 % intervals.

Of one share: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
Of the difference of two on the same problems: Newcombe, "Improved Confidence Intervals for the
Difference Between Binomial Proportions Based on Paired Data", Statistics in Medicine 17, 1998,
pages 2635 to 2650, method 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.959963984540054
"""Standard deviations of a normal distribution, either way, that hold 95 % of it."""


class Interval(NamedTuple):
    """From the lower end to the upper one."""

    low: float
    high: float


def wilson(right: int, n: int) -> Interval:
    """Of the share that `right` of `n` answers are; n is above 0."""
    middle = (right + Z * Z / 2) / (n + Z * Z)
    half = Z / (n + Z * Z) * math.sqrt(right * (n - right) / n + Z * Z / 4)
    return Interval(
        0.0 if right == 0 else middle - half,  # rounding would leave a hair
        1.0 if right == n else middle + half,
    )


def paired_difference(ours: Sequence[bool], theirs: Sequence[bool]) -> Interval:
    """Of our share of right answers less theirs, to the same problems in the same order."""
    n = len(ours)
    both, only_ours, only_theirs, neither = (
        sum(pair == which for pair in zip(ours, theirs, strict=True))
        for which in ((True, True), (True, False), (False, True), (False, False))
    )
    our_share, their_share = (both + only_ours) / n, (both + only_theirs) / n
    our, their = wilson(both + only_ours, n), wilson(both + only_theirs, n)
    phi = _correlation(both, only_ours, only_theirs, neither)
    down, up = our_share - our.low, their.high - their_share
    lower = math.sqrt(max(down * down - 2 * phi * down * up + up * up, 0.0))
    up, down = our.high - our_share, their_share - their.low
    upper = math.sqrt(max(up * up - 2 * phi * up * down + down * down, 0.0))
    difference = our_share - their_share
    return Interval(max(difference - lower, -1.0), min(difference + upper, 1.0))


def _correlation(both: int, only_ours: int, only_theirs: int, neither: int) -> float:
    """Of the two, with Newcombe's correction for continuity; 0 where it has no meaning."""
    n = both + only_ours + only_theirs + neither
    margins = (
        (both + only_ours) * (only_theirs + neither) * (both + only_theirs) * (only_ours + neither)
    )
    product = both * neither - only_ours * only_theirs
    corrected = product if product < 0 else max(product - n / 2, 0.0)
    return corrected / math.sqrt(margins) if margins else 0.0
