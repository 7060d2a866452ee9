"""Runs the application on uvicorn until it is told to stop, and then in good order.

The first signal: nothing new begins (503), what runs may finish until a deadline, then it is cut
off, each stream with an error that says why. The second signal ends at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from foreknown.errors import RequestError
from foreknown.server.limits import Limits
from foreknown.server.service import Service

_log = logging.getLogger("foreknown.server")

SWITCH_S = 0.0005
"""After which a thread that computes in Python lets the event loop and the engines have a turn."""
RARELY = 100
"""Collections of what is young, for one of everything; Python's own is 10."""
POLL_S = 0.05
LAST_WORDS_S = 1.0
"""What streams that are cut off have to say so."""


class Server(uvicorn.Server):
    """uvicorn's server, with a way to stop that keeps promises."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._drained: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drained is None and not self.should_exit:
            self._service.draining = True
            loop = asyncio.get_running_loop()
            self._drained = loop.create_task(self._drain())
        else:
            self.force_exit = self.should_exit = True

    async def _drain(self) -> None:
        """Wait for what runs, up to the deadline; then stop."""
        _log.info("stopping: nothing new begins", extra={"event": "draining"})
        deadline_s = time.monotonic() + self._service.limits.shutdown_s
        while self.server_state.tasks and time.monotonic() < deadline_s:
            await asyncio.sleep(POLL_S)
        if self.server_state.tasks:
            n_left = len(self.server_state.tasks)
            _log.warning("%d requests are cut off", n_left, extra={"event": "cut_off"})
            self._service.thread.cancel_all()
            await asyncio.sleep(LAST_WORDS_S)
        self.should_exit = True


def serve(app: FastAPI, service: Service, sockets: list[socket.socket]) -> None:
    """Serve until a signal says stop."""
    limits = service.limits
    sys.setswitchinterval(SWITCH_S)
    # What is there now stays: to look through it for garbage held up all threads for 100 ms. What
    # comes later mostly goes without the collector, so that need not look through all so often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], RARELY)
    config = uvicorn.Config(
        app,
        http=_bounded(limits),
        loop="auto",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=round(limits.idle_s),
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    Server(config, service).run(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        RequestError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        raise RequestError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            remedy="give another --port or --host",
        ) from None
    listening.setblocking(False)
    return listening


def _bounded(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol, with a bound on the time in which a connection's first request begins."""

    class Bounded(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._patience = self.loop.call_later(limits.head_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._patience.cancel()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._head_bytes = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(url)
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(name + value)
            super().on_header(name, value)

        def _count(self, part: bytes) -> None:
            self._head_bytes += len(part)
            if self._head_bytes > limits.head_bytes:
                raise ValueError("the head of the request is too large")  # becomes a 400

        def on_headers_complete(self) -> None:
            self._patience.cancel()
            super().on_headers_complete()

        def _give_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
