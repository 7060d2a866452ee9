"""Clients that are slow, that vanish, that talk nonsense: none holds blocks or anybody else up."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.test_bad_input import CHAT, assert_idle
from tests.serving import Served

LONG = {**CHAT, "n": 16, "max_tokens": 900, "ignore_eos": True, "stream": True}
"""Takes seconds: whoever goes away goes before its end."""
SLOWEST_S = 0.7
IMPATIENT = f"""
import functools, sys
from foreknown.server import limits
limits.Limits = functools.partial(
    limits.Limits, head_s={SLOWEST_S}, body_s={SLOWEST_S}, idle_s=1, send_s={SLOWEST_S}
)
from foreknown.cli import main
sys.exit(main())
"""
"""The command line with shorter limits on clients."""


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def head(path: str, body: bytes | int = b"", method: str = "POST") -> bytes:
    """The first lines of a request, up to its body."""
    length = body if isinstance(body, int) else len(body)
    return (
        f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    with socket.create_connection(address(url), timeout=20) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """All until the other end closes."""
    found = b""
    try:
        while piece := connection.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def generated(served: Served) -> float:
    """Tokens that its models have written since the start."""
    families = text_string_to_metric_families(served.get("/metrics").text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "foreknown:generation_tokens_total"
    )


@pytest.fixture(scope="module")
def impatient(bundled_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose clients have less than a second for everything."""
    log = tmp_path_factory.mktemp("impatient") / "log"
    command = [sys.executable, "-c", IMPATIENT, "serve", "--port", "0"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, f"bundled={bundled_artifact}"], stderr=file, text=True
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"at (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        served = Served(found[1], process)
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(transport=transport, timeout=60) as client:
            assert client.get(served.url + "/health/ready").status_code == 200
        yield served
    finally:
        process.terminate()
        process.wait(20)


def seconds_until_closed(connection: socket.socket, trickle: bytes = b"") -> tuple[float, bytes]:
    """When the other end closes, though a byte comes every now and then; and what it said."""
    begun, said = time.monotonic(), b""
    connection.settimeout(0.1)
    while time.monotonic() - begun < 10:
        try:
            if trickle:
                connection.sendall(trickle[:1])
                trickle = trickle[1:]
            piece = connection.recv(65_536)
            if not piece:
                break
            said += piece
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun, said


@pytest.mark.parametrize(
    ("first", "trickle"),
    [
        (b"", b""),
        (b"POST /v1/chat", b""),
        (b"", head("/v1/chat/completions", 100) * 10),
        (b"GET /health HTTP/1.1\r\n", b"x-a: b\r\n" * 100),
    ],
    ids=["silent", "half a line", "a byte now and then", "headers without end"],
)
def test_a_connection_that_asks_nothing_is_closed(
    impatient: Served, first: bytes, trickle: bytes
) -> None:
    with connected(impatient.url) as connection:
        connection.sendall(first)
        seconds, said = seconds_until_closed(connection, trickle)
    assert seconds < 5
    assert not said or said.split(b" ")[1] in {b"400", b"408"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("trickle", [b"", b" " * 1000], ids=["silent", "a byte now and then"])
def test_a_body_too_slow_is_not_waited_for(
    impatient: Served, trickle: bytes, chunked: bool
) -> None:
    first = head("/v1/chat/completions", 1000) + b'{"model":'
    if chunked:
        first = first.replace(b"content-length: 1000", b"transfer-encoding: chunked")
        first = first.replace(b'{"model":', b'9\r\n{"model":\r\n')
        trickle = b"1\r\n \r\n" * (len(trickle) // 6)
    with connected(impatient.url) as connection:
        connection.sendall(first)
        seconds, said = seconds_until_closed(connection, trickle)
    assert seconds < 5
    assert not said or said.split(b" ")[1] == b"408", said[:200]
    assert_idle(impatient)


def test_an_idle_connection_is_closed(impatient: Served) -> None:
    with connected(impatient.url) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        seconds, said = seconds_until_closed(connection)
    assert b"200" in said
    assert seconds < 6


def test_a_stream_may_take_longer_than_a_body(impatient: Served) -> None:
    """Limits are on what the client does, not on what we do."""
    body = {**LONG, "n": 2, "max_tokens": 500}
    events = impatient.events("/v1/chat/completions", body)
    ended = [choice for event in events for choice in event["choices"] if choice["finish_reason"]]
    assert len(ended) == 2


def test_a_client_that_stops_reading_is_cut_off(impatient: Served) -> None:
    body = json.dumps({**LONG, "logprobs": True, "top_logprobs": 20}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address(impatient.url))
        connection.sendall(head("/v1/chat/completions", body) + body)
        connection.recv(100)
        before = generated(impatient)
        assert_idle(impatient, within_s=20)
        assert generated(impatient) - before < 16 * 900, "it ended before its time"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/completions"])
def test_a_client_that_vanishes_frees_its_blocks(served: Served, path: str, stream: bool) -> None:
    assert_idle(served)
    changed: dict[str, Any] = {**LONG, "stream": stream}
    if path == "/v1/messages":
        del changed["n"], changed["ignore_eos"]
        changed["messages"] = [{"role": "user", "content": "count " * 50}]
    if path == "/v1/completions":
        del changed["messages"]
        changed["prompt"] = "hello"
    body = json.dumps(changed).encode()
    before = generated(served)
    with connected(served.url) as connection:
        connection.sendall(head(path, body) + body)
        if stream:
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        else:
            time.sleep(0.2)
    assert_idle(served, within_s=5)
    if "n" in changed:
        assert generated(served) - before < 16 * 900, "it ended before its time"


def test_many_that_vanish_leave_nothing(served: Served) -> None:
    body = json.dumps(LONG).encode()
    connections = [socket.create_connection(address(served.url)) for _ in range(30)]
    for index, connection in enumerate(connections):
        whole = head("/v1/chat/completions", body) + body
        connection.sendall(whole[: len(whole) - index % 3])
    time.sleep(0.3)
    for connection in connections:
        # A reset, not a farewell.
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    assert_idle(served, within_s=10)
    assert served.post("/v1/chat/completions", CHAT).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "hello world " * 300_000, "max_tokens": 1}),
        ("/v1/completions", {"prompt": "x" * 3_000_000, "max_tokens": 1}),
        ("/tokenize", {"prompt": "hello world " * 300_000}),
        ("/v1/embeddings", {"input": ["hello world " * 1_000] * 250}),
    ],
    ids=["many words", "one word", "only tokens", "many texts"],
)
def test_a_huge_text_holds_nobody_up(served: Served, path: str, body: dict[str, Any]) -> None:
    """What cannot fit is refused before it is read, or read where nobody waits for it."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(served.post(path, {"model": "bundled", **body}))

    asking = threading.Thread(target=ask)
    longest_s = 0.0
    with httpx.Client(base_url=served.url, timeout=60) as client:
        client.get("/health")
        asking.start()
        while asking.is_alive():
            begun = time.monotonic()
            client.get("/health")
            longest_s = max(longest_s, time.monotonic() - begun)
            time.sleep(0.01)
    asking.join()
    assert answers[0].status_code in {200, 400, 413}, answers[0].text[:300]
    assert longest_s < 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /health HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}",
        b"POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n"
        b"\r\n0\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"content-length: 99999999999999999999\r\n\r\n{",
    ],
)
def test_what_is_no_http_is_refused(impatient: Served, request_bytes: bytes) -> None:
    with connected(impatient.url) as connection:
        try:
            connection.sendall(request_bytes)
        except OSError:
            return
        _, said = seconds_until_closed(connection)
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", said)
    assert not [status for status in statuses if status[:1] in b"5"], said[:300]
    assert not said or statuses[0].startswith(b"4"), said[:300]
