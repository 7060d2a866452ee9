"""Train or test: a function of a problem's key alone, so no test problem can be trained on."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Literal

from .problem import Kind, Problem

Split = Literal["train", "test"]

_TEST_ONE_IN = 10


def split_of(key: str) -> Split:
    """One key in ten is a test key."""
    digest = hashlib.sha256(key.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % _TEST_ONE_IN == 0 else "train"


def draw(kind: Kind, split: Split, seed: int, index: int) -> Problem:
    """The index-th problem of a kind's split: the same for the same arguments, on any machine."""
    rng = Random(f"{seed}/{split}/{kind.name}/{index}")
    while True:
        problem = kind.generate(rng)
        if split_of(problem.key) == split:
            return problem
