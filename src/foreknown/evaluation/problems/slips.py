"""How a result goes wrong by a slip of one digit."""

from __future__ import annotations

from random import Random


def slip(rng: Random, value: int) -> int:
    """What is added to a value by mistake; never zero, and the value stays above zero."""
    size = rng.choices((1, 2, 10, rng.randint(1, 9), 100), (35, 15, 30, 15, 5))[0]
    sign = -1 if value > size and rng.random() < 0.5 else 1
    return sign * size
