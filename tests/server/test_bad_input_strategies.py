"""Strategies that are wrong, out of place or without end: refused by name, never by a 500."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.server.test_bad_input import (
    HELLO,
    TOO_LONG,
    Body,
    assert_idle,
    assert_refused,
    post_bytes,
)
from tests.server.test_strategies import CHAT, MESSAGES, PATHS, RESPONSES, asking, text_of
from tests.serving import Served

everywhere = pytest.mark.parametrize("path", PATHS)
both_families = pytest.mark.parametrize("path", [CHAT, MESSAGES])
ANYTHING = " "
"""What every message has: where the field is told beside it, it need not be in it."""
EXAMPLES = settings(
    max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
LONG = 100_000


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=120) as client:
        yield client
    assert_idle(served)


# The strategy

NO_STRATEGIES: dict[str, Any] = {
    "a number": 5,
    "a list": ["vote(2)"],
    "an object": {"vote": 2},
    "a truth": True,
    "empty": "",
    "blank": "   ",
    "unknown": "think(3)",
    "in capitals": "VOTE(2)",
    "unclosed": "vote(2",
    "closed twice": "vote(2))",
    "two": "vote(2) vote(2)",
    "a comma too many": "vote(2,,)",
    "none of them": "vote(0)",
    "fewer": "vote(-1)",
    "a part": "vote(1.5)",
    "not a number": "vote(nan)",
    "no number": "vote(two)",
    "for ever": "vote(inf)",
    "too many": f"vote({10**6})",
    "far too many": f"vote({'9' * 5000})",
    "an exponent": "vote(1e999)",
    "rounds without end": f"reflect(rounds={10**9})",
    "less than no round": "reflect(rounds=-1)",
    "too wide": f"search({10**7}, by=logprob)",
    "no parameter of it": "vote(colour=3)",
    "said twice": "vote(2, n=3)",
    "named twice": "vote(n=2, n=3)",
    "no way to choose": "best_of(2, by=luck)",
    "a path": "../../etc/passwd",
    "code": "__import__('os').system('true')",
    "a NUL": "vote(2)\x00",
    "lines": "vote(2)\nvote(2)",
    "letters from elsewhere": "v\u043ete(2)",
    "digits from elsewhere": "vote(٢)",
    "emoji": "🗳️(2)",
    "long": "v" * LONG,
    "long and full": "vote(" + "1, " * (LONG // 3) + "1)",
    "deep": "reflect(" * 10_000 + "direct" + ")" * 10_000,
    "deep, but no longer than may be": "vote(" * 1600 + ")" * 1600,
    "deep and unclosed": "vote(" * (LONG // 5),
    "only brackets": "(" * LONG,
    "a long text in it": 'best_of(2, by="' + "x" * LONG + '")',
    "its verifier is missing": "verify_and_retry(2)",
    "its scorer is missing": "best_of(2, by=verifier)",
    "the scorer within is missing": "reflect(best_of(2, by=verifier))",
}


@both_families
@pytest.mark.parametrize("value", NO_STRATEGIES.values(), ids=NO_STRATEGIES)
def test_what_is_no_strategy_is_refused(client: httpx.Client, path: str, value: Any) -> None:
    response = client.post(path, json=asking(path, strategy=value))
    param = "strategy"
    if response.json()["error"].get("param") == "verifier":
        assert "verifier" in value, "what is missing may be named instead"
        param = "verifier"
    assert_refused(response, 400, param, word=ANYTHING)
    assert len(response.content) < 3000, "what is long is not told back whole"


@both_families
@pytest.mark.parametrize("field", ["strategy", "verifier", "reach", "optillm_approach"])
def test_lone_surrogates_are_refused(client: httpx.Client, path: str, field: str) -> None:
    strategy = None if field in {"strategy", "optillm_approach"} else "best_of(2)"
    whole = json.dumps(asking(path, strategy, 2, **{field: "\ud800"})).encode()
    response = post_bytes(client, path, whole)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("strategy", ["vote(n=2)", " vote ( 2 ) ", "vote(2,weight=confidence)"])
@everywhere
def test_it_may_be_written_freely(client: httpx.Client, path: str, strategy: str) -> None:
    assert client.post(path, json=asking(path, strategy, 2)).status_code == 200


def test_a_deep_one_that_is_allowed_ends(client: httpx.Client) -> None:
    """Forty in each other: done within the tokens, or refused as too deep."""
    deep = "best_of(" * 40 + "direct" + ", n=2)" * 40
    response = client.post(CHAT, json=asking(CHAT, deep, 2, budget={"max_tokens": 64}))
    if response.status_code != 200:
        assert_refused(response, 400, "strategy")
    else:
        assert response.json()["foreknown"]["actual"]["tokens"] <= 64


NESTED = "vote(" * 2 + "vote(256)" + ", n=256)" * 2
"""Sixteen million drafts, in forty characters."""


def test_what_multiplies_is_refused_or_done_in_part(serve: Callable[..., Served]) -> None:
    """Its plan alone would take minutes, and go on when the client has left."""
    response = serve().post(CHAT, asking(CHAT, NESTED, 2, budget={"max_tokens": 64}))
    if response.status_code == 200:
        assert response.json()["foreknown"]["actual"]["tokens"] <= 64
    else:
        assert_refused(response, 400, "strategy", word=ANYTHING)


# Verifiers

NO_VERIFIERS: dict[str, Any] = {
    "a number": 5,
    "a list": ["arithmetic"],
    "empty": "",
    "unknown": "luck",
    "no pattern": "regex:(",
    "a long pattern": "regex:" + "(" * LONG,
    "a deep pattern": "regex:" + "(" * 4000 + ")" * 4000,
    "a repetition beyond all bounds": "regex:a{99999999999999999999}",
    "a lookbehind without width": "regex:(?<=a*)b",
    "a function": "function:os:system",
    "a function of ours": "function:foreknown.strategies:parse",
    "code": "code:/etc/passwd",
    "a schema": "schema:/etc/passwd",
    "a schema of nothing": "schema:",
    "capitals": "CODE:/etc/passwd",
    "blanks before it": " code:/etc/passwd",
    "a NUL": "code\x00:/etc/passwd",
    "a path": "/etc/passwd",
    "arithmetic and more": "arithmetic:/etc/passwd",
}


@both_families
@pytest.mark.parametrize("value", NO_VERIFIERS.values(), ids=NO_VERIFIERS)
def test_what_nobody_may_name_is_no_verifier(client: httpx.Client, path: str, value: Any) -> None:
    body = asking(path, "best_of(2, by=verifier)", 2, verifier=value)
    response = client.post(path, json=body)
    assert_refused(response, 400, "verifier")
    assert "root:" not in response.text, "no file is read"
    assert len(response.content) < 3000


HIDDEN = ["code:/etc/passwd", "schema:/etc/passwd", "function:os:system", "regex:(", "luck"]
"""Of these even the ones that nothing would use are refused, never ignored."""
HIDING = [
    'best_of(verifier="{}")',
    'best_of(2, by=verifier, verifier="{}")',
    'verify_and_retry(2, verifier="{}")',
    'reflect(best_of(2, by=verifier, verifier="{}"), rounds=1)',
    'vote(best_of(2, verifier="{}"), n=2)',
    'search(2, by=verifier, verifier="{}")',
    'vote(2, weight=verifier, verifier="{}")',
]


@pytest.mark.parametrize("verifier", HIDDEN)
@pytest.mark.parametrize("strategy", HIDING)
@pytest.mark.parametrize("where", ["strategy", "name"])
def test_nor_may_the_strategy_name_it(
    client: httpx.Client, strategy: str, verifier: str, where: str
) -> None:
    written = strategy.format(verifier)
    said = {"strategy": written} if where == "strategy" else {"model": f"bundled:{written}"}
    for path in PATHS:
        response = client.post(path, json=asking(path, None, 2, **said))
        assert response.status_code == 400, response.text
        assert "root:" not in response.text
        if path != MESSAGES:
            named = response.json()["error"]["param"]
            assert named in {"strategy", "verifier", "model"}
            assert_refused(response, 400, named, word=ANYTHING)


# Budgets, and the rest of the fields

NO_AMOUNTS = [0, -1, -0.0, "5", True, [5], {}]
BUDGETS = ["deadline_ms", "max_tokens", "max_joules", "max_usd"]


@both_families
@pytest.mark.parametrize("field", BUDGETS)
@pytest.mark.parametrize("value", NO_AMOUNTS, ids=repr)
def test_a_budget_that_is_no_amount_is_named(
    client: httpx.Client, path: str, field: str, value: Any
) -> None:
    response = client.post(path, json=asking(path, budget={field: value}))
    assert_refused(response, 400, f"budget.{field}")


@both_families
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
@pytest.mark.parametrize("field", BUDGETS)
def test_a_budget_without_bounds_is_refused(
    client: httpx.Client, path: str, number: str, field: str
) -> None:
    whole = json.dumps(asking(path))[:-1] + f', "budget": {{"{field}": {number}}}}}'
    response = post_bytes(client, path, whole.encode())
    assert response.status_code == 400, response.text
    message = response.json()["error"]["message"]
    assert "budget" in message or "JSON" in message
    assert len(response.content) < 2000


@pytest.mark.parametrize(
    "budget",
    [
        {name: 1e-300 for name in BUDGETS if name != "max_tokens"},
        {"max_tokens": 1},
        {"max_usd": 1e300},
    ],
)
@everywhere
def test_a_budget_that_is_hardly_one_gives_an_answer(
    client: httpx.Client, path: str, budget: Body
) -> None:
    response = client.post(path, json=asking(path, "reflect(vote(2))", budget=budget))
    assert response.status_code == 200, response.text
    assert isinstance(text_of(response.json()), str)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"budget": 5}, "budget"),
        ({"budget": []}, "budget"),
        ({"budget": "much"}, "budget"),
        ({"budget": {"colour": 5}}, "budget.colour"),
        ({"budget": {"max_tokens": 1.5}}, "budget.max_tokens"),
        ({"trace": "yes"}, "trace"),
        ({"trace": 1}, "trace"),
        ({"reach": 5}, "reach"),
        ({"reach": ""}, "reach"),
        ({"reach": "not from here"}, "reach"),
        ({"reach": "1" * LONG}, "reach"),
        ({"reach": "[" * LONG}, "reach"),
        ({"reach": "🗳️"}, "reach"),
        ({"reach": "-1"}, "reach"),
        ({"optillm_approach": 5}, "optillm_approach"),
        ({"optillm_approach": ""}, "optillm_approach"),
        ({"optillm_approach": "moa"}, "optillm_approach"),
        ({"optillm_approach": "bon&moa"}, "optillm_approach"),
        ({"optillm_approach": "x" * LONG}, "optillm_approach"),
        ({"deadline_ms": -1}, "deadline_ms"),
        ({"deadline_ms": "5"}, "deadline_ms"),
        ({"ttft_ms": 1000}, "ttft_ms"),
        ({"tpot_ms": 1000}, "tpot_ms"),
    ],
    ids=lambda said: str(said)[:40],
)
@everywhere
def test_a_wrong_field_is_named(client: httpx.Client, path: str, change: Body, param: str) -> None:
    strategy = None if "optillm_approach" in change else "vote(2)"
    response = client.post(path, json=asking(path, strategy, 2, **change))
    assert_refused(response, 400, param, word=ANYTHING)
    assert len(response.content) < 3000


@pytest.mark.parametrize(
    ("field", "value"),
    [("verifier", "arithmetic"), ("budget", {"max_tokens": 50}), ("reach", "1")],
)
@everywhere
def test_what_only_strategies_have_is_refused_without(
    client: httpx.Client, path: str, field: str, value: Any
) -> None:
    response = client.post(path, json=asking(path, None, 2, **{field: value}))
    assert_refused(response, 400, field)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/tokenize"])
def test_elsewhere_there_are_none(client: httpx.Client, path: str) -> None:
    body = {"model": "bundled", "input" if "embed" in path else "prompt": "hello"}
    assert client.post(path, json=body).status_code == 200
    assert_refused(client.post(path, json={**body, "strategy": "vote(2)"}), 400, "strategy")


# What does not go together with a strategy

FUNCTION: Body = {"name": "f", "parameters": {"type": "object", "properties": {}}}
SCHEMA: Body = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
OUT_OF_PLACE: list[tuple[str, Body, str]] = [
    (CHAT, {"tools": [{"type": "function", "function": FUNCTION}]}, "tools"),
    (CHAT, {"response_format": {"type": "json_object"}}, "response_format"),
    (CHAT, {"structured_outputs": {"regex": "[0-9]+"}}, "structured_outputs"),
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"beam_width": 2}, "beam_width"),
    (CHAT, {"logprobs": True}, "logprobs"),
    (CHAT, {"logprobs": True, "top_logprobs": 2}, "logprobs"),
    (
        CHAT,
        {
            "messages": [HELLO, {"role": "assistant", "content": "hi"}],
            "continue_final_message": True,
        },
        "continue_final_message",
    ),
    (CHAT, {"messages": [HELLO, {"role": "assistant", "content": "hi"}]}, "messages"),
    (CHAT, {"messages": [{"role": "system", "content": "hi"}]}, "messages"),
    (RESPONSES, {"tools": [{"type": "function", **FUNCTION}]}, "tools"),
    (RESPONSES, {"structured_outputs": {"regex": "[0-9]+"}}, "structured_outputs"),
    (RESPONSES, {"input": [HELLO, {"role": "assistant", "content": "hi"}]}, "input"),
    (MESSAGES, {"tools": [{"name": "f", "input_schema": {"type": "object"}}]}, "tools"),
    (MESSAGES, {"messages": [HELLO, {"role": "assistant", "content": "hi"}]}, "messages"),
]


@pytest.mark.parametrize(("path", "change", "param"), OUT_OF_PLACE)
@pytest.mark.parametrize("how", ["field", "name", "approach"])
def test_what_one_answer_of_many_drafts_cannot_have_is_named(
    client: httpx.Client, path: str, change: Body, param: str, how: str
) -> None:
    said: Body = {
        "field": {"strategy": "vote(2)"},
        "name": {"model": "bundled:vote(2)"},
        "approach": {"optillm_approach": "bon"},
    }[how]
    assert_refused(client.post(path, json=asking(path, None, 2, **said, **change)), 400, param)


def test_an_object_from_responses_is_refused_too(client: httpx.Client) -> None:
    form = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    response = client.post(RESPONSES, json=asking(RESPONSES, text={"format": form}))
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("text")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1},
        {"logprobs": False},
        {"tools": []},
        {"stop": ["\n"]},
        {"temperature": 0},
        {"seed": 2**63 - 1},
        {"seed": -(2**63)},
        {"seed": 0},
        {"min_tokens": 2},
        {"logit_bias": {"5": -100}},
        {"forecast": True},
    ],
    ids=str,
)
def test_what_goes_together_is_not_refused(client: httpx.Client, change: Body) -> None:
    body = asking(CHAT, "vote(3)", 4, **change)
    assert client.post(CHAT, json=asking(CHAT, None, 4, **change)).status_code == 200
    response = client.post(CHAT, json=body)
    assert response.status_code == 200, response.text


# Names of models

NO_NAMES = [
    ("bundled:", 400),
    ("bundled:think", 400),
    ("bundled:vote(", 400),
    ("bundled:vote(0)", 400),
    ("bundled:vote(2):vote(2)", 400),
    ("bundled:" + "vote(" * 20_000, 400),
    ("bundled:" + "🗳️" * 1000, 400),
    ("moa-bundled", 400),
    ("bon&moa-bundled", 400),
    ("bon|moa-bundled", 400),
    ("other:vote(2)", 404),
    (":vote(2)", 404),
    ("bon-other", 404),
    ("think-bundled", 404),
    ("-bundled", 404),
    ("bundled-bon", 404),
    ("bon-", 404),
    ("bundled\x00:vote(2)", 404),
    ("BUNDLED:vote(2)", 404),
    ("x" * LONG, 400),
    ("../bundled:vote(2)", 404),
    ("moa-" * 10_000 + "bundled", None),
    ("bon-bon-bundled", None),
    ("bon-bundled:vote(2)", None),
]


@everywhere
@pytest.mark.parametrize(("name", "status"), NO_NAMES, ids=lambda said: str(said)[:30])
def test_what_names_no_model_or_no_strategy_is_refused(
    client: httpx.Client, path: str, name: str, status: int | None
) -> None:
    response = client.post(path, json=asking(path, None, 2, model=name))
    assert response.status_code in {status} if status else {400, 404}, response.text
    assert_refused(response, response.status_code, "model", word=ANYTHING)
    assert len(response.content) < 3000


def test_unknown_approaches_are_told_what_there_is(client: httpx.Client) -> None:
    for name in ("moa-bundled", "bon&moa-bundled"):
        message = assert_refused(
            client.post(CHAT, json=asking(CHAT, None, model=name)), 400, "model", word=ANYTHING
        )
        for known in ("bon", "cot_reflection", "majority_voting", "mcts", "self_consistency"):
            assert known in message


CONTRADICTIONS: list[Body] = [
    {"model": "bundled:vote(2)", "strategy": "reflect"},
    {"model": "bon-bundled", "strategy": "reflect"},
    {"model": "bon-bundled", "optillm_approach": "mcts"},
    {"model": "bundled:vote(2)", "optillm_approach": "mcts"},
    {"strategy": "vote(2)", "optillm_approach": "mcts"},
]


@everywhere
@pytest.mark.parametrize("said", CONTRADICTIONS, ids=str)
def test_two_that_differ_are_refused(client: httpx.Client, path: str, said: Body) -> None:
    response = client.post(path, json=asking(path, None, 2, **said))
    assert response.status_code == 400, response.text
    if path != MESSAGES:
        assert response.json()["error"]["param"] in {"strategy", "optillm_approach", "model"}


# Awkward, and none of it wrong


@pytest.mark.parametrize(
    "strategy",
    ["vote(2)", "best_of(2, by=judge)", "reflect(rounds=2)", "search(2, by=judge)"],
)
@pytest.mark.parametrize(
    "text",
    ["", " ", "\n" * 50, "🗳️" * 20, "א" * 40, "\u202e{{x}}{% raw %}", "\ufffd\u0000", "a " * 440],
    ids=lambda text: ascii(text)[:20],
)
def test_questions_of_any_kind_have_answers(client: httpx.Client, strategy: str, text: str) -> None:
    """The last leaves hardly room for a second look within the context."""
    messages = [{"role": "user", "content": text}]
    plain = client.post(CHAT, json=asking(CHAT, None, 8, messages=messages))
    response = client.post(CHAT, json=asking(CHAT, strategy, 8, messages=messages))
    assert response.status_code == plain.status_code, response.text
    if response.status_code == 200:
        assert isinstance(text_of(response.json()), str)


@pytest.mark.parametrize("n_words", [900, 980, 1000, 1010])
@pytest.mark.parametrize("strategy", ["vote(2)", "reflect(rounds=1)", "best_of(2, by=judge)"])
def test_a_question_may_nearly_fill_the_context(
    client: httpx.Client, strategy: str, n_words: int
) -> None:
    messages = [{"role": "user", "content": "a " * n_words}]
    plain = client.post(CHAT, json=asking(CHAT, None, 4, messages=messages))
    response = client.post(CHAT, json=asking(CHAT, strategy, 4, messages=messages))
    assert response.status_code == plain.status_code, response.text
    if response.status_code == 200:
        assert response.json()["foreknown"]["actual"]["tokens"] > 0


@pytest.mark.parametrize("strategy", ["direct", "vote(2)", "reflect(rounds=1)"])
@everywhere
def test_a_question_beyond_the_context_is_refused(
    client: httpx.Client, path: str, strategy: str
) -> None:
    said: Body = {"messages": [{"role": "user", "content": TOO_LONG}]}
    if path == RESPONSES:
        said = {"input": TOO_LONG}
    response = client.post(path, json=asking(path, strategy, 4, **said))
    assert_refused(response, 400, next(iter(said)), "context_length_exceeded", word=ANYTHING)


# Whatever comes

names = st.sampled_from(
    ["direct", "vote", "best_of", "reflect", "search", "verify_and_retry", "auto", "beam", "x"]
)
values = st.one_of(
    st.integers(-1, 4).map(str),
    st.sampled_from(
        [
            "logprob",
            "judge",
            "verifier",
            "count",
            "confidence",
            "0.5",
            "1e9",
            "-0",
            '"arithmetic"',
            "'",
        ]
    ),
    st.text(max_size=3),
)
keys = st.sampled_from(
    ["n", "by", "rounds", "ideas", "weight", "of", "tries", "enough", "width", "depth", "verifier"]
)


def _call(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    named = st.builds("{}={}".format, keys, st.one_of(values, inner))
    arguments = st.lists(st.one_of(inner, values, named), max_size=3).map(", ".join)
    return st.builds("{}({})".format, names, arguments)


written = st.recursive(st.one_of(names, names.map("{}()".format)), _call, max_leaves=4)
approaches = st.sampled_from(["none", "bon", "mcts", "moa", "self_consistency"])
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
amounts = st.one_of(
    st.integers(-1, 100), st.floats(allow_nan=False, allow_infinity=False), anything
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "strategy": st.one_of(written, st.text(max_size=30), anything),
    "verifier": st.one_of(
        st.sampled_from(["arithmetic", "regex:a", "code:x", "function:os:system", "schema:x"]),
        st.text(max_size=12).map("regex:{}".format),
        anything,
    ),
    "trace": st.booleans() | anything,
    "reach": st.one_of(st.text(max_size=40), st.integers().map(str), anything),
    "optillm_approach": approaches | anything,
    "model": st.one_of(
        st.builds("bundled:{}".format, written),
        st.builds("{}-bundled".format, approaches | st.text(max_size=5)),
        anything,
    ),
    "deadline_ms": amounts,
    "seed": st.integers(-(2**65), 2**65),
    "stream": st.booleans(),
}
limits = st.fixed_dictionaries(
    {"max_tokens": st.integers(1, 64)},
    optional={
        "deadline_ms": amounts,
        "max_joules": amounts,
        "max_usd": amounts,
        "colour": anything,
    },
)
said_of = st.fixed_dictionaries({"budget": limits}, optional=FIELDS)


@EXAMPLES
@given(path=st.sampled_from(PATHS), said=said_of)
@example(path=CHAT, said={"budget": {"max_tokens": 64}, "strategy": "reflect(of=direct, n=2)"})
def test_whatever_is_said_is_done_or_refused_by_name(
    client: httpx.Client, path: str, said: Body
) -> None:
    response = client.post(path, json=asking(path, None, 2, **said))
    if response.status_code != 200:
        _refused_by_name(path, response)


@EXAMPLES
@given(
    path=st.sampled_from(PATHS), strategy=written, verifier=st.sampled_from([None, "arithmetic"])
)
def test_whatever_is_written_is_done_within_its_tokens_or_refused(
    client: httpx.Client, path: str, strategy: str, verifier: str | None
) -> None:
    more = {} if verifier is None else {"verifier": verifier}
    body = asking(path, strategy, 2, budget={"max_tokens": 40}, trace=True, **more)
    response = client.post(path, json=body)
    if response.status_code != 200:
        _refused_by_name(path, response)
        return
    told = response.json()["foreknown"]
    assert told["strategy"]["fits"] is False or told["actual"]["tokens"] <= 40
    again = client.post(path, json={**body, "strategy": told["strategy"]["asked"]}).json()
    assert again["foreknown"]["trace"] == told["trace"], "it is written back as it is meant"


def _refused_by_name(path: str, response: httpx.Response) -> None:
    error = response.json()["error"]
    param = error.get("param") if path != MESSAGES else None
    assert_refused(response, response.status_code, param, word=ANYTHING)
    assert response.status_code in {400, 404, 429}, response.text
    if path == MESSAGES:
        param = error["message"]
    if response.status_code == 400:
        assert param, "the field is named"
        assert param.startswith((*FIELDS, "budget")), error
