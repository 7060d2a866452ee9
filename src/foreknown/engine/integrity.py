"""Checks the engine's books; shares no code with those who keep them (law 9)."""

from __future__ import annotations

from collections import Counter

from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import SequenceState
from foreknown.errors import ForeknownError


class IntegrityError(ForeknownError):
    """The engine's books do not balance: a defect in Foreknown, never of a request."""


def check_integrity(scheduler: Scheduler) -> None:
    """Every block and table is accounted for, and every sequence is where it says it is.

    Raises:
        IntegrityError: a block is lost, lent twice or to nobody; a sequence has too few or too
            many blocks, or is out of order.
    """
    blocks, running, waiting = scheduler.blocks, scheduler.running, list(scheduler.waiting)
    held: Counter[int] = Counter()
    for sequence in running:
        named = f"sequence {sequence.number}"
        _require(sequence.state is SequenceState.RUNNING, f"{named} runs but is {sequence.state}")
        table = blocks.tables[sequence.table, : sequence.n_blocks].tolist()
        _require(len(set(table)) == len(table), f"{named} has a block twice: {table}")
        held.update(table)
        _require(
            sequence.n_computed <= 16 * len(table) < sequence.n_tokens + 16,
            f"{named} has {len(table)} blocks for {sequence.n_computed} computed tokens "
            f"of {sequence.n_tokens}",
        )
        _require(
            0 <= sequence.n_computed < sequence.n_tokens <= len(sequence.tokens),
            f"{named} has computed {sequence.n_computed} of {sequence.n_tokens} tokens",
        )
    for sequence in waiting:
        named = f"sequence {sequence.number}"
        _require(sequence.state is SequenceState.WAITING, f"{named} waits but is {sequence.state}")
        _require(
            sequence.table == -1 and sequence.n_blocks == 0 and sequence.n_computed == 0,
            f"{named} waits and holds state",
        )

    order = [sequence.number for sequence in (*running, *waiting)]
    _require(order == sorted(set(order)), f"sequences are out of order: {order}")

    free = list(blocks.free_blocks)
    _require(len(set(free)) == len(free), "a block is free twice")
    _require(not held.keys() & set(free), "a block is both free and held")
    _require(len(held) + len(free) == blocks.n_blocks, "a block is neither free nor held")
    for block, count in enumerate(blocks.references):
        _require(
            held[block] == count,
            f"block {block} counts {count} references where {held[block]} sequences hold it",
        )
    tables = sorted([*blocks.free_tables, *(sequence.table for sequence in running)])
    _require(tables == list(range(len(blocks.tables))), f"block tables in use or free: {tables}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise IntegrityError(
            what,
            where="the engine's sequences and blocks",
            remedy="restart, and report this as a defect",
        )
