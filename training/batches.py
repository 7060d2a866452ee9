"""The endless stream of training batches: a pure function of (seed, position)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.chat_format import Lesson, conversation, lesson
from training.problems import KINDS, Message, Problem, draw

_POOL_BATCHES = 16
_TURNS = ((1, 2, 4, 8), (72, 14, 10, 4))
"""How many problems share a conversation, and how often: long ones teach the far positions."""


@dataclass(frozen=True)
class Batch:
    """`tokens` [rows, length] int64 and `learned` [rows, length] bool, padded at the end.

    Attention is causal and the padding comes last, so it needs no mask.
    """

    tokens: NDArray[np.int64]
    learned: NDArray[np.bool_]
    real_tokens: int


def _problem(rng: Random, seed: int, index: int) -> Problem:
    kinds = list(KINDS.values())
    kind = rng.choices(kinds, [kind.share for kind in kinds])[0]
    return draw(kind, "train", seed, index)


def _lesson(seed: int, index: int, tokenizer: Tokenizer, max_tokens: int) -> Lesson:
    """The index-th conversation: mostly one problem, sometimes several one after another."""
    rng = Random(f"{seed}/conversation/{index}")
    messages: tuple[Message, ...] = ()
    for turn in range(rng.choices(*_TURNS)[0]):
        messages += conversation(_problem(rng, seed, index * 8 + turn))
    return lesson(messages, tokenizer, max_tokens)


def batches(
    tokenizer: Tokenizer, seed: int, batch_tokens: int, max_tokens: int, start: int = 0
) -> Iterator[Batch]:
    """Batches from position `start` on, each about `batch_tokens` tokens, padding included.

    Conversations are drawn a pool at a time and sorted by length within it, so that those in a
    batch are nearly as long as each other; the batches of a pool come in random order. Positions
    count batches; a pool holds a fixed number of conversations, hence a varying number of batches.
    """
    position = 0
    pool_index = 0
    while True:
        pool = _pool(tokenizer, seed, pool_index, batch_tokens, max_tokens)
        if position + len(pool) > start:
            yield from pool[max(0, start - position) :]
        position += len(pool)
        pool_index += 1


def _pool(
    tokenizer: Tokenizer, seed: int, pool_index: int, batch_tokens: int, max_tokens: int
) -> list[Batch]:
    count = _POOL_BATCHES * batch_tokens // 160
    lessons = sorted(
        (
            _lesson(seed, pool_index * count + index, tokenizer, max_tokens)
            for index in range(count)
        ),
        key=lambda each: len(each.tokens),
    )
    grouped: list[list[Lesson]] = [[]]
    for each in lessons:
        if (len(grouped[-1]) + 1) * len(each.tokens) > batch_tokens:
            grouped.append([])
        grouped[-1].append(each)
    Random(f"{seed}/order/{pool_index}").shuffle(grouped)
    return [_padded(group) for group in grouped]


def _padded(group: list[Lesson]) -> Batch:
    length = max(len(each.tokens) for each in group)
    tokens = np.zeros((len(group), length), dtype=np.int64)
    learned = np.zeros((len(group), length), dtype=np.bool_)
    for row, each in enumerate(group):
        tokens[row, : len(each.tokens)] = each.tokens
        learned[row, : len(each.tokens)] = each.learned
    return Batch(tokens, learned, sum(len(each.tokens) for each in group))
