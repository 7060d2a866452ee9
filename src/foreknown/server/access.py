"""Who may come in: request ids, keys, content types, a log line for each request.

ASGI middleware. What it refuses, no route sees.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foreknown.server.errors import AUTHENTICATION, FAILED, Refusal, shutting_down
from foreknown.server.keys import Keys
from foreknown.server.service import Service

_log = logging.getLogger("foreknown.server")

OPEN = ("/", "/health", "/health/live", "/health/ready", "/openapi.json")
"""Paths that need no key: the page, and whether the server is well."""
OPEN_FOLDERS = ("/page/",)
STAY_OPEN = ("/health", "/health/live", "/health/ready", "/metrics", "/engine")
"""Paths that are answered while the server stops."""
ANTHROPIC = "/v1/messages"

LEFT = 499
"""What is logged where the client left before there was an answer."""

_DEFECT = Refusal("a defect of the server", status=500, kind=FAILED, code="internal_error")

_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (
        b"content-security-policy",
        b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
)


class Access:
    """The middleware; see above."""

    def __init__(self, app: ASGIApp, service: Service, keys: Keys) -> None:
        self._app, self._service, self._keys = app, service, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start_s, path = time.monotonic(), scope["path"]
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = f"req_{secrets.token_hex(12)}"
        state["user"] = ""
        status = LEFT
        id_header = (b"request-id", request_id.encode())

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                generation = state.get("generation")
                promised = generation.headers() if generation is not None else ()
                message["headers"] = [
                    *message.get("headers", ()),
                    *promised,
                    id_header,
                    (b"x-request-id", id_header[1]),
                    *_SECURITY,
                ]
            await send(message)

        try:
            self._check(scope, state)
            await self._app(scope, receive, sending)
        except Refusal as refusal:
            await answer(sending, refusal, path, request_id)
        except Exception:
            _log.exception("a defect", extra={"event": "defect", "request_id": request_id})
            if status != LEFT:
                raise  # the response has begun: all that is left is to close the connection
            await answer(sending, _DEFECT, path, request_id)
        finally:
            handler = getattr(scope.get("route"), "path", "other")
            self._service.metrics.responded(handler, status)
            _log.info(
                "%s %s %d", scope["method"], path[:200], status,
                extra={
                    "event": "request", "request_id": request_id, "method": scope["method"],
                    "path": path[:200], "status": status, "key": state["user"],
                    "ms": round((time.monotonic() - start_s) * 1e3, 2),
                    **(state["generation"].record() if "generation" in state else {}),
                    "body": state.get("body"),
                },
            )  # fmt: skip

    def _check(self, scope: Scope, state: dict[str, object]) -> None:
        """Refuse who may not come in.

        Raises:
            Refusal: a wrong key, a body that is no JSON, or a server that stops.
        """
        path = scope["path"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if self._service.draining and path not in STAY_OPEN:
            raise shutting_down()
        if self._keys and path not in OPEN and not path.startswith(OPEN_FOLDERS):
            state["user"] = self._name(headers)
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                raise Refusal(
                    f"the content type is {kind.decode('latin-1')[:80]!r}",
                    param="content-type",
                    status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    code="unsupported_content_type",
                    remedy="send application/json",
                )

    def _name(self, headers: dict[bytes, bytes]) -> str:
        key = headers.get(b"x-api-key", b"").decode("latin-1")
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            key = token.strip()
        name = self._keys.name_of(key) if key else None
        if name is None:
            raise Refusal(
                "the API key is wrong" if key else "an API key is needed",
                param="authorization",
                status=HTTPStatus.UNAUTHORIZED,
                kind=AUTHENTICATION,
                code="invalid_api_key",
                remedy="send it as `Authorization: Bearer KEY`",
            )
        return name


async def answer(send: Send, refusal: Refusal, path: str, request_id: str) -> None:
    """A refusal as a response, in the form of the path's interface."""
    content = refusal_body(refusal, path, request_id)
    body = json.dumps(content, ensure_ascii=False).encode()
    headers: Sequence[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def refusal_body(refusal: Refusal, path: str, request_id: str) -> dict[str, object]:
    """A refusal's body, in the form of the path's interface."""
    if path.startswith(ANTHROPIC):
        return refusal.anthropic(request_id)
    return refusal.openai()
