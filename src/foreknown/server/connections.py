"""Reads bodies within bounds, and notices clients that are slow or gone.

ASGI middleware around everything: a request's body is read whole, up to a size and a time, before
the route runs; then the request counts as arrived. While the route runs, a client that leaves, or
that does not take what is sent to it, cancels it. So a route only has to clean up when it is
cancelled.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foreknown.server.access import answer
from foreknown.server.errors import Refusal
from foreknown.server.limits import Limits


class Connections:
    """The middleware; see above."""

    def __init__(self, app: ASGIApp, limits: Limits, *, log_bodies: bool = False) -> None:
        self._app, self._limits, self._log_bodies = app, limits, log_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _within(send, self._limits.send_s)
        try:
            async with asyncio.timeout(self._limits.body_s):
                body = await self._body(scope, receive)
            if body is not None:
                _require_unicode(body)
        except TimeoutError:
            what = f"the body did not arrive within {self._limits.body_s:g} seconds"
            await _refuse(scope, sending, Refusal(what, status=HTTPStatus.REQUEST_TIMEOUT))
            return
        except Refusal as refusal:
            await _refuse(scope, sending, refusal)
            return
        if self._log_bodies and body is not None:
            scope["state"]["body"] = body.decode("utf-8", "replace")
        if body is not None:
            scope["state"]["arrival_ns"] = time.monotonic_ns()
            await self._run(scope, body, receive, sending)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client left before its end.

        Raises:
            Refusal: it is too large.
        """
        headers = dict(scope["headers"])
        if int(headers.get(b"content-length", b"0") or b"0") > self._limits.body_bytes:
            raise self._too_large()
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limits.body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal(
            f"the body is larger than {self._limits.body_bytes} bytes",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            code="request_too_large",
        )

    async def _run(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """The route, until it is done or its client is gone."""
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def read() -> Message:
            if waiting:
                return waiting.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()

        route = asyncio.ensure_future(self._app(scope, read, send))
        watcher = asyncio.ensure_future(watch())
        try:
            await asyncio.wait({route, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if not route.done():
                route.cancel()
            await _quietly(route, cancelled=gone.is_set())
        finally:
            watcher.cancel()
            route.cancel()


def _require_unicode(body: bytes) -> None:
    """Refuse what no tokenizer can take and no answer could repeat.

    Raises:
        Refusal: the body is not UTF-8, or a text in it holds half a character of UTF-16.
    """
    try:
        text = body.decode()
        if "\\ud" in text or "\\uD" in text:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise Refusal(f"the body is not UTF-8: byte {error.start}") from None
    except UnicodeEncodeError:
        raise Refusal("a text of the body is not Unicode: it holds a lone surrogate") from None
    except (ValueError, RecursionError):
        return  # the route says what is wrong with it


async def _quietly(route: Awaitable[None], *, cancelled: bool) -> None:
    try:
        await route
    except asyncio.CancelledError:
        if not cancelled:
            raise
    except TimeoutError:  # the client took nothing for too long; its connection is closed
        pass


def _within(send: Send, seconds: float) -> Send:
    """The same, but a client must take what it is sent in time."""

    async def sending(message: Message) -> None:
        async with asyncio.timeout(seconds):
            await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer before any route has seen the request; the rest of the body is not read."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    await answer(closing, refusal, scope["path"], scope["state"]["request_id"])
