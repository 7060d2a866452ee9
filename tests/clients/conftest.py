"""A server as users start it, and surroundings in which a client reaches nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Served, serving

# Read when litellm is imported, which is before any fixture: it fetches prices otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
KEY = "secret-key-1"


@pytest.fixture(scope="session")
def locked(bundled_artifact: Path) -> Iterator[Served]:
    """The same for those who have the key."""
    with serving(f"bundled={bundled_artifact}", FOREKNOWN_API_KEYS=f"me {KEY}") as server:
        yield server


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    """OpenAI's client of the server; it never tries again, so that tests see what happened."""
    openai = pytest.importorskip("openai", reason="needs the openai package")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_but_us(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings of the user's, and no address beyond this machine: the test fails that asks one.

    Clients swallow errors of their side errands, so what was asked for is looked at afterwards.
    """
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "ANTHROPIC_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    elsewhere: list[str] = []
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in LOOPBACK:
            elsewhere.append(name)
            raise socket.gaierror(socket.EAI_NONAME, "tests stay on this machine")
        return resolve(host, *arguments, **options)

    def reach(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            elsewhere.append(address[0])
            raise ConnectionRefusedError("tests stay on this machine")
        connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", reach)
    yield
    assert not elsewhere
