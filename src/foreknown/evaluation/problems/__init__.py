"""Seeded problems with worked solutions and exact checkers: pure Python, no outside text."""

from .about import ABOUT
from .arithmetic import ARITHMETIC, ARITHMETIC_LONG
from .countdown import COUNTDOWN, COUNTDOWN_LONG
from .problem import Kind, Message, Problem
from .products import PRODUCTS
from .review import JUDGE, REVIEW
from .split import Split, draw, split_of
from .sums import SUMS
from .totals import TOTALS

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        ARITHMETIC,
        ARITHMETIC_LONG,
        SUMS,
        TOTALS,
        PRODUCTS,
        COUNTDOWN,
        COUNTDOWN_LONG,
        REVIEW,
        JUDGE,
        ABOUT,
    )
}

__all__ = ["KINDS", "Kind", "Message", "Problem", "Split", "draw", "split_of"]
