"""Law 3 as users meet it: a request has one answer, to the byte, whoever else is served, whatever
is cached, in one piece or streamed, and after a restart with other threads.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import Served, serving

Body = dict[str, Any]

EXAMPLES = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OFTEN_CHANGING = {"id", "created", "created_at", "usage", "request_id"}
WORDS = "Tell me about the sea, a small house and why 7 birds are not 8 or so".split()


@pytest.fixture(scope="module")
def server(bundled_artifact: Path) -> Iterator[Served]:
    with serving(f"bundled={bundled_artifact}") as served:
        yield served


@pytest.fixture(scope="module")
def other_server(bundled_artifact: Path) -> Iterator[Served]:
    """The same model after a restart: one thread, no guesses ahead, room for two."""
    options = ["--threads", "1", "--no-speculation", "--sequences", "2"]
    with serving(f"bundled={bundled_artifact}", *options) as served:
        yield served


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(" ".join)
greedy = st.fixed_dictionaries({"temperature": st.just(0)})
seeded = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.7, 1.0, 1.5]), "seed": st.integers(0, 2**31)},
    optional={
        "top_p": st.floats(0.3, 1),
        "top_k": st.integers(1, 50),
        "min_p": st.floats(0, 0.2),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "repetition_penalty": st.floats(0.8, 1.5),
    },
)
shapes = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 40)},
    optional={
        "ignore_eos": st.booleans(),
        "stop": st.sampled_from([["e"], ["the", " a"], "."]),
        "logit_bias": st.dictionaries(st.integers(0, 1727).map(str), st.floats(-5, 5), max_size=5),
        "structured_outputs": st.sampled_from(
            [{"regex": "[a-z ]{5,30}"}, {"choice": ["yes", "no", "perhaps"]}]
        ),
    },
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Body]:
    """A path and a body for it."""
    body: Body = {"model": "bundled", **draw(shapes), **draw(st.one_of(greedy, seeded))}
    if draw(st.booleans()):
        body["messages"] = [{"role": "user", "content": draw(texts)}]
        if draw(st.booleans()):
            body |= {"logprobs": True, "top_logprobs": draw(st.integers(0, 5))}
        return "/v1/chat/completions", body
    body["prompt"] = draw(st.one_of(texts, st.lists(st.integers(3, 1727), min_size=1, max_size=90)))
    if draw(st.booleans()):
        body["logprobs"] = draw(st.integers(0, 5))
    return "/v1/completions", body


def answer(served: Served, path: str, body: Body) -> bytes:
    """The bytes of an answer, but for what tells requests apart."""
    response = served.post(path, body)
    assert response.status_code == 200, response.text
    found = response.json()
    return json.dumps({k: v for k, v in found.items() if k not in OFTEN_CHANGING}).encode()


def streamed(served: Served, path: str, body: Body) -> list[Body]:
    """The choices of a stream, each with its pieces joined."""
    joined: dict[int, Body] = {}
    for event in served.events(path, {**body, "stream": True}):
        for choice in event["choices"]:
            whole = joined.setdefault(
                choice["index"], {"text": "", "logprobs": [], "finish_reason": None}
            )
            piece = choice["delta"].get("content") if "delta" in choice else choice["text"]
            whole["text"] += piece or ""
            whole["logprobs"] += logprobs(choice)
            whole["finish_reason"] = choice["finish_reason"] or whole["finish_reason"]
    return [joined[index] for index in sorted(joined)]


def logprobs(choice: Body) -> list[Any]:
    """One entry a token, in either form of them."""
    told = choice.get("logprobs") or {}
    if "content" in told:
        return list(told["content"] or [])
    names = ("tokens", "token_logprobs", "top_logprobs")
    return [list(entry) for entry in zip(*(told.get(name) or [] for name in names), strict=False)]


def choices(whole: bytes) -> list[Body]:
    """The choices of an answer, as those of a stream are joined."""
    return [
        {
            "text": choice["message"]["content"] or "" if "message" in choice else choice["text"],
            "logprobs": logprobs(choice),
            "finish_reason": choice["finish_reason"],
        }
        for choice in json.loads(whole)["choices"]
    ]


def company(seed: int, n: int = 16) -> list[tuple[str, Body]]:
    """Requests of others: prompts of any length, sampled or not, constrained or not."""
    rng = random.Random(seed)
    found: list[tuple[str, Body]] = []
    for index in range(n):
        prompt = [rng.randrange(3, 1727) for _ in range(rng.choice([1, 15, 16, 17, 100, 400]))]
        body: Body = {"model": "bundled", "prompt": prompt, "max_tokens": rng.randrange(1, 60)}
        body |= {"temperature": rng.choice([0, 1]), "seed": rng.randrange(1000)}
        if index % 4 == 0:
            body |= {"n": 2, "logprobs": 3}
        if index % 5 == 0:
            body |= {"structured_outputs": {"regex": "[a-z]{3,40}"}}
        found.append(("/v1/completions", body))
    return found


@given(request=requests())
@EXAMPLES
def test_alone_again_and_streamed(server: Served, request: tuple[str, Body]) -> None:
    path, body = request
    first = answer(server, path, body)
    assert answer(server, path, body) == first, "now its prompt is cached"
    assert streamed(server, path, body) == choices(first)


@given(request=requests(), seed=st.integers(0, 2**32))
@EXAMPLES
def test_among_sixteen_others(server: Served, request: tuple[str, Body], seed: int) -> None:
    path, body = request
    # Alone comes last half of the time, so that the prompt is new in company, too.
    first = answer(server, path, body) if seed % 2 else None
    with ThreadPoolExecutor(17) as pool:
        others = company(seed)
        asked = [*others[:8], request, *others[8:]]
        found = list(pool.map(lambda one: answer(server, *one), asked))
    assert found[8] == (first or answer(server, path, body))


@given(request=requests())
@EXAMPLES
def test_after_a_restart(server: Served, other_server: Served, request: tuple[str, Body]) -> None:
    assert answer(server, *request) == answer(other_server, *request)


def test_where_blocks_run_out(server: Served, other_server: Served) -> None:
    """With room for two whole sequences, some of twelve give way and are computed again."""
    before = other_server.engine()["preemptions"]
    prompt = [random.randrange(3, 1727) for _ in range(100)]
    body = {"model": "bundled", "prompt": prompt, "max_tokens": 250, "ignore_eos": True}
    body |= {"n": 12, "temperature": 1, "seed": random.randrange(2**31)}
    crowded = answer(other_server, "/v1/completions", body)
    assert other_server.engine()["preemptions"] > before
    assert crowded == answer(server, "/v1/completions", body)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_beams_among_others(server: Served, other_server: Served, width: int) -> None:
    prompt = " ".join(random.choices(WORDS, k=10))
    body = {"model": "bundled", "prompt": prompt, "max_tokens": 20, "beam_width": width, "n": width}
    alone = answer(other_server, "/v1/completions", body)
    with ThreadPoolExecutor(9) as pool:
        seed = random.randrange(2**32)
        asked = [*company(seed, 4), ("/v1/completions", body), *company(seed + 1, 4)]
        among = list(pool.map(lambda one: answer(server, *one), asked))[4]
    assert among == alone


def test_a_cached_prefix_is_one(server: Served) -> None:
    """Else the tests above show less than they say."""
    prompt = [random.randrange(3, 1727) for _ in range(200)]
    body = {"model": "bundled", "prompt": prompt, "max_tokens": 8, "logprobs": 5}
    found = [server.post("/v1/completions", body).json() for _ in range(2)]
    cached = [one["usage"]["prompt_tokens_details"]["cached_tokens"] for one in found]
    assert cached[0] < 16  # a beginning may be like another test's
    assert cached[1] >= 192
    assert found[0]["choices"] == found[1]["choices"]


@given(request=requests(), seed=st.integers(0, 2**31))
@EXAMPLES
def test_n_samples_are_those_of_n_seeds(
    server: Served, request: tuple[str, Body], seed: int
) -> None:
    path, body = request
    body = {**body, "temperature": 1.0, "seed": seed}
    several = choices(answer(server, path, {**body, "n": 4}))
    single = [choices(answer(server, path, {**body, "seed": seed + index})) for index in range(4)]
    assert several == [one for (one,) in single]
    assert streamed(server, path, {**body, "n": 4}) == several


@given(text=texts)
@EXAMPLES
def test_every_interface_says_the_same(server: Served, text: str) -> None:
    body: Body = {"model": "bundled", "temperature": 0, "max_tokens": 20}
    messages = [{"role": "user", "content": text}]
    chat = server.post("/v1/chat/completions", {**body, "messages": messages}).json()
    anthropic = server.post("/v1/messages", {**body, "messages": messages}).json()
    response = {"model": "bundled", "temperature": 0, "max_output_tokens": 20, "input": text}
    responses = server.post("/v1/responses", response).json()
    said = chat["choices"][0]["message"]["content"]
    assert "".join(block["text"] for block in anthropic["content"]) == said
    parts = [part for item in responses["output"] for part in item["content"]]
    assert "".join(part["text"] for part in parts) == said
