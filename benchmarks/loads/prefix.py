"""What a shared prefix saves: the first token's time of a second request against the first's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from loads.figures import median_ratio, spread
from loads.servers import Server
from loads.side_by_side import Load
from loads.users import Question, answered, random_prompt

PREFIX = 1000
"""Tokens that both share."""
OWN = 16
"""Tokens of each that follow."""


def shared_prefix(server: Server, load: Load, n_times: int) -> dict[str, Any]:
    """Milliseconds to the first token, before and after the prefix was seen; each time another."""
    chance = random.Random(load.seed)
    times: list[list[float]] = [[], []]
    for _ in range(n_times):
        prefix = random_prompt(chance, PREFIX, load.vocabulary)
        for place in times:
            question = Question(prefix + random_prompt(chance, OWN, load.vocabulary), 4)
            place.append(1e3 * asyncio.run(answered(server, question)).first_s)
    return {
        "prefix": PREFIX,
        "first_ms": spread(times[0]),
        "second_ms": spread(times[1]),
        "sooner": median_ratio(times[0], times[1]),
    }
