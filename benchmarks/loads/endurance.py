"""Puts a crowd through a server and keeps the books: what each request came to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foreknown.graph.batch import BLOCK_TOKENS
from loads.connection import END_OF_EVENT, Connection, Disconnected, Response, ask, connect, post
from loads.crowd import COMPLETIONS, Call, Target, draw
from loads.servers import Server, ServerFailed, get_json

LEFT, DROPPED, STUCK = "left", "dropped", "stuck"
"""What may come of a request other than a status."""
LAST_EVENTS = (
    b"data: [DONE]",
    b"event: message_stop",
    b"event: response.completed",
    b"event: response.incomplete",
)
"""What each interface ends its streams with."""
MOST_EXAMPLES = 20
EXAMPLE_BYTES = 300
SETTLE_S = 60.0


@dataclass
class Books:
    """What every request came to.

    Attributes:
        counts: by kind and outcome, a status or one of the words above.
        failures: by what went wrong.
        examples: some of the failures, with request and answer.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, str]] = field(default_factory=list)

    def note(self, call: Call, outcome: str, failure: str, response: Response | None) -> None:
        """Enter a request."""
        self.counts[call.kind, outcome] += 1
        if failure:
            self.failures[failure] += 1
            if len(self.examples) < MOST_EXAMPLES:
                answer = b"" if response is None else bytes(response.body[-EXAMPLE_BYTES:])
                self.examples.append(
                    {
                        "kind": call.kind,
                        "failure": failure,
                        "outcome": outcome,
                        "request": call.parts[-1][:EXAMPLE_BYTES].decode("latin-1"),
                        "answer": answer.decode("latin-1"),
                    }
                )


async def crowd(
    server: Server,
    target: Target,
    books: Books,
    chance: random.Random,
    n_requests: int,
    n_together: int,
    timeout_s: float,
    progress: Callable[[int], None],
) -> None:
    """Send random requests, so many at a time."""
    left = n_requests

    async def one_of_them() -> None:
        nonlocal left
        kept: Connection | None = None
        while left > 0:
            left -= 1
            progress(n_requests - left)
            call = draw(chance, target)
            if kept is not None and not kept.usable:
                kept = None
            kept = await meet(server.port, call, books, timeout_s, kept)
            if kept is not None and chance.random() < 0.3:
                kept.abort()
                kept = None
        if kept is not None:
            kept.abort()

    await asyncio.gather(*(one_of_them() for _ in range(n_together)))


async def meet(
    port: int, call: Call, books: Books, timeout_s: float, kept: Connection | None = None
) -> Connection | None:
    """Send one request and enter what came of it.

    Args:
        kept: a connection to send it on; None: it gets one of its own.

    Returns:
        The connection, if another request may be sent on it.
    """
    connection = kept or await connect(port)
    response: Response | None = None
    try:
        async with asyncio.timeout(timeout_s if call.leave_s is None else call.leave_s):
            response = connection.write(call.parts[0])
            for part in call.parts[1:]:
                await asyncio.sleep(0)
                connection.write_more(part)
            await connection.finished()
    except TimeoutError:
        connection.abort()
        if call.leave_s is None:
            books.note(call, STUCK, STUCK, response)
        else:
            books.note(call, LEFT, _server_error(response), response)
        return None
    except Disconnected:
        if kept is not None and response is not None and not response.status:
            # It was closed while it was not in use: then a client asks again.
            return await meet(port, call, books, timeout_s)
        failure = "" if call.may_drop or call.leave_s is not None else DROPPED
        books.note(call, DROPPED, failure, response)
        return None
    books.note(call, str(response.status), fault(call, response), response)
    return connection if connection.usable else None


def fault(call: Call, response: Response) -> str:
    """What is wrong with a whole answer; "" if nothing is."""
    if response.status >= 500:
        return f"status {response.status}"
    if call.leave_s is None and response.status not in call.statuses:
        return f"{call.kind}: unexpected status {response.status}"
    if response.status >= 400 and b'"error"' not in response.body and not call.may_drop:
        return f"{call.kind}: no error body"
    if call.streams and response.status == 200:
        if b'"error":{' in response.body:
            return f"{call.kind}: an error in a stream"
        last = bytes(response.body).rstrip(b"\n").rpartition(END_OF_EVENT)[2]
        if not last.startswith(LAST_EVENTS) or not response.body.endswith(END_OF_EVENT):
            return f"{call.kind}: a stream without its end"
    return ""


def _server_error(response: Response | None) -> str:
    if response is not None and response.status >= 500:
        return f"status {response.status}"
    return ""


async def fill_blocks(server: Server, target: Target, chance: random.Random) -> None:
    """Write to every block of state once, so that its memory is no news later.

    Raises:
        ServerFailed: a long prompt is refused.
    """
    total: int = (await get_json(server.port, "/engine"))["models"][0]["blocks"]["total"]
    length = target.context - 2
    for _ in range(total * BLOCK_TOKENS // length + 2):
        prompt = [chance.randrange(target.vocabulary) for _ in range(length)]
        body = {"model": target.model, "prompt": prompt, "max_tokens": 1}
        response = await ask(server.port, post(COMPLETIONS, body))
        if response.status != 200:
            raise ServerFailed(f"status {response.status}: {bytes(response.body)!r}")


async def settled(server: Server) -> dict[str, Any]:
    """What the engine says once it has nothing left to do, or after a minute.

    Returns:
        The first model of GET /engine: "running", "waiting", "blocks" and more.
    """
    busy: dict[str, Any] = {}
    for _ in range(int(SETTLE_S / 0.2)):
        busy = (await get_json(server.port, "/engine"))["models"][0]
        if not (busy["running"] or busy["waiting"] or busy["blocks"]["held"]):
            break
        await asyncio.sleep(0.2)
    return busy
