"""Server-sent events, written with as little work for each as can be."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from foreknown.server.underway import Underway

DONE = b"data: [DONE]\n\n"


def event(body: Any, name: str = "") -> bytes:
    """One event: its name, if it has one, and its body as JSON."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode() if name else f"data: {data}\n\n".encode()


class EventStream(StreamingResponse):
    """A response of events about a generation; each item is sent at once.

    A client that leaves cancels the task that runs this (see `connections.py`), wherever it
    stands; the generation is closed in any case.
    """

    def __init__(self, generation: Underway, events: AsyncGenerator[bytes, None]) -> None:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._generation, self._events = generation, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async with aclosing(self._events) as events:
                async for chunk in events:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._generation.close()
