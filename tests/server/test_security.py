"""Who gets in, what gets out, and what of it is written down."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.test_bad_input import CHAT
from tests.server.test_bad_input_clients import address, connected, received
from tests.serving import Served, serving

# Who gets in


def test_only_this_machine_is_listened_to(served: Served) -> None:
    host, port = address(served.url)
    assert host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass


ALLOWED = ("https://a.example", "https://b.example")


def write_keys(directory: Path, mode: int = 0o600) -> Path:
    file = directory / "keys"
    file.write_text("ann secret-of-ann\nbob secret-of-bob\n")
    file.chmod(mode)
    return file


@pytest.fixture(scope="module")
def guarded(bundled_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that two people have keys of, and pages of two hosts may call."""
    keys = write_keys(tmp_path_factory.mktemp("guarded"))
    origins = [word for origin in ALLOWED for word in ("--cors", origin)]
    options = ["--api-keys", str(keys), "--log", "json", *origins]
    with serving(f"bundled={bundled_artifact}", *options) as server:
        yield server


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer secret-of-{name}"}


def logged(served: Served, path: str) -> list[str]:
    """Lines of its log up to that of a request that is made now, which asks for `path`."""
    served.get(path)
    deadline = time.monotonic() + 10
    while not [line for line in served.log if path in line]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return list(served.log)


def test_keys_have_names_and_logs_know_only_these(guarded: Served) -> None:
    n_before = len(logged(guarded, "/begin"))
    path = "/v1/chat/completions"
    assert guarded.post(path, CHAT, headers=bearer("ann")).status_code == 200
    assert guarded.post(path, CHAT, headers={"x-api-key": "secret-of-bob"}).status_code == 200
    assert guarded.post("/v1/messages", CHAT, headers=bearer("bob")).status_code == 200
    assert guarded.post(path, CHAT, headers=bearer("eve")).status_code == 401
    assert guarded.get("/health").status_code == 200, "health needs no key"
    assert guarded.get("/").status_code == 200, "nor does the page"
    lines = [json.loads(line) for line in logged(guarded, "/end")[n_before:]]
    names = [line.get("key") for line in lines if line.get("path") in {path, "/v1/messages"}]
    assert names[:3] == ["ann", "bob", "bob"]
    assert not names[3]
    assert "secret-of" not in "\n".join(guarded.log)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_a_file_of_keys_that_others_read_is_refused(
    bundled_artifact: Path, tmp_path: Path, mode: int
) -> None:
    key_file = write_keys(tmp_path, mode)
    command = [sys.executable, "-m", "foreknown", "serve", str(bundled_artifact), "--port", "0"]
    command += ["--api-keys", str(key_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode not in {0, None}
    assert str(key_file) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret-of" not in ended.stderr


def test_a_name_in_the_request_is_no_key(guarded: Served) -> None:
    body = {**CHAT, "user": "ann", "api_key": "secret-of-ann"}
    assert guarded.post("/v1/chat/completions", body).status_code == 401
    query = "/v1/chat/completions?api_key=secret-of-ann&key=secret-of-ann"
    assert guarded.post(query, CHAT).status_code == 401


def cached_tokens(response: httpx.Response) -> int:
    assert response.status_code == 200, response.text
    found: int = response.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    return found


def test_what_one_user_asked_is_not_cached_for_another(guarded: Served) -> None:
    """Else whoever guesses a prompt can tell by the time it takes."""
    body = {"model": "bundled", "prompt": list(range(100, 300)), "max_tokens": 1}
    found = {}
    for turn, name in enumerate(["ann", "ann", "bob", "bob", "ann"]):
        response = guarded.post("/v1/completions", body, headers=bearer(name))
        found[turn, name] = cached_tokens(response)
    assert found[0, "ann"] == found[2, "bob"] == 0
    assert min(found[1, "ann"], found[3, "bob"], found[4, "ann"]) >= 192


def test_neither_is_what_one_user_had_embedded(guarded: Served) -> None:
    body = {"model": "bundled", "input": list(range(400, 600))}
    found = []
    for name in ("ann", "bob", "ann"):
        before = guarded.engine(headers=bearer(name))["prefix"]["found_tokens"]
        response = guarded.post("/v1/embeddings", body, headers=bearer(name))
        assert response.status_code == 200, response.text
        found.append(guarded.engine(headers=bearer(name))["prefix"]["found_tokens"] - before)
    assert found[:2] == [0, 0]
    assert found[2] >= 192


# Pages of others


EVIL = "https://evil.example"


def test_pages_of_others_may_not_call(served: Served) -> None:
    response = served.post("/v1/chat/completions", CHAT, headers={"origin": EVIL})
    assert not [name for name in response.headers if name.startswith("access-control-")]
    asked = {"origin": EVIL, "access-control-request-method": "POST"}
    for path in ("/v1/chat/completions", "/v1/messages", "/"):
        response = httpx.options(served.url + path, headers=asked)
        assert response.status_code >= 400
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", [*ALLOWED, EVIL, "null", "https://a.example.evil.example"])
def test_pages_that_are_listed_may_call(guarded: Served, origin: str) -> None:
    allowed = origin in ALLOWED
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    before = httpx.options(guarded.url + "/v1/chat/completions", headers=asked)
    assert before.is_success == allowed
    headers = {"origin": origin, **bearer("ann")}
    response = guarded.post("/v1/chat/completions", CHAT, headers=headers)
    said = response.headers.get("access-control-allow-origin")
    assert said == (origin if allowed else None)
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/", "/page/index.html"])
def test_the_page_is_guarded_by_its_headers(served: Served, path: str) -> None:
    headers = served.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy or "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy, "nothing of other hosts"
    assert "frame-ancestors 'none'" in policy or headers["x-frame-options"].upper() == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert "server" not in headers


def test_answers_are_not_sniffed_nor_kept(served: Served) -> None:
    response = served.post("/v1/chat/completions", CHAT)
    assert response.headers["x-content-type-options"] == "nosniff"
    with httpx.stream(
        "POST", served.url + "/v1/chat/completions", json={**CHAT, "stream": True}
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "no-" in stream.headers["cache-control"]
        stream.read()


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/../../server/app.py",
        "/page/%2e%2e/app.py",
        "/page/%2e%2e%2fapp.py",
        "/page/..%2fapp.py",
        "/page/..%5capp.py",
        "/page/....//app.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/../../../../../../../../etc/passwd",
        "/page/%00",
        "/page/index.html%00.js",
        "/page/%ff%fe",
        "/page/" + "a" * 5_000,
        "/page/" + "a/" * 2_000,
        "/page/__init__.py",
        "/v1/models/../../etc/passwd",
        "/v1/models/%2e%2e%2fapp.py",
    ],
)
def test_no_path_reaches_the_disk(served: Served, path: str) -> None:
    with connected(served.url) as connection:
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = received(connection)
    status = int(answer.split(b" ")[1])
    assert status in {400, 404, 414}, answer[:300]
    for trace in (b"import", b"root:", b"Traceback"):
        assert trace not in answer


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "bundled/../bundled", "a\u0000b"]
)
def test_a_model_is_a_name_and_no_path(served: Served, name: str) -> None:
    assert served.post("/v1/chat/completions", {**CHAT, "model": name}).status_code == 404


# Logs

SECRET = "xylophone-of-grandmother"


def tell_secrets(served: Served, **options: Any) -> None:
    message = [{"role": "user", "content": SECRET}]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {**CHAT, "messages": message}),
        ("/v1/chat/completions", {**CHAT, "messages": message, "stream": True}),
        ("/v1/chat/completions", {**CHAT, "messages": [{"role": SECRET, "content": SECRET}]}),
        ("/v1/chat/completions", {**CHAT, "temperature": SECRET}),
        ("/v1/chat/completions", {**CHAT, "stop": SECRET, "user": SECRET}),
        ("/v1/chat/completions", {**CHAT, "structured_outputs": {"regex": f"({SECRET}"}}),
        ("/v1/completions", {"model": "bundled", "prompt": SECRET, "max_tokens": 2}),
        ("/v1/completions", {"model": "bundled", "prompt": SECRET * 1000, "max_tokens": 2}),
        ("/v1/embeddings", {"model": "bundled", "input": SECRET}),
        ("/v1/responses", {"model": "bundled", "input": SECRET, "max_output_tokens": 2}),
        ("/v1/messages", {**CHAT, "messages": message}),
        ("/tokenize", {"model": "bundled", "prompt": SECRET}),
    ]
    for path, body in bodies:
        assert served.post(path, body, **options).status_code in {200, 400}
    headers = {"content-type": "application/json", **options.get("headers", {})}
    broken = f'{{"prompt": "{SECRET}'.encode()
    httpx.post(served.url + "/v1/completions", content=broken, headers=headers)


def test_no_text_of_a_request_is_in_the_log(served: Served, guarded: Served) -> None:
    for server in (served, guarded):
        tell_secrets(server, headers=bearer("ann"))
        log = "\n".join(logged(server, "/told"))
        assert log.count("/v1/chat/completions") >= 6
        assert SECRET not in log


def test_texts_are_in_the_log_if_asked_for(serve: Callable[..., Served]) -> None:
    served = serve("--log-bodies")
    tell_secrets(served)
    assert SECRET in "\n".join(logged(served, "/told"))


def test_nobody_writes_lines_of_the_log(served: Served, guarded: Served) -> None:
    paths = ["/a%0aFORGED", "/a%0d%0aFORGED", "/a?b=%0aFORGED", "/a%1b%5b31mFORGED"]
    for server in (served, guarded):
        for path in paths:
            server.get(path)
        server.get("/health", headers={"x-request-id": "FORGED id " + "x" * 5_000})
        lines = logged(server, "/forged")
        assert not [line for line in lines if line.startswith("FORGED")]
        assert not re.search("[\x1b\r]", "\n".join(lines))
        assert max(map(len, lines)) < 4_000
