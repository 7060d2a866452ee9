"""Requests that are wrong before anybody reads their fields: bytes, JSON, paths, methods, keys.

What the other files of bad input share stands here too: how a refusal is recognised.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.serving import Served

Body = dict[str, Any]

MISSING = object()
"""In a change: the field is taken away."""
HELLO = {"role": "user", "content": "hello"}
VOCABULARY = 1728
TOO_LONG = "a " * 4000
CHAT: Body = {"model": "bundled", "messages": [HELLO], "max_tokens": 2}
BODIES: dict[str, Body] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": {"model": "bundled", "prompt": "hello", "max_tokens": 2},
    "/v1/embeddings": {"model": "bundled", "input": "hello"},
    "/v1/responses": {"model": "bundled", "input": "hello", "max_output_tokens": 2},
    "/v1/messages": CHAT,
    "/v1/messages/count_tokens": {"model": "bundled", "messages": [HELLO]},
    "/v1/forecast": {"model": "bundled", "prompt": "hello", "max_tokens": 2},
    "/tokenize": {"model": "bundled", "prompt": "hello"},
    "/detokenize": {"model": "bundled", "tokens": [5, 6]},
}
ANTHROPIC_KINDS = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
everywhere = pytest.mark.parametrize("path", BODIES)


def changed(body: Body, change: Mapping[str, Any]) -> Body:
    """The body with these fields in place of its own."""
    return {name: value for name, value in {**body, **change}.items() if value is not MISSING}


def assert_refused(
    response: httpx.Response,
    status: int,
    param: str | None = None,
    code: str | None = None,
    word: str | None = None,
) -> str:
    """A refusal has this status, the shape of its family, and names the field; its message.

    Args:
        param: path of the field.
        word: what the message calls it; by default some part of the path, or one of many of it.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    error = body["error"]
    message: str = error["message"]
    assert message
    assert "Traceback" not in message
    if response.request.url.path.startswith("/v1/messages"):
        assert body["type"] == "error"
        assert error["type"] == ANTHROPIC_KINDS.get(status, "invalid_request_error")
        assert param is None or message.startswith(param), message
        return message
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param, error
    if status in {400, 413, 415}:
        assert error["type"] == "invalid_request_error"
    assert code is None or error["code"] == code, error
    if param is not None and status == 400:
        words = [word] if word else [part.rstrip("s") for part in re.findall(r"[^.\[\]]+", param)]
        assert any(word in message for word in words), error
    return message


def assert_idle(served: Served, within_s: float = 10, **options: Any) -> None:
    """Nothing runs or waits, and no block is held, now or in a moment."""
    deadline = time.monotonic() + within_s
    while True:
        engine = served.engine(**options)
        if engine["running"] == engine["waiting"] == engine["blocks"]["held"] == 0:
            return
        assert time.monotonic() < deadline, engine
        time.sleep(0.02)


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    """One connection for the file; nothing runs, and no block is lost, when it is through."""
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
    assert_idle(served)


def post_bytes(client: httpx.Client, path: str, body: bytes, **headers: str) -> httpx.Response:
    return client.post(path, content=body, headers={"content-type": "application/json", **headers})


@everywhere
def test_the_bodies_that_others_are_made_from_are_good(client: httpx.Client, path: str) -> None:
    response = client.post(path, json=BODIES[path])
    assert response.status_code == 200, response.text


NO_JSON = {
    "empty": b"",
    "blank": b"  ",
    "cut off": b'{"model": "bundled", ',
    "more after it": b"{} {}",
    "a comma too many": b'{"model": "bundled",}',
    "one quote": b"{'model': 'bundled'}",
    "no UTF-8": b'{"model": "\xff\xfe"}',
    "UTF-16": '{"model": "bundled"}'.encode("utf-16"),
    "control character": b'{"model": "a\x00b"}',
    "half an escape": b'{"model": "\\u12"}',
    "unclosed, deep": b"[" * 100_000,
}


@everywhere
@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    message = assert_refused(post_bytes(client, path, body), 400)
    assert any(word in message for word in ("JSON", "UTF-8", "deep")), message


@everywhere
@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"null", b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(client: httpx.Client, path: str, body: bytes) -> None:
    assert "object" in assert_refused(post_bytes(client, path, body), 400)


@everywhere
@pytest.mark.parametrize("depth", [500, 5_000, 100_000])
@pytest.mark.parametrize("pair", [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_json_too_deep_is_refused(
    client: httpx.Client, path: str, depth: int, pair: tuple[str, str]
) -> None:
    deep = pair[0] * depth + ("1" if ":" in pair[0] else "") + pair[1] * depth
    whole = json.dumps(BODIES[path])[:-1] + f', "metadata": {deep}}}'
    response = post_bytes(client, path, whole.encode())
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


@everywhere
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(client: httpx.Client, path: str, number: str) -> None:
    whole = json.dumps(BODIES[path])[:-1] + f', "temperature": {number}}}'
    response = post_bytes(client, path, whole.encode())
    assert response.status_code == 400, response.text
    message = response.json()["error"]["message"]
    assert "temperature" in message or "JSON" in message


@everywhere
@pytest.mark.parametrize("digits", [30, 400, 5_000, 100_000])
def test_huge_integers_are_refused(client: httpx.Client, path: str, digits: int) -> None:
    whole = json.dumps(BODIES[path])[:-1] + f', "seed": {"9" * digits}}}'
    response = post_bytes(client, path, whole.encode())
    assert response.status_code == 400, response.text
    assert len(response.content) < 2_000, "the number is not told back"


@everywhere
@pytest.mark.parametrize("kind", [None, "text/plain", "multipart/form-data", "application/xml"])
def test_another_content_type_is_refused(client: httpx.Client, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    body = json.dumps(BODIES[path]).encode()
    message = assert_refused(client.post(path, content=body, headers=headers), 415, "content-type")
    assert "application/json" in message


@everywhere
@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_the_content_type_may_say_more(client: httpx.Client, path: str, kind: str) -> None:
    body = json.dumps(BODIES[path]).encode()
    response = client.post(path, content=body, headers={"content-type": kind})
    assert response.status_code == 200, response.text


@everywhere
def test_a_body_too_large_is_refused(client: httpx.Client, path: str) -> None:
    body = json.dumps({**BODIES[path], "user": "x" * (4 << 20)}).encode()
    try:
        response = post_bytes(client, path, body, connection="close")
    except (httpx.WriteError, httpx.ReadError):
        return  # It was told so before all was sent, and the connection was closed.
    assert_refused(response, 413)


@everywhere
def test_a_body_too_large_that_hides_its_size_is_refused(client: httpx.Client, path: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"user": "'
        for _ in range(100):
            yield b"x" * 65_536
        yield b'"}'

    headers = {"content-type": "application/json", "connection": "close"}
    try:
        response = client.post(path, content=pieces(), headers=headers)
    except (httpx.WriteError, httpx.ReadError):
        return
    assert_refused(response, 413)


def test_a_smaller_bound_of_the_body(serve: Callable[..., Served]) -> None:
    served = serve("--max-body", "2048")
    assert served.post("/v1/chat/completions", CHAT).status_code == 200
    large = {**CHAT, "user": "x" * 2048}
    assert_refused(served.post("/v1/chat/completions", large), 413)
    assert served.post("/v1/chat/completions", CHAT).status_code == 200


@everywhere
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_refused(client: httpx.Client, path: str, method: str) -> None:
    response = client.request(method, path)
    assert_refused(response, 405)
    assert "POST" in response.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/engine", "/"])
def test_what_is_only_read_cannot_be_posted_to(client: httpx.Client, path: str) -> None:
    response = client.post(path, json={})
    assert_refused(response, 405)
    assert "GET" in response.headers["allow"]


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/v1/", "/v1/chat", "/v1/messages/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_refused(client: httpx.Client, path: str, method: str) -> None:
    assert_refused(client.request(method, path, json=CHAT), 404)


def test_an_unknown_model_of_the_list_is_refused(client: httpx.Client) -> None:
    assert client.get("/v1/models/bundled").status_code == 200
    error = client.get("/v1/models/other").json()["error"]
    assert error["code"] == "model_not_found"


@everywhere
def test_an_unknown_model_is_refused(client: httpx.Client, path: str) -> None:
    message = assert_refused(
        client.post(path, json={**BODIES[path], "model": "other"}), 404, "model", "model_not_found"
    )
    assert "other" in message
    assert "bundled" in message, "it says what there is"


@everywhere
@pytest.mark.parametrize("model", [5, None, ["bundled"], {}, True])
def test_a_model_that_is_no_name_is_refused(client: httpx.Client, path: str, model: object) -> None:
    response = client.post(path, json={**BODIES[path], "model": model})
    if model is None and path.endswith(("tokenize", "forecast")):
        assert response.status_code == 200, "where there is one model, it is meant"
    else:
        assert_refused(response, 400, "model")


@everywhere
def test_an_unknown_parameter_is_named(client: httpx.Client, path: str) -> None:
    body = {**BODIES[path], "colour": "red"}
    assert_refused(client.post(path, json=body), 400, "colour", "unknown_parameter")


@everywhere
def test_a_long_name_is_not_told_back_whole(client: httpx.Client, path: str) -> None:
    response = client.post(path, json={**BODIES[path], "x" * 100_000: 1})
    assert response.status_code == 400
    assert len(response.content) < 5_000


@pytest.fixture(scope="module")
def locked(bundled_artifact: Any) -> Iterator[Served]:
    """A server that two people have keys of."""
    from tests.serving import serving

    keys = "ann secret-of-ann, bob secret-of-bob"
    with serving(f"bundled={bundled_artifact}", FOREKNOWN_API_KEYS=keys) as server:
        yield server


WRONG_KEYS: list[dict[str, str]] = [
    {},
    {"authorization": "Bearer"},
    {"authorization": "Bearer secret-of-an"},
    {"authorization": "Bearer secret-of-annn"},
    {"authorization": "bearer ann"},
    {"authorization": "Basic c2VjcmV0LW9mLWFubg=="},
    {"authorization": "secret-of-ann"},
    {"x-api-key": "SECRET-OF-ANN"},
    {"x-api-key": ""},
]


@everywhere
@pytest.mark.parametrize("headers", WRONG_KEYS)
def test_a_wrong_key_is_refused(locked: Served, path: str, headers: dict[str, str]) -> None:
    response = locked.post(path, BODIES[path], headers=headers)
    message = assert_refused(response, 401, "authorization", "invalid_api_key")
    assert "secret" not in message


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/engine"])
def test_what_is_read_wants_a_key_too(locked: Served, path: str) -> None:
    assert_refused(locked.get(path), 401, "authorization", "invalid_api_key")
    headers = {"authorization": "Bearer secret-of-bob"}
    assert locked.get(path, headers=headers).status_code == 200


def test_no_header_but_those_of_keys_counts(locked: Served) -> None:
    """Bytes that are no text in a header are a wrong key, not an error of ours."""
    with httpx.Client(base_url=locked.url) as client:
        for value in (b"Bearer \xff\xfe", "Bearer schlüssel".encode(), b"Bearer " + b"x" * 10_000):
            response = client.post(
                "/v1/chat/completions", json=CHAT, headers={b"authorization": value}
            )
            assert_refused(response, 401, "authorization", "invalid_api_key")
