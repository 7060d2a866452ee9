"""A system's process, seen from the benchmark: asked one thing at a time, asleep in between."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

BENCHMARKS = Path(__file__).parents[1]
LAST_LINES = 15


class WorkerFailed(Exception):
    """A worker ended or answered with an error."""


class Worker:
    """A process that serves (serving.py).

    Args:
        python: the interpreter of the environment that it runs in.
        module: what it runs, a module of this folder.
        log: where everything it prints is kept.
    """

    def __init__(self, python: Path, module: str, arguments: list[str], log: Path) -> None:
        self.name, self._log = module, log
        self.idle_s = 0.0
        """Processor time that it used while nothing was asked of it."""
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [str(python), "-m", f"systems.{module}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                cwd=BENCHMARKS,
                env=worker_environment(),
            )

    def ask(self, question: str, **fields: Any) -> Any:
        """One question and its answer.

        Raises:
            WorkerFailed: with the error, or the last lines that the process printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"ask": question, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            last = "\n".join(self._log.read_text().splitlines()[-LAST_LINES:])
            raise WorkerFailed(f"{self.name} ended; all it said is in {self._log}\n{last}")
        reply = json.loads(line)
        self.idle_s += reply["idle_s"]
        if "error" in reply:
            raise WorkerFailed(f"{self.name}: {reply['error']}")
        return reply["answer"]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def worker_environment() -> dict[str, str]:
    """Environment variables of every process of a peer: no network."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
