"""Whether a request's answer depends on company or on the prefix cache: bytes, compared."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from loads.connection import ask, post
from loads.servers import Server
from loads.side_by_side import Load
from loads.users import BadAnswer, random_prompt

COMPANY = 16
OUTPUT = 48
MOST_PROMPT = 400
CHOICES = '"choices":'


def sameness(server: Server, load: Load, n_times: int) -> dict[str, Any]:
    """How many requests gave other bytes in company, or once their prompt was cached.

    Compared are the bytes of an answer's choices, log-probabilities of tokens among them; names,
    times and the account of what was cached differ rightly. Every other request is sampled.
    """
    return asyncio.run(_sameness(server, load, n_times))


async def _sameness(server: Server, load: Load, n_times: int) -> dict[str, Any]:
    chance = random.Random(load.seed)
    compared = 0
    different: list[dict[str, Any]] = []
    for turn in range(n_times):
        body = _request(chance, server.model, load.vocabulary, sampled=turn % 2 == 1)
        alone = await _bytes(server, body)
        cached = await _bytes(server, body)
        others = [_request(chance, server.model, load.vocabulary) for _ in range(COMPANY)]
        company = [asyncio.create_task(_bytes(server, other)) for other in others]
        await asyncio.sleep(chance.uniform(0, 0.3))
        among = await _bytes(server, body)
        await asyncio.gather(*company)
        # The company is asked again, each alone: it had the same company, and a cache by now.
        again = [await _bytes(server, other) for other in others[:2]]
        pairs = [("cached", alone, cached), ("among others", alone, among)]
        pairs += [("company", one.result(), two) for one, two in zip(company, again, strict=False)]
        compared += len(pairs)
        different += [
            {"turn": turn, "how": how, "first": one.decode(), "second": two.decode()}
            for how, one, two in pairs
            if one != two
        ]
    return {"compared": compared, "different": len(different), "cases": different}


def _request(
    chance: random.Random, model: str, vocabulary: int, sampled: bool = False
) -> dict[str, Any]:
    body = {
        "model": model,
        "prompt": random_prompt(chance, chance.randint(1, MOST_PROMPT), vocabulary),
        "max_tokens": OUTPUT,
        "ignore_eos": True,
        "temperature": 0,
        "logprobs": 3,
    }
    return {**body, "temperature": 0.9, "seed": chance.randrange(2**31)} if sampled else body


async def _bytes(server: Server, body: dict[str, Any]) -> bytes:
    response = await ask(server.port, post("/v1/completions", body))
    if response.status != 200:
        raise BadAnswer(f"status {response.status}: {bytes(response.body[:500])!r}")
    text = response.body.decode()
    start = text.index(CHOICES) + len(CHOICES)
    start += len(text[start:]) - len(text[start:].lstrip())
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end].encode()
