"""A client for HTTP/1.1 that is light enough to share two cores with the server it measures.

One connection, one request at a time. While bytes arrive they are only appended, with the time;
what they mean is read when the response is over. Events of a stream are told apart by position.
"""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

END_OF_HEAD = b"\r\n\r\n"
END_OF_EVENT = b"\n\n"
DATA = b"data: "
LAST_EVENT = b"[DONE]"


class Disconnected(Exception):
    """The server closed the connection before its response was whole."""


@dataclass
class Response:
    """What came back.

    Attributes:
        sent_s: when the request was written, by `time.perf_counter`.
        head_s: when its head had come.
        body: without chunk marks.
        arrivals: when bytes came, and how long the body was then.
        whole: whether it is complete.
    """

    sent_s: float
    head_s: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    whole: bool = False

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """Every event's time of arrival and its object; comments and the last mark left out."""
        ends = [length for _, length in self.arrivals]
        position = 0
        while (end := self.body.find(END_OF_EVENT, position)) >= 0:
            text = bytes(self.body[position:end])
            position = end + len(END_OF_EVENT)
            data = b"".join(
                line.removeprefix(DATA) for line in text.split(b"\n") if line.startswith(DATA)
            )
            if data and data != LAST_EVENT:
                yield self.arrivals[bisect_left(ends, position)][0], json.loads(data)


class Connection(asyncio.Protocol):
    """A connection to a server; `connect` makes one."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._response: Response | None = None
        self._latest: Response | None = None
        self._left: int | None = None  # of the body, or of a chunk; None: a head is expected
        self._chunked = False
        self._closed = False
        self._done: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._closed and self._response is None

    def write(self, request: bytes) -> Response:
        """Write a request, or as much of one as is given; the response that will be filled."""
        assert self._transport is not None
        assert self._response is None
        self._done = asyncio.get_running_loop().create_future()
        self._response = self._latest = Response(time.perf_counter())
        self._transport.write(request)
        if self._closed:
            self._end()
        return self._latest

    def write_more(self, part: bytes) -> None:
        """Write what follows of a request; nothing, once the connection is closed."""
        if self._transport is not None and not self._closed:
            self._transport.write(part)

    async def finished(self) -> None:
        """Wait for the whole response.

        Raises:
            Disconnected: it will never be whole.
        """
        assert self._done is not None
        assert self._latest is not None
        await asyncio.shield(self._done)
        if not self._latest.whole:
            raise Disconnected

    def abort(self) -> None:
        """Close the socket now, whatever is under way."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._end()

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        self._received += data
        response = self._response
        if response is None:
            return  # bytes that nobody asked for; the next request will find them
        before = len(response.body)
        while self._response is not None and self._take(response):
            pass
        if len(response.body) > before:
            response.arrivals.append((now_s, len(response.body)))

    def _take(self, response: Response) -> bool:
        """Move what has arrived into the response; whether there may be more to move."""
        if self._left is None:
            return self._take_head(response)
        if self._chunked and self._left == 0:
            return self._take_chunk_size(response)
        piece = self._received[: self._left]
        response.body += piece
        del self._received[: len(piece)]
        self._left -= len(piece)
        if self._left == 0 and not self._chunked:
            self._complete(response)
        return bool(piece)

    def _take_head(self, response: Response) -> bool:
        end = self._received.find(END_OF_HEAD)
        if end < 0:
            return False
        lines = self._received[:end].decode("latin-1").split("\r\n")
        del self._received[: end + len(END_OF_HEAD)]
        response.head_s = time.perf_counter()
        response.status = int(lines[0].split()[1])
        if response.status == 100:
            return True
        named = (line.partition(":") for line in lines[1:])
        response.headers = {name.lower(): value.strip() for name, _, value in named}
        self._chunked = "chunked" in response.headers.get("transfer-encoding", "")
        self._left = 0 if self._chunked else int(response.headers.get("content-length", 0))
        if self._left == 0 and not self._chunked:
            self._complete(response)
        return True

    def _take_chunk_size(self, response: Response) -> bool:
        """The line before a chunk; the line that ends the chunk before it is empty."""
        start = 2 if self._received[:2] == b"\r\n" else 0
        end = self._received.find(b"\r\n", start)
        if end < 0:
            return False
        size = int(self._received[start:end].split(b";")[0], 16)
        if size == 0:
            if len(self._received) < end + 4:
                return False
            del self._received[: end + 4]
            self._complete(response)
            return True
        del self._received[: end + 2]
        self._left = size
        return True

    def _complete(self, response: Response) -> None:
        response.whole = True
        self._left = None
        self._end()
        if response.headers.get("connection", "").lower() == "close":
            self.abort()

    def _end(self) -> None:
        self._response = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


async def connect(port: int) -> Connection:
    """A connection to a server on loopback."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


def post(path: str, body: object) -> bytes:
    """A request with a JSON body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        head(
            "POST", path, {"content-type": "application/json", "content-length": str(len(content))}
        )
        + content
    )


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    """The head of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def ask(port: int, request: bytes, timeout_s: float = 600) -> Response:
    """One request on a connection of its own, and its whole response.

    Raises:
        Disconnected: the server closed the connection first.
        TimeoutError: it took longer.
        OSError: nobody listens.
    """
    connection = await connect(port)
    try:
        response = connection.write(request)
        async with asyncio.timeout(timeout_s):
            await connection.finished()
    finally:
        connection.abort()
    return response
