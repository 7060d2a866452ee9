"""Seeded problems with worked solutions and exact checkers: pure Python, no outside text."""

from .about import ABOUT
from .arithmetic import ARITHMETIC, ARITHMETIC_LONG
from .countdown import COUNTDOWN
from .problem import Kind, Message, Problem
from .review import REVIEW
from .split import Split, draw, split_of
from .sums import SUMS

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (ARITHMETIC, ARITHMETIC_LONG, SUMS, COUNTDOWN, REVIEW, ABOUT)
}

__all__ = ["KINDS", "Kind", "Message", "Problem", "Split", "draw", "split_of"]
