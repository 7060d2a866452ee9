"""Starts `foreknown serve` and speaks HTTP with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

START_S = 60.0


@dataclass
class Served:
    """A running server.

    Attributes:
        url: its address, without a slash at the end.
        log: what it wrote to standard error so far.
    """

    url: str
    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=120, **options)

    def events(self, path: str, body: Any, **options: Any) -> list[Any]:
        """The bodies of all events of a stream, without the last "[DONE]"."""
        found: list[Any] = []
        with httpx.stream("POST", self.url + path, json=body, timeout=120, **options) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    found.append(json.loads(line.removeprefix("data: ")))
        return found

    def engine(self, **options: Any) -> dict[str, Any]:
        """What the first model's engine is doing."""
        found: dict[str, Any] = self.get("/engine", **options).json()["models"][0]
        return found

    def stop(self, timeout_s: float = 60) -> int:
        """Tell it to stop; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Served]:
    """`foreknown serve` with these arguments, on a port of its own, once it is ready."""
    command = [sys.executable, "-m", "foreknown", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    served = Served("", process)
    begun = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            served.log.append(line.rstrip("\n"))
            found = re.search(r"at (http://\S+)", line)
            if found and not served.url:
                served.url = found[1]
                begun.set()
        begun.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert begun.wait(START_S), "the server did not start"
        assert served.url, "\n".join(served.log)
        _until_ready(served)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)
        assert process.stderr is not None
        process.stderr.close()


def _until_ready(served: Served) -> None:
    # The socket listens before the server does: the first request waits in its queue.
    transport = httpx.HTTPTransport(retries=3)
    with httpx.Client(transport=transport, timeout=START_S) as client:
        assert client.get(served.url + "/health/ready").status_code == 200
