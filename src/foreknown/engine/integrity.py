"""Checks the engine's books; shares no code with those who keep them (law 9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

from foreknown.engine.block_manager import BlockManager
from foreknown.engine.progress import SequenceState
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.errors import ForeknownError


class IntegrityError(ForeknownError):
    """The engine's books do not balance: a defect in Foreknown, never of a request."""


def check_integrity(scheduler: Scheduler[Sequence]) -> None:
    """Every block and table is accounted for, and every sequence is where it says it is.

    Raises:
        IntegrityError: a block is lost, lent twice or to nobody, or said to hold what it does
            not; a sequence has too few or too many blocks, or is out of order.
    """
    running = scheduler.running
    held: Counter[int] = Counter()
    for sequence in running:
        held.update(_check_running(scheduler, sequence))
    _check_waiting(scheduler)
    for name, queue in (("running", running), ("waiting", scheduler.waiting)):
        order = [sequence.order for sequence in queue]
        _require(order == sorted(set(order)), f"{name} sequences are out of order: {order}")
    _check_blocks(scheduler, held)
    _check_digests(scheduler)
    blocks = _lender(scheduler)
    tables = sorted([*blocks.free_tables, *(s.table for s in running)])
    _require(
        tables == list(range(len(blocks.tables))),
        f"block tables in use or free: {tables}",
    )


def _lender(scheduler: Scheduler[Sequence]) -> BlockManager:
    assert isinstance(scheduler.blocks, BlockManager)
    return scheduler.blocks


def _check_running(scheduler: Scheduler[Sequence], sequence: Sequence) -> list[int]:
    """The blocks of a running sequence."""
    named = f"sequence {sequence.number}"
    _require(sequence.state is SequenceState.RUNNING, f"{named} runs but is {sequence.state}")
    table: list[int] = _lender(scheduler).tables[sequence.table, : sequence.n_blocks].tolist()
    _require(len(set(table)) == len(table), f"{named} has a block twice: {table}")
    _require(
        sequence.n_computed <= 16 * len(table) < sequence.n_tokens + 16,
        f"{named} has {len(table)} blocks for {sequence.n_computed} computed tokens "
        f"of {sequence.n_tokens}",
    )
    waits = sequence.beams is not None  # for the other beams of its search
    _require(
        0 <= sequence.n_computed < sequence.n_tokens + waits <= len(sequence.tokens) + waits,
        f"{named} has computed {sequence.n_computed} of {sequence.n_tokens} tokens",
    )
    return table


def _check_waiting(scheduler: Scheduler[Sequence]) -> None:
    leaders = {sequence.number: sequence for sequence in (*scheduler.running, *scheduler.waiting)}
    for number, followers in scheduler.followers.items():
        _require(bool(followers), f"nobody waits for sequence {number}")
        _require(number in leaders, f"sequences wait for {number}, which is gone")
        leader = leaders[number]
        _require(
            leader.n_tokens == leader.n_prompt,
            f"sequences wait for {number}, whose prompt is computed",
        )
    for sequence in (*scheduler.waiting, *(s for f in scheduler.followers.values() for s in f)):
        named = f"sequence {sequence.number}"
        _require(sequence.state is SequenceState.WAITING, f"{named} waits but is {sequence.state}")
        _require(
            sequence.table == -1 and sequence.n_blocks == 0 and sequence.n_computed == 0,
            f"{named} waits and holds state",
        )


def _check_blocks(scheduler: Scheduler[Sequence], held: Counter[int]) -> None:
    blocks = _lender(scheduler)
    free = [*blocks.blank, *blocks.cached]
    _require(len(set(free)) == len(free), "a block is free twice")
    copied = Counter(blocks.copies.values())
    used = held + copied
    _require(not used.keys() & set(free), "a block is both free and in use")
    _require(len(used) + len(free) == blocks.n_blocks, "a block is neither free nor in use")
    for block, count in enumerate(blocks.references):
        _require(
            used[block] == count,
            f"block {block} counts {count} references where {held[block]} sequences hold it "
            f"and {copied[block]} copies are to be made of it",
        )
    for block in blocks.copies:
        _require(held[block] == 1, f"block {block} is to be written, but {held[block]} hold it")


def _check_digests(scheduler: Scheduler[Sequence]) -> None:
    blocks = _lender(scheduler)
    prefixes = blocks.prefixes
    known = {digest: block for block, own in prefixes.digests.items() for digest in own}
    _require(known == prefixes.blocks, "digests and blocks do not belong together")
    _require(all(prefixes.digests.values()), "a block is in the prefix cache without a digest")
    for block in blocks.blank:
        _require(block not in prefixes.digests, f"block {block} is blank and has a digest")
    for block in blocks.cached:
        _require(block in prefixes.digests, f"block {block} is kept for nothing")
    for sequence in scheduler.running:
        table = blocks.tables[sequence.table, : sequence.n_blocks].tolist()
        for block, computed in zip(table, _computed_digests(sequence, len(table)), strict=True):
            wrong = set(prefixes.digests.get(block, ())) - computed
            if block in blocks.copies:
                wrong = set(prefixes.digests.get(block, ()))
            _require(
                not wrong,
                f"block {block} of sequence {sequence.number} is said to hold what was not "
                "computed",
            )


def _computed_digests(sequence: Sequence, n_blocks: int) -> Iterator[set[bytes]]:
    """Of each block, the digests of whatever of it is computed."""
    parent = blake2b(sequence.salt.encode(), digest_size=16).digest()
    for first in range(0, 16 * n_blocks, 16):
        digests = [
            blake2b(
                parent
                + b"".join(int(t).to_bytes(4, "little") for t in sequence.tokens[first:last]),
                digest_size=16,
            ).digest()
            for last in range(first + 1, min(first + 16, sequence.n_computed) + 1)
        ]
        parent = digests[-1] if digests else b""
        yield set(digests)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise IntegrityError(
            what,
            where="the engine's sequences and blocks",
            remedy="restart, and report this as a defect",
        )
