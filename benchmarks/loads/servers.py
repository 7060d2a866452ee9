"""Servers as processes of their own: started, waited for, watched from outside and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systems.worker import LAST_LINES, worker_environment

from loads.connection import Disconnected, ask, head

START_S = 300.0
STOP_S = 60.0


class ServerFailed(Exception):
    """A server did not start, or ended too early."""


@dataclass
class Server:
    """A running server.

    Attributes:
        system: who made it.
        model: the name that requests give.
        settings: how it was started, for the record.
    """

    system: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    settings: str
    model: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def resident_bytes(self) -> int:
        """Memory of its process, mapped files included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def processor_s(self) -> float:
        """Processor time that it has used."""
        after_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path: str) -> Any:
        """A JSON answer; for calls outside of an event loop."""
        return asyncio.run(get_json(self.port, path))

    def last_words(self) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])


def busy_s() -> float:
    """Processor time that everything on this machine has used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:8]]
    user, nice, system, _idle, _waiting, *interrupts = fields
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


async def get_json(port: int, path: str) -> Any:
    """What a server answers to GET."""
    response = await ask(port, head("GET", path, {}), timeout_s=60)
    if response.status != 200:
        raise ServerFailed(f"GET {path} answered {response.status}: {bytes(response.body)!r}")
    return response.json()


def our_command(model: Path | None, port: int, threads: int, more: Sequence[str]) -> list[str]:
    """`foreknown serve`, saying little.

    Args:
        model: an artifact or a checkpoint; None: the bundled one.
    """
    command = [sys.executable, "-m", "foreknown", "serve", *([str(model)] if model else [])]
    return [*command, "--port", str(port), "--threads", str(threads), "--quiet", *more]


def llama_command(
    program: Path, gguf: Path, port: int, threads: int, slots: int, slot_tokens: int
) -> list[str]:
    """llama-server with as many slots as there are users, each with room for a whole request."""
    return [
        *(str(program), "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port)),
        *("--threads", str(threads), "--threads-batch", str(threads)),
        *("--parallel", str(slots), "--ctx-size", str(slots * slot_tokens), "--cont-batching"),
        *("--flash-attn", "on"),
        # Finished prompts would be copied aside, for others that never come here.
        *("--cache-ram", "0"),
    ]


@contextmanager
def started(system: str, command: Sequence[str], port: int, log: Path) -> Iterator[Server]:
    """A server that answers; it is told to stop at the end.

    Raises:
        ServerFailed: it ended, or did not get ready; with the last lines that it printed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=worker_environment()
        )
    server = Server(system, port, process, log, " ".join(command[1:]))
    try:
        _wait_until_ready(server)
        server.model = server.get("/v1/models")["data"][0]["id"]
        yield server
    finally:
        stop(server)


def stop(server: Server) -> int:
    """Tell it to stop, and wait; its exit status."""
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
    try:
        return server.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        return server.process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait_until_ready(server: Server) -> None:
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        if server.process.poll() is not None:
            raise ServerFailed(f"{server.system} ended at its start\n{server.last_words()}")
        try:
            server.get("/health")
            return
        except (OSError, Disconnected, ServerFailed):
            time.sleep(0.1)
    raise ServerFailed(f"{server.system} was not ready in {START_S:g} s\n{server.last_words()}")
