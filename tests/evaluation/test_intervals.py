"""Intervals against published ones, and what must hold of any."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.evaluation.intervals import paired_difference, wilson

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - right, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(
    ("both", "ours", "theirs", "neither", "low", "high"),
    [
        (14, 5, 0, 22, 0.011, 0.226),  # Altman et al., "Statistics with Confidence", 2000, p. 52
        (59, 6, 16, 80, -0.1186, -0.0046),  # Fagerland et al., 2017, on Cavo et al., 2012
    ],
)
def test_paired_difference(
    both: int, ours: int, theirs: int, neither: int, low: float, high: float
) -> None:
    pairs = [(True, True)] * both + [(True, False)] * ours
    pairs += [(False, True)] * theirs + [(False, False)] * neither
    random.Random(0).shuffle(pairs)
    found = paired_difference(*zip(*pairs, strict=True))
    assert found == pytest.approx((low, high), abs=5e-4)


@given(PAIRS)
def test_an_interval_holds_what_was_seen(pairs: list[tuple[bool, bool]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    difference = (sum(ours) - sum(theirs)) / len(pairs)
    low, high = paired_difference(ours, theirs)
    assert -1 <= low <= difference <= high <= 1
    assert low < high
    assert paired_difference(theirs, ours) == pytest.approx((-high, -low))
    low, high = wilson(sum(ours), len(ours))
    assert 0 <= low <= sum(ours) / len(ours) <= high <= 1


def test_of_different_problems_there_is_none() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([True, False], [True])
