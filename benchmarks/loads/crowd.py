"""Requests of every kind that a server meets: honest ones, ones that leave early, and nonsense.

Each says what must come of it, so that a soak can tell a right refusal from a wrong one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from loads.connection import head, post

OK = frozenset({200})
REFUSED = frozenset(range(400, 500))
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
JSON = {"content-type": "application/json"}
WORDS = "the a king and fox said went over river house old three little golden one day".split()
LONGEST_LEAVE_S = 0.4
BODY_BYTES = 4 << 20
"""A server's limit on a body, unless it was told otherwise."""
PIECE = 1 << 16

WRONG: dict[str, Sequence[Any]] = {
    "max_tokens": ("many", -1, 1.5, [], {}, 2**70),
    "temperature": ("hot", -1, 3, [], float("nan"), float("inf")),
    "top_p": (2, -0.1, "x", []),
    "n": (0, -1, "2", 10_000, 1.5),
    "stream": ("yes", 1, []),
    "stop": (7, [1], "", ["x"] * 1000),
    "seed": ("x", 1.5, 2**80),
    "logit_bias": ([], {"x": 1}, {"5": 1000}, {"-1": 1}),
    "presence_penalty": (9, "x"),
    "model": (None, 7, "", []),
}
WRONG_PROMPTS: Sequence[Any] = (None, 7, {}, [], [[]], ["a", 1], [-1], [2**40], [1.5], [2**31 - 1])
WRONG_MESSAGES: Sequence[Any] = (
    None,
    [],
    "hello",
    [{}],
    [{"role": "king", "content": "x"}],
    [{"role": "user", "content": 7}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}],
)
BROKEN = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"model": "x", "model": ',
    b"[" * 20_000,
    b'{"prompt": "\\ud800"}',
)


@dataclass(frozen=True)
class Call:
    """A request and what must come of it.

    Attributes:
        kind: for the table.
        parts: its bytes; between two parts the event loop has a turn.
        statuses: one of these must come back.
        leave_s: the client closes the socket after so long; None: it stays.
        may_drop: the server may close the connection without an answer.
    """

    kind: str
    parts: tuple[bytes, ...]
    statuses: frozenset[int] = OK
    leave_s: float | None = None
    may_drop: bool = False

    @property
    def streams(self) -> bool:
        """Whether a stream is what it asks for."""
        return self.statuses == OK and b'"stream": true' in self.parts[-1]


@dataclass(frozen=True)
class Target:
    """What requests need to know of the model they are for."""

    model: str
    context: int
    vocabulary: int


def draw(chance: random.Random, target: Target) -> Call:
    """The next request."""
    (make,) = chance.choices(list(KINDS), list(KINDS.values()))
    return make(chance, target)


def probe(target: Target) -> Call:
    """The same request whenever it is asked for, and so the same answer."""
    return _call("probe", COMPLETIONS, _completion(random.Random(1), target) | {"stream": False})


def _text(chance: random.Random, most: int = 30) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))


def _common(chance: random.Random, target: Target) -> dict[str, Any]:
    body: dict[str, Any] = {"model": target.model, "max_tokens": chance.randint(1, 24)}
    if chance.random() < 0.5:
        body |= {"temperature": round(chance.uniform(0, 1.5), 2), "seed": chance.randrange(1000)}
    return body


def _options(chance: random.Random) -> dict[str, Any]:
    """Some of what a request may say, now and then."""
    options: dict[str, Any] = {
        "stop": chance.sample(WORDS, 2),
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "presence_penalty": 0.5,
        "logit_bias": {"5": -3},
    }
    return {name: value for name, value in options.items() if chance.random() < 0.15}


def _streamed(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.5:
        return {}
    return {"stream": True, "stream_options": {"include_usage": chance.random() < 0.5}}


def _chat(chance: random.Random, target: Target) -> dict[str, Any]:
    messages = [{"role": "user", "content": _text(chance)}]
    if chance.random() < 0.3:
        answer = {"role": "assistant", "content": _text(chance)}
        messages = [*messages, answer, {"role": "user", "content": _text(chance)}]
    return {**_common(chance, target), "messages": messages, **_options(chance)}


def _completion(chance: random.Random, target: Target) -> dict[str, Any]:
    prompt: Any = _text(chance, 60)
    if chance.random() < 0.5:
        length = chance.randint(1, target.context // 4)
        prompt = [chance.randrange(target.vocabulary) for _ in range(length)]
    return {**_common(chance, target), "prompt": prompt, **_options(chance)}


def _call(kind: str, path: str, body: object, **more: Any) -> Call:
    return Call(kind, (post(path, body),), **more)


def chat(chance: random.Random, target: Target) -> Call:
    return _call("chat", CHAT, _chat(chance, target) | _streamed(chance))


def completion(chance: random.Random, target: Target) -> Call:
    body = _completion(chance, target) | _streamed(chance)
    if chance.random() < 0.2:
        body["logprobs"] = chance.randint(0, 5)
    return _call("completion", COMPLETIONS, body)


def several(chance: random.Random, target: Target) -> Call:
    body = _completion(chance, target) | {"n": chance.randint(2, 3)} | _streamed(chance)
    return _call("n", COMPLETIONS, body)


def message(chance: random.Random, target: Target) -> Call:
    messages = [{"role": "user", "content": _text(chance)}]
    body = {"model": target.model, "max_tokens": chance.randint(1, 24), "messages": messages}
    return _call("message", MESSAGES, body | {"stream": chance.random() < 0.5})


def response(chance: random.Random, target: Target) -> Call:
    body = {"model": target.model, "max_output_tokens": 16, "input": _text(chance)}
    return _call("response", RESPONSES, body | {"stream": chance.random() < 0.5})


def constrained(chance: random.Random, target: Target) -> Call:
    shape = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
    schema = {"name": "s", "schema": {**shape, "additionalProperties": False}}
    body = {**_chat(chance, target), "response_format": {"type": "json_schema"}}
    body["response_format"]["json_schema"] = schema
    return _call("schema", CHAT, body)


def look(chance: random.Random, target: Target) -> Call:
    path = chance.choice(("/engine", "/metrics", "/v1/models", "/health/ready", "/health/live"))
    return Call("look", (head("GET", path, {}),))


def leaver(chance: random.Random, target: Target) -> Call:
    """Closes the socket at some time; a stream may have begun."""
    long = {"max_tokens": target.context // 3, "ignore_eos": True}
    leave_s = chance.uniform(0, LONGEST_LEAVE_S)
    if chance.random() < 0.5:
        body = _chat(chance, target) | long | _streamed(chance)
        return _call("cancel", CHAT, body, leave_s=leave_s)
    body = _completion(chance, target) | long | {"n": chance.randint(1, 2)} | _streamed(chance)
    return _call("cancel", COMPLETIONS, body, leave_s=leave_s)


def cut_off(chance: random.Random, target: Target) -> Call:
    """Closes the socket in the middle of the body."""
    whole = post(CHAT, _chat(chance, target))
    part = whole[: chance.randrange(1, len(whole))]
    return Call("cut body", (part,), leave_s=chance.uniform(0, LONGEST_LEAVE_S / 4))


def oversize(chance: random.Random, target: Target) -> Call:
    """More than a body may have: by its own account, or found out while it arrives."""
    if chance.random() < 0.8:
        length = {"content-length": str(BODY_BYTES + chance.randint(1, 1 << 30))}
        start = head("POST", CHAT, JSON | length) + b'{"messages": "'
        return Call("oversize", (start,), frozenset({413}))
    start = head("POST", CHAT, JSON | {"transfer-encoding": "chunked"})
    piece = f"{PIECE:x}\r\n".encode() + b"x" * PIECE + b"\r\n"
    pieces = (piece,) * (BODY_BYTES // PIECE + 1)
    # What was sent but not read makes the kernel reset the connection, maybe before the answer.
    return Call("oversize", (start, *pieces), frozenset({413}), may_drop=True)


def broken(chance: random.Random, target: Target) -> Call:
    """Is not JSON, or not an object."""
    whole = json.dumps(_chat(chance, target)).encode()
    torn = whole[: chance.randrange(len(whole))]
    return _call("broken", CHAT, chance.choice((*BROKEN, torn)), statuses=REFUSED)


def wrong_type(chance: random.Random, target: Target) -> Call:
    """Has a field of a wrong type or outside its range."""
    name = chance.choice((*WRONG, "prompt", "messages"))
    if name == "messages":
        body = _chat(chance, target) | {name: chance.choice(WRONG_MESSAGES)}
        return _call("wrong type", CHAT, body, statuses=REFUSED)
    body = _completion(chance, target)
    body[name] = chance.choice(WRONG_PROMPTS if name == "prompt" else WRONG[name])
    return _call("wrong type", COMPLETIONS, body, statuses=REFUSED)


def wrong_key(chance: random.Random, target: Target) -> Call:
    """Has a field that nobody knows, or lacks one."""
    path, body = COMPLETIONS, _completion(chance, target)
    if chance.random() < 0.5:
        path, body = CHAT, _chat(chance, target)
    if chance.random() < 0.7:
        body[chance.choice(("temprature", "max_token", "__class__", "", "x" * 500))] = 1
    else:
        del body[chance.choice(("model", "prompt" if path == COMPLETIONS else "messages"))]
    return _call("wrong key", path, body, statuses=REFUSED)


def misplaced(chance: random.Random, target: Target) -> Call:
    """Names a model, a path, a method or a content type that there is not."""
    body = _completion(chance, target)
    content = json.dumps(body).encode()
    length = {"content-length": str(len(content))}
    plain = head("POST", COMPLETIONS, {"content-type": "text/plain"} | length)
    ways: list[Call] = [
        _call("misplaced", COMPLETIONS, body | {"model": "no-such-model"}, statuses=REFUSED),
        _call("misplaced", "/v1/no/such/path", body, statuses=REFUSED),
        _call("misplaced", "/v1/models", body, statuses=REFUSED),
        Call("misplaced", (head("DELETE", COMPLETIONS, {}),), REFUSED),
        Call("misplaced", (plain + content,), REFUSED),
        Call("misplaced", (b"no HTTP at all\r\n\r\n",), REFUSED, may_drop=True),
    ]
    return chance.choice(ways)


def too_long(chance: random.Random, target: Target) -> Call:
    """Does not fit into the model's context."""
    body = _completion(chance, target)
    if chance.random() < 0.5:
        body["prompt"] = [5] * (target.context + chance.randint(0, 100))
    else:
        body["max_tokens"] = target.context + chance.randint(0, 100)
    return _call("too long", COMPLETIONS, body, statuses=REFUSED)


KINDS: dict[Callable[[random.Random, Target], Call], int] = {
    chat: 24,
    completion: 20,
    several: 6,
    message: 5,
    response: 5,
    constrained: 2,
    look: 3,
    leaver: 12,
    cut_off: 6,
    oversize: 1,
    broken: 4,
    wrong_type: 5,
    wrong_key: 3,
    misplaced: 2,
    too_long: 2,
}
"""Every kind, and how many of a hundred requests are of it."""
