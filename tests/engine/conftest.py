"""The sampler built for two instruction sets, and a small model with a deterministic past."""

from __future__ import annotations

import codecs
import ctypes
import platform
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import foreknown.targets.cpu
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.graph.batch import BLOCK_TOKENS, Batch

RUNTIME = Path(foreknown.targets.cpu.__file__).parent / "runtime"
FLAGS = ("-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-std=c11")


@pytest.fixture(scope="session")
def build_sampler(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ctypes.CDLL]:
    """Compiles the sampler with more flags."""

    def build(*more: str) -> ctypes.CDLL:
        built = tmp_path_factory.mktemp("sampler") / "sampler.so"
        compiler = (sys.executable, "-m", "ziglang", "cc")
        strict = ("-Wall", "-Wextra", "-Werror")
        source = str(RUNTIME / "sample.c")
        subprocess.run([*compiler, *FLAGS, *strict, *more, "-o", built, source], check=True)
        return ctypes.CDLL(str(built))

    return build


@pytest.fixture(scope="session")
def library(build_sampler: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    fast = ("-march=x86_64_v3",) if platform.machine() == "x86_64" else ()
    return build_sampler(*fast)


class FakeProgram:
    """A model whose logits are a hash of the sequence's tokens, read back from its blocks.

    A block that is lost, lent twice or not computed changes what comes out.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        vocab_size: int = 40,
        context: int = 96,
        max_tokens: int = 24,
        max_rows: int = 4,
        n_blocks: int = 24,
        rewindable: bool = True,
        hidden_size: int = 8,
    ) -> None:
        self.library = library
        self.hidden_size = hidden_size
        self.rewindable = rewindable
        self.vocab_size = vocab_size
        self.context = context
        self.max_tokens = max_tokens
        self.max_rows = max_rows
        self.n_blocks = n_blocks
        self.state = np.full(n_blocks * BLOCK_TOKENS, -1, np.int32)
        self.broken_after: int | None = None
        self.batches: list[int] = []
        self.copies: list[tuple[int, int]] = []
        self._hidden = np.zeros((max_rows, hidden_size), np.float32)

    def step(self, batch: Batch) -> NDArray[np.float32]:
        batch.check(self.vocab_size, self.context, self.n_blocks)
        assert len(batch.tokens) <= self.max_tokens
        assert len(batch.rows) <= self.max_rows
        self.batches.append(len(batch.tokens))
        blocks = batch.block_tables[batch.sequence, batch.positions // BLOCK_TOKENS]
        self.state[blocks * BLOCK_TOKENS + batch.positions % BLOCK_TOKENS] = batch.tokens
        logits = np.empty((len(batch.rows), self.vocab_size), np.float32)
        self._hidden[:] = np.nan
        for row, index in enumerate(batch.rows):
            logits[row] = self._logits(batch, int(index))
            seed = zlib.crc32(logits[row].tobytes())
            self._hidden[row] = np.random.default_rng(seed).normal(0, 1, self.hidden_size)
        return logits

    def hidden(self, n_rows: int) -> NDArray[np.float32]:
        return self._hidden[:n_rows]

    def copy_block(self, source: int, destination: int) -> None:
        assert self.rewindable
        self.copies.append((source, destination))
        state = self.state.reshape(self.n_blocks, BLOCK_TOKENS)
        state[destination] = state[source]

    def _logits(self, batch: Batch, index: int) -> NDArray[np.float32]:
        position = np.arange(batch.positions[index] + 1)
        table = batch.block_tables[batch.sequence[index]]
        past = self.state[table[position // BLOCK_TOKENS] * BLOCK_TOKENS + position % BLOCK_TOKENS]
        if self.broken_after is not None and len(past) > self.broken_after:
            return np.full(self.vocab_size, np.nan, np.float32)
        return self._logits_after(past)

    def _logits_after(self, past: NDArray[np.int32]) -> NDArray[np.float32]:
        random = np.random.default_rng(zlib.crc32(past.tobytes()))
        return random.normal(0, 3, self.vocab_size).astype(np.float32)


class RecurrentProgram(FakeProgram):
    """A model with one state for the whole past, which each block keeps as it was at its end.

    It can only go on where a block's state stands.
    """

    def __init__(self, library: ctypes.CDLL, **sizes: Any) -> None:
        super().__init__(library, **{**sizes, "rewindable": False})
        self.seen: list[bytes | None] = [None] * self.n_blocks

    def step(self, batch: Batch) -> NDArray[np.float32]:
        tables = batch.block_tables[batch.sequence]
        each = zip(batch.tokens.tolist(), batch.positions.tolist(), tables, strict=True)
        for token, position, table in each:
            block, place = divmod(position, BLOCK_TOKENS)
            before = b"" if not position else self.seen[table[block - (not place)]]
            assert before is not None
            assert len(before) == 4 * position
            self.seen[table[block]] = before + token.to_bytes(4, "little")
        return super().step(batch)

    def _logits(self, batch: Batch, index: int) -> NDArray[np.float32]:
        table = batch.block_tables[batch.sequence[index]]
        position = int(batch.positions[index])
        seen = self.seen[table[position // BLOCK_TOKENS]]
        assert seen is not None
        return self._logits_after(np.frombuffer(seen, np.int32)[: position + 1])


class RepeatingProgram(FakeProgram):
    """A model that mostly goes by its last tokens, so its text comes back to where it was.

    All of the past still shows in the last bits of every logit.

    Attributes:
        memory: how many tokens it goes by.
        clock: given what a step of so many tokens takes, moves on with every step.
    """

    def __init__(self, library: ctypes.CDLL, memory: int = 1, **sizes: Any) -> None:
        super().__init__(library, **{"max_rows": 16, **sizes})
        self.memory = memory
        self.clock: StepClock | None = None

    def step(self, batch: Batch) -> NDArray[np.float32]:
        if self.clock is not None:
            self.clock.advance(len(batch.tokens))
        return super().step(batch)

    def _logits_after(self, past: NDArray[np.int32]) -> NDArray[np.float32]:
        recent = np.random.default_rng(zlib.crc32(past[-self.memory :].tobytes()))
        logits = recent.normal(0, 3, self.vocab_size) + super()._logits_after(past) * 1e-3
        return logits.astype(np.float32)


class StepClock:
    """Time that passes in steps only, as long as a table says."""

    def __init__(self, seconds: Callable[[int], float]) -> None:
        self.seconds = seconds
        self.now = 0.0

    def advance(self, n_tokens: int) -> None:
        self.now += self.seconds(n_tokens)

    def now_ns(self) -> int:
        return round(self.now * 1e9)


@pytest.fixture(scope="session")
def repeating(library: ctypes.CDLL) -> Callable[..., RepeatingProgram]:
    return lambda **settings: RepeatingProgram(library, **settings)


@pytest.fixture(scope="session")
def recurrent(library: ctypes.CDLL) -> Callable[..., RecurrentProgram]:
    return lambda **sizes: RecurrentProgram(library, **sizes)


@pytest.fixture(scope="session")
def new_program(library: ctypes.CDLL) -> Callable[..., FakeProgram]:
    return lambda **sizes: FakeProgram(library, **sizes)


class ByteDetokenizer:
    """Tokens are bytes of UTF-8; a character is shown when it is whole."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int, /) -> str:
        return self._decoder.decode(bytes([token]))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class ScriptedProgram(FakeProgram):
    """Says the given tokens, one after the other, whatever the prompt (of one token)."""

    def __init__(self, library: ctypes.CDLL, script: bytes) -> None:
        super().__init__(library, vocab_size=256, context=400, n_blocks=25)
        self.script = script

    def _logits(self, batch: Batch, index: int) -> NDArray[np.float32]:
        logits = np.zeros(self.vocab_size, np.float32)
        logits[self.script[batch.positions[index]]] = 10
        return logits


@pytest.fixture(scope="session")
def say(library: ctypes.CDLL) -> Callable[..., tuple[list[str], str | None, list[int]]]:
    """Runs a script of bytes through an engine: text pieces, finish reason, tokens."""

    def run(
        script: bytes, end_ids: tuple[int, ...] = (), **params: object
    ) -> tuple[list[str], str | None, list[int]]:
        engine = Engine(
            ScriptedProgram(library, script), end_ids=end_ids, new_detokenizer=ByteDetokenizer
        )
        settings: dict[str, object] = {"max_tokens": len(script), "temperature": 0.0, **params}
        request = Request([1], SamplingParams(**settings))  # type: ignore[arg-type]
        outputs = list(engine.generate([request]))
        engine.check_integrity()
        tokens = [output.token for output in outputs if output.token is not None]
        return [output.text for output in outputs], outputs[-1].finish_reason, tokens

    return run
