"""The endless stream of training batches: a pure function of the seed and a position."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing.pool import Pool
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from foreknown.evaluation.problems import KINDS, Message, Problem, draw
from training.chat_format import Lesson, conversation, lesson

_POOL_CONVERSATIONS = 4096
_TURNS = ((1, 2, 4, 8), (90, 6, 3, 1))
"""How many problems share a conversation, and how often: long ones teach the far positions."""


@dataclass(frozen=True)
class Position:
    """A place in the stream: the pool, and how many of its batches lie behind."""

    pool: int = 0
    batches: int = 0


_BEGINNING = Position()


@dataclass(frozen=True)
class Batch:
    """`tokens` [rows, length] int64 and `learned` [rows, length] bool, padded at the end.

    Attention is causal and the padding comes last, so it needs no mask. `after` is where the
    stream goes on when the batch has been used.
    """

    tokens: NDArray[np.int64]
    learned: NDArray[np.bool_]
    real_tokens: int
    after: Position


def _problem(rng: Random, seed: int, index: int) -> Problem:
    kinds = [kind for kind in KINDS.values() if kind.share > 0]
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
    tokenizer: Tokenizer,
    seed: int,
    batch_tokens: int,
    max_tokens: int,
    start: Position = _BEGINNING,
    processes: int = 0,
) -> Iterator[Batch]:
    """Batches from `start` on, each at most `batch_tokens` tokens, padding included.

    Conversations are drawn a pool at a time and sorted by length within it, so that those in a
    batch are nearly as long as each other; the batches of a pool come in random order. A pool
    holds the same conversations whatever the batch size. Some processes may draw pools beforehand;
    the stream is the same. They begin at once, so that none inherits what comes later.
    """
    make = partial(_pool, tokenizer, seed, batch_tokens, max_tokens)
    pools: Iterable[list[Batch]]
    if processes:
        workers = multiprocessing.get_context("fork").Pool(processes)
        pools = _drawn_ahead(workers, make, start.pool, 2 * processes)
    else:
        pools = map(make, count(start.pool))
    return (
        batch
        for number, pool in enumerate(pools)
        for batch in (pool[start.batches :] if number == 0 else pool)
    )


def _drawn_ahead(
    workers: Pool, make: Callable[[int], list[Batch]], first: int, ahead: int
) -> Iterator[list[Batch]]:
    """The pools in their order, of which so many are being drawn before they are wanted."""
    with workers:
        drawn = deque(workers.apply_async(make, (first + number,)) for number in range(ahead))
        for number in count(first + ahead):
            yield drawn.popleft().get()
            drawn.append(workers.apply_async(make, (number,)))


def _pool(
    tokenizer: Tokenizer, seed: int, batch_tokens: int, max_tokens: int, pool: int
) -> list[Batch]:
    groups = _groups(tokenizer, seed, pool, batch_tokens, max_tokens)
    last = len(groups) - 1
    return [
        _padded(group, Position(pool + 1) if index == last else Position(pool, index + 1))
        for index, group in enumerate(groups)
    ]


def _groups(
    tokenizer: Tokenizer, seed: int, pool: int, batch_tokens: int, max_tokens: int
) -> list[list[Lesson]]:
    """The pool's conversations, those of one batch together."""
    first = pool * _POOL_CONVERSATIONS
    lessons = sorted(
        (
            _lesson(seed, index, tokenizer, max_tokens)
            for index in range(first, first + _POOL_CONVERSATIONS)
        ),
        key=lambda each: len(each.tokens),
    )
    groups: list[list[Lesson]] = [[]]
    for each in lessons:
        if groups[-1] and (len(groups[-1]) + 1) * len(each.tokens) > batch_tokens:
            groups.append([])
        groups[-1].append(each)
    Random(f"{seed}/order/{pool}").shuffle(groups)
    return groups


def _padded(group: list[Lesson], after: Position) -> Batch:
    length = max(len(each.tokens) for each in group)
    tokens = np.zeros((len(group), length), dtype=np.int64)
    learned = np.zeros((len(group), length), dtype=np.bool_)
    for row, each in enumerate(group):
        tokens[row, : len(each.tokens)] = each.tokens
        learned[row, : len(each.tokens)] = each.learned
    return Batch(tokens, learned, sum(len(each.tokens) for each in group), after)
