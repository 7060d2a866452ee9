"""Strategies over HTTP: one text from many drafts, told of, promised, bounded and always the same.

What the file of bad input shares stands here too: how a strategy is asked for.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.server.test_bad_input import Body, assert_idle, assert_refused
from tests.server.test_operation import metrics, total
from tests.server.test_promises import EASY_MS, assert_comes_later, told_in, told_of
from tests.serving import Served

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
FORECAST = "/v1/forecast"
PATHS = (CHAT, MESSAGES, RESPONSES)
everywhere = pytest.mark.parametrize("path", PATHS)
QUESTION = "A bus carries 15 people. 9 get on and 12 get off. How many people are on the bus now?"
FEW = 24
"""Tokens of a draft where its text does not matter."""
WHOLE = 96
"""Tokens that a draft of an answer to the question seldom reaches."""
TOLD = {"strategy", "forecast", "actual"}
COSTS = {"total_ms", "tokens", "joules", "usd"}
STRATEGIES = [
    "direct",
    "vote(3)",
    "best_of(3)",
    "best_of(2, by=judge)",
    "reflect(rounds=1)",
    "search(2, by=logprob)",
    "reflect(vote(2), rounds=1)",
]


def asking(
    path: str, strategy: str | None = "vote(3)", n_tokens: int = FEW, /, **more: Any
) -> Body:
    """A body that asks the question; without a strategy if None is given."""
    length = "max_output_tokens" if path == RESPONSES else "max_tokens"
    body: Body = {"model": "bundled", length: n_tokens}
    if path == RESPONSES:
        body["input"] = QUESTION
    else:
        body["messages"] = [{"role": "user", "content": QUESTION}]
    if strategy is not None:
        body["strategy"] = strategy
    return {**body, **more}


def text_of(body: Any) -> str:
    """The answer's text, wherever its interface has it."""
    if "choices" in body:
        (choice,) = body["choices"]
        parts = [choice["message"]["content"]]
    elif "output" in body:
        messages = [item for item in body["output"] if item["type"] == "message"]
        parts = [part["text"] for message in messages for part in message["content"]]
    else:
        parts = [part["text"] for part in body["content"]]
    return "".join(parts)


def deltas_of(events: list[Any]) -> list[str]:
    """The pieces of text in the events of a stream."""
    pieces = []
    for event in events:
        if "choices" in event:
            pieces += [choice["delta"].get("content") for choice in event["choices"]]
        elif event["type"] == "content_block_delta":
            pieces.append(event["delta"]["text"])
        elif event["type"] == "response.output_text.delta":
            pieces.append(event["delta"])
    return [piece for piece in pieces if piece]


def output_tokens(body: Any) -> int:
    usage = body["usage"]
    counted: int = usage.get("completion_tokens", usage.get("output_tokens"))
    return counted


def answer(served: Served, body: Body, path: str = CHAT, **options: Any) -> tuple[str, Body]:
    """The text and what is told of it."""
    response = served.post(path, body, **options)
    assert response.status_code == 200, response.text
    found = response.json()
    return text_of(found), told_of(found)


def drafts_in(trace: Any) -> list[Body]:
    """Every draft in a trace, wherever it stands."""
    if isinstance(trace, list):
        return [draft for part in trace for draft in drafts_in(part)]
    if not isinstance(trace, dict):
        return []
    own = [trace] if "text" in trace and "tokens" in trace else []
    return own + [draft for part in trace.values() for draft in drafts_in(part)]


# What is told


@everywhere
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_answer_says_what_was_done_and_what_it_took(
    served: Served, path: str, strategy: str
) -> None:
    body = served.post(path, asking(path, strategy)).json()
    told = told_of(body)
    assert set(told) == TOLD
    assert isinstance(text_of(body), str)
    assert set(told["strategy"]) >= {"asked", "done", "fits", "rounds", "cached_tokens", "whole"}
    assert told["strategy"]["asked"] == told["strategy"]["done"]
    assert told["strategy"]["fits"] is True
    assert told["strategy"]["whole"] is True
    assert told["strategy"].get("reach") is None
    assert told["strategy"]["rounds"] >= 1
    assert set(told["forecast"]) == set(told["actual"]) == COSTS
    assert 0 < told["actual"]["tokens"] <= told["forecast"]["tokens"]
    assert told["actual"]["total_ms"] > 0
    assert output_tokens(body) == told["actual"]["tokens"], "every draft is counted"


@everywhere
def test_the_text_is_the_draft_that_was_chosen(served: Served, path: str) -> None:
    body = served.post(path, asking(path, "vote(4)", WHOLE, trace=True)).json()
    trace = told_of(body)["trace"]
    drafts = drafts_in(trace["parts"])
    assert len(drafts) == 4
    assert text_of(body) == drafts[trace["chosen"]]["text"]
    assert sum(draft["tokens"] for draft in drafts) == output_tokens(body)
    assert sum(vote["votes"] for vote in trace["votes"]) == 4


def test_all_tokens_are_prompts_and_drafts(served: Served) -> None:
    alone, voted = (
        served.post(CHAT, asking(CHAT, strategy, ignore_eos=True)).json()["usage"]
        for strategy in (None, "vote(5)")
    )
    assert alone["completion_tokens"] == FEW
    assert voted["completion_tokens"] == 5 * FEW
    assert voted["prompt_tokens"] >= alone["prompt_tokens"]
    assert voted["total_tokens"] == voted["prompt_tokens"] + voted["completion_tokens"]


@everywhere
def test_one_direct_draft_is_the_plain_answer(served: Served, path: str) -> None:
    plain = served.post(path, asking(path, None, WHOLE)).json()
    direct = served.post(path, asking(path, "direct", WHOLE)).json()
    assert text_of(direct) == text_of(plain)
    assert output_tokens(direct) == output_tokens(plain)
    assert "foreknown" not in plain


def test_a_strategy_is_written_back_so_that_it_can_be_asked_for_again(served: Served) -> None:
    first = answer(served, asking(CHAT, "reflect( vote(n=2),rounds = 1 )", seed=3, trace=True))
    again = asking(CHAT, first[1]["strategy"]["done"], seed=3, trace=True)
    text, told = answer(served, again)
    assert (text, told["trace"]) == (first[0], first[1]["trace"])


# Streams


@everywhere
@pytest.mark.parametrize("strategy", ["vote(3)", "reflect(rounds=1)"])
def test_a_stream_tells_before_and_gives_the_same(served: Served, path: str, strategy: str) -> None:
    body = asking(path, strategy, WHOLE, trace=True, deadline_ms=EASY_MS)
    whole = served.post(path, body).json()
    events = served.events(path, {**body, "stream": True})
    first, *_, last = told_in(events)
    assert told_in(events[:1]) == [first]
    assert set(first) == {"strategy", "forecast", "promise"}
    assert first["promise"]["total_ms"] == EASY_MS
    assert deltas_of(events) == [text_of(whole)], "the answer comes as one piece"
    assert set(last) >= TOLD | {"promise", "kept", "trace"}
    assert last["trace"] == told_of(whole)["trace"]
    assert last["strategy"]["done"] == first["strategy"]["done"]
    assert last["forecast"]["tokens"] == first["forecast"]["tokens"]
    assert last["actual"]["tokens"] == output_tokens(whole)


@pytest.mark.parametrize("strategy", ["direct", "vote(2)"])
def test_an_answer_that_was_cut_off_says_so(served: Served, strategy: str) -> None:
    chat, message, response = (
        served.post(path, asking(path, strategy, 2)).json() for path in PATHS
    )
    assert chat["choices"][0]["finish_reason"] == "length"
    assert message["stop_reason"] == "max_tokens"
    assert response["status"] == "incomplete"


def test_a_stream_may_end_with_its_usage(served: Served) -> None:
    body = asking(CHAT, stream=True, stream_options={"include_usage": True})
    *_, last = served.events(CHAT, body)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == told_of(last)["actual"]["tokens"]


# Other ways to ask for one

NAMES = [
    ("bundled:vote(4)", {"strategy": "vote(4)"}),
    ("bundled:vote", {"strategy": "vote"}),
    ("bundled:best_of(2, by=judge)", {"strategy": "best_of(2, by=judge)"}),
    ("bundled:reflect", {"strategy": "reflect"}),
    ("self_consistency-bundled", {"optillm_approach": "self_consistency"}),
    ("bon-bundled", {"optillm_approach": "bon"}),
]


@pytest.mark.parametrize(("name", "said"), NAMES, ids=[name for name, _ in NAMES])
@everywhere
def test_a_model_s_name_may_hold_the_strategy(
    served: Served, path: str, name: str, said: Body
) -> None:
    more = {"trace": True, "temperature": 0.9}
    by_name = served.post(path, asking(path, None, model=name, **more))
    by_field = served.post(path, asking(path, None, **said, **more))
    assert by_name.status_code == by_field.status_code == 200, by_name.text
    assert text_of(by_name.json()) == text_of(by_field.json())
    named, fielded = told_of(by_name.json()), told_of(by_field.json())
    assert named["strategy"]["done"] == fielded["strategy"]["done"]
    assert named["trace"] == fielded["trace"]


@pytest.mark.parametrize(
    ("path", "approach"),
    [
        (CHAT, "bon"),
        (CHAT, "cot_reflection"),
        (MESSAGES, "majority_voting"),
        (RESPONSES, "self_consistency"),
    ],
)
def test_an_approach_is_a_strategy_of_ours(served: Served, path: str, approach: str) -> None:
    told = told_of(served.post(path, asking(path, None, 4, optillm_approach=approach)).json())
    again = told_of(served.post(path, asking(path, told["strategy"]["asked"], 4)).json())
    assert again["strategy"]["done"] == told["strategy"]["done"]
    assert again["actual"]["tokens"] == told["actual"]["tokens"]


@everywhere
def test_the_approach_none_is_one_draft(served: Served, path: str) -> None:
    none = served.post(path, asking(path, None, optillm_approach="none"))
    plain = served.post(path, asking(path, None))
    assert none.status_code == 200, none.text
    assert text_of(none.json()) == text_of(plain.json())
    assert output_tokens(none.json()) == output_tokens(plain.json())


@everywhere
def test_a_verifier_may_be_named(served: Served, path: str) -> None:
    body = asking(path, "best_of(4, by=verifier)", WHOLE, verifier="arithmetic", trace=True)
    trace = told_of(served.post(path, body).json())["trace"]
    assert trace["scores"][trace["chosen"]] == max(trace["scores"])
    assert all(0 <= score <= 1 for score in trace["scores"])


def test_a_verifier_decides_when_it_is_enough(served: Served) -> None:
    def n_drafts(verifier: str) -> int:
        body = asking(CHAT, "verify_and_retry(3)", verifier=verifier, ignore_eos=True)
        return output_tokens(served.post(CHAT, body).json()) // FEW

    assert n_drafts("regex:(?s).*") == 1
    assert n_drafts("regex:no draft is this one") == 3


def test_a_verifier_may_stand_in_the_strategy(served: Served) -> None:
    inside = answer(served, asking(CHAT, 'best_of(3, by=verifier, verifier="arithmetic")', WHOLE))
    beside = answer(served, asking(CHAT, "best_of(3, by=verifier)", WHOLE, verifier="arithmetic"))
    assert inside[0] == beside[0]


def test_a_pattern_that_never_ends_has_no_verdict(served: Served) -> None:
    """A draft of one letter only, and a pattern that tries all its divisions."""
    spelled = {"model": "bundled", "prompt": "a", "add_special_tokens": False}
    (letter,) = served.post("/tokenize", spelled).json()["tokens"]
    body = asking(CHAT, "best_of(2, by=verifier)", 60, verifier="regex:(a+)+b", ignore_eos=True)
    hanging = ThreadPoolExecutor(1).submit(
        served.post, CHAT, {**body, "logit_bias": {str(letter): 100}}
    )
    while not hanging.done():
        assert served.post(CHAT, asking(CHAT, None, 2)).status_code == 200, "others are served"
    assert hanging.result().status_code == 200, hanging.result().text
    assert set(text_of(hanging.result().json())) == {"a"}


# Budgets


@pytest.mark.parametrize("strategy", ["vote(16)", "best_of(16)", "reflect(vote(8), rounds=4)"])
@everywhere
def test_less_is_done_where_few_tokens_are_left(served: Served, path: str, strategy: str) -> None:
    body = asking(path, strategy, budget={"max_tokens": 5 * FEW})
    found = served.post(path, body).json()
    told = told_of(found)
    assert told["strategy"]["done"] != told["strategy"]["asked"]
    assert told["strategy"]["fits"] is True
    assert told["actual"]["tokens"] <= told["forecast"]["tokens"] <= 5 * FEW
    assert output_tokens(found) <= 5 * FEW


@pytest.mark.parametrize("what", ["max_joules", "max_tokens"])
def test_a_budget_is_measured_by_its_forecast(served: Served, what: str) -> None:
    cost = what.removeprefix("max_")
    _, plenty = answer(served, asking(CHAT, "vote(8)"))
    bound = plenty["forecast"][cost] / 2
    bound = int(bound) if cost == "tokens" else bound
    _, told = answer(served, asking(CHAT, "vote(8)", budget={what: bound}))
    assert told["strategy"]["done"] != "vote(8)"
    assert told["forecast"][cost] <= bound


def test_a_budget_in_dollars_is_measured_where_the_machine_has_a_price(served: Served) -> None:
    _, plenty = answer(served, asking(CHAT, "vote(8)"))
    price = plenty["forecast"]["usd"]
    bound = 1e-9 if price is None else price / 2
    _, told = answer(served, asking(CHAT, "vote(8)", budget={"max_usd": bound}))
    assert (told["strategy"]["done"] == "vote(8)") == (price is None)


@pytest.mark.parametrize("budget", [{"deadline_ms": EASY_MS}, {"max_tokens": 10**6}, {}])
def test_an_ample_budget_changes_nothing(served: Served, budget: Body) -> None:
    body = asking(CHAT, "vote(4)", trace=True, seed=5)
    plain, bounded = answer(served, body), answer(served, {**body, "budget": budget})
    assert bounded[0] == plain[0]
    assert bounded[1]["trace"] == plain[1]["trace"]
    assert "promise" not in bounded[1], "a budget is none"


@pytest.mark.parametrize("strategy", ["direct", "vote(4)", "reflect(vote(4), rounds=2)"])
@everywhere
def test_the_best_so_far_comes_where_there_is_no_time(
    served: Served, path: str, strategy: str
) -> None:
    body = asking(path, strategy, 300, budget={"deadline_ms": 1})
    response = served.post(path, body)
    assert response.status_code == 200, "never refused for lack of time"
    told = told_of(response.json())
    assert isinstance(text_of(response.json()), str)
    assert told["strategy"]["fits"] is False, "no machine is that fast"
    assert told["strategy"]["whole"] is False or told["strategy"]["done"] != strategy


@pytest.mark.parametrize("deadline_ms", [1, 50, 300])
@pytest.mark.parametrize("strategy", ["vote(4)", "best_of(3, by=judge)", "reflect(rounds=2)"])
def test_what_was_cut_can_be_reached_again(served: Served, strategy: str, deadline_ms: int) -> None:
    """Wherever the time ended, which no test can know."""
    body = asking(CHAT, strategy, 200, ignore_eos=True, seed=11, trace=True)
    text, told = answer(served, {**body, "budget": {"deadline_ms": deadline_ms}})
    done, reach = told["strategy"]["done"], told["strategy"].get("reach")
    assert (reach is not None) == (told["strategy"]["whole"] is False)
    again = {**body, "strategy": done} | ({"reach": reach} if reach is not None else {})
    text_again, told_again = answer(served, again)
    assert text_again == text
    assert told_again["trace"] == told["trace"]


@everywhere
def test_what_is_reached_again_has_a_forecast_whatever_the_time(served: Served, path: str) -> None:
    body = asking(path, "vote(4)", 8, budget={"deadline_ms": 1}, reach="1:2,-,0,-")
    response = served.post(path, body)
    assert response.status_code == 200, response.text
    told = told_of(response.json())
    assert told["strategy"]["done"] == "vote(4)"
    assert told["strategy"]["reach"] == "1:2,-,0,-"
    assert told["forecast"]["total_ms"] > 0


def test_nothing_that_long_is_whole_within_a_millisecond(served: Served) -> None:
    body = asking(CHAT, "direct", 300, ignore_eos=True, budget={"deadline_ms": 1})
    text, told = answer(served, body)
    assert told["strategy"]["whole"] is False
    assert isinstance(told["strategy"]["reach"], str)
    assert told["actual"]["tokens"] < 300
    whole, _ = answer(served, asking(CHAT, "direct", 300, ignore_eos=True))
    assert whole.startswith(text)


# Beforehand


@pytest.mark.parametrize("strategy", ["vote(3)", "search(2, by=logprob)"])
def test_what_a_strategy_takes_is_told_without_running_it(served: Served, strategy: str) -> None:
    _, made = answer(served, asking(CHAT, strategy))
    counted = total(metrics(served), "foreknown:prompt_tokens_total")
    told = served.post(FORECAST, asking(CHAT, strategy)).json()
    assert total(metrics(served), "foreknown:prompt_tokens_total") == counted
    assert told["strategy"] == {"asked": strategy, "done": strategy, "fits": True}
    assert told["tokens"] == made["forecast"]["tokens"]
    assert told["max_tokens"] == FEW
    assert told["total_ms"] > 0
    assert told["promise"] is None


def test_what_a_budget_has_room_for_is_told_beforehand(served: Served) -> None:
    body = asking(CHAT, "vote(16)", budget={"max_tokens": 5 * FEW})
    told = served.post(FORECAST, body).json()
    assert told["strategy"]["done"] != "vote(16)"
    assert told["tokens"] <= 5 * FEW


@pytest.mark.parametrize("name", ["bundled:vote(2)", "self_consistency-bundled"])
def test_a_name_may_say_the_strategy_of_a_forecast(served: Served, name: str) -> None:
    told = served.post(FORECAST, asking(CHAT, None) | {"model": name}).json()
    assert told["model"] == "bundled"
    assert told["strategy"]["asked"].startswith("vote")


def test_whether_a_strategy_could_be_promised_is_told_beforehand(served: Served) -> None:
    before = metrics(served)
    easy, hard = (
        served.post(FORECAST, asking(CHAT, "vote(2)", 300, deadline_ms=ms)).json()["promise"]
        for ms in (EASY_MS, 0.5)
    )
    assert easy == {"possible": True, "never": False, "earliest": None, "retry_after_s": None}
    assert hard["possible"] is False
    assert hard["earliest"]["total_ms"] > 0.5
    after = metrics(served)
    for fate in ("made", "refused", "aborted", "kept", "broken"):
        name = f"foreknown:promises_{fate}_total"
        assert total(after, name) == total(before, name), "nothing is promised, or refused"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None, "prompt": "Hello"}, "prompt"),
        ({"messages": None, "prompt_tokens": 5}, "prompt_tokens"),
        ({"strategy": "think"}, "strategy"),
        ({"strategy": None, "verifier": "arithmetic"}, "verifier"),
        ({"n": 2}, "n"),
        ({"ttft_ms": 100}, "ttft_ms"),
    ],
    ids=str,
)
def test_a_strategy_s_forecast_is_refused_as_it_would_be(
    served: Served, change: Body, param: str
) -> None:
    response = served.post(FORECAST, asking(CHAT) | change)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


# Promises


@everywhere
@pytest.mark.parametrize("how", ["field", "header"])
def test_a_deadline_is_promised_for_all_of_it(served: Served, path: str, how: str) -> None:
    headers = {"x-slo-deadline-ms": str(EASY_MS)} if how == "header" else {}
    more = {"deadline_ms": EASY_MS} if how == "field" else {}
    response = served.post(path, asking(path, "reflect(vote(2))", **more), headers=headers)
    assert response.status_code == 200, response.text
    told = told_of(response.json())
    assert told["promise"]["total_ms"] == EASY_MS
    assert told["kept"] is True
    assert float(response.headers["x-foreknown-promise-total-ms"]) == EASY_MS


@everywhere
def test_what_no_machine_could_keep_is_refused_for_good(served: Served, path: str) -> None:
    response = served.post(path, asking(path, "vote(4)", 500, deadline_ms=0.01))
    assert_refused(response, 400, "deadline_ms", "impossible_objective")
    assert response.json()["foreknown"]["earliest"]["total_ms"] > 0.01
    assert "retry-after" not in response.headers


@everywhere
@pytest.mark.parametrize("field", ["ttft_ms", "tpot_ms"])
def test_only_the_end_can_be_promised(served: Served, path: str, field: str) -> None:
    response = served.post(path, asking(path, **{field: EASY_MS}))
    assert_refused(response, 400, field, word="deadline_ms")
    name = f"x-slo-{field.replace('_', '-')}"
    response = served.post(path, asking(path), headers={name: str(EASY_MS)})
    assert_refused(response, 400, name, word="deadline_ms")


def test_what_would_break_other_s_promises_is_refused_at_once(
    serve: Callable[..., Served],
) -> None:
    """Each next one is asked for with time for two of them, while the others run."""
    served = serve()
    body = asking(CHAT, "vote(16)", 800, ignore_eos=True, stream=True)
    deadline_ms, n_made, n_refused = 0.01, 0, 0
    with ExitStack() as open_ones, httpx.Client(base_url=served.url, timeout=60) as client:
        while True:
            asked = client.stream("POST", CHAT, json={**body, "deadline_ms": deadline_ms})
            response = open_ones.enter_context(asked)
            if response.status_code == 200:
                n_made += 1
                promised = float(response.headers["x-foreknown-promise-total-ms"])
                assert promised == pytest.approx(deadline_ms, abs=0.1)
                continue
            response.read()
            n_refused += 1
            assert_comes_later(response, deadline_ms)
            if n_made:
                break
            deadline_ms = 2 * response.json()["foreknown"]["earliest"]["total_ms"]
        message = assert_refused(response, 429, None, "cannot_promise")
        assert "earliest" in message
        assert int(response.headers["retry-after"]) >= 1
        assert n_made < 32, "there is not that much time"
    assert_idle(served)
    counted = metrics(served)
    assert total(counted, "foreknown:promises_made_total") == n_made
    assert total(counted, "foreknown:promises_refused_total") == n_refused


def test_where_nothing_is_promised_there_are_strategies_all_the_same(
    serve: Callable[..., Served],
) -> None:
    served = serve("--no-promises")
    for path in PATHS:
        response = served.post(path, asking(path, deadline_ms=EASY_MS))
        assert_refused(response, 400, "deadline_ms", "no_promises")
        bounded = asking(path, budget={"deadline_ms": EASY_MS})
        assert served.post(path, bounded).status_code == 200


def test_a_strategy_is_one_promise_in_the_books(served: Served) -> None:
    assert_idle(served)
    before = metrics(served)
    for path in PATHS:
        answer(served, asking(path, "reflect(vote(3), rounds=1)", deadline_ms=EASY_MS), path)
    answer(served, asking(CHAT, "vote(3)"))
    after = metrics(served)

    def grown(name: str) -> float:
        return total(after, f"foreknown:{name}_total") - total(before, f"foreknown:{name}_total")

    assert grown("promises_made") == grown("promises_kept") == len(PATHS)
    assert grown("promises_broken") == grown("promises_aborted") == 0
    assert grown("strategy_answers") == len(PATHS) + 1


# Among others

MANY_WORDED: Body = {"ignore_eos": True, "temperature": 1.5}
"""Drafts are as long as may be, and each is another."""


@pytest.mark.parametrize(
    "strategy",
    [
        "vote(3)",
        "best_of(2, by=judge)",
        "reflect(vote(2), rounds=1)",
        "search(2, by=verifier)",
        "verify_and_retry(2)",
    ],
)
def test_an_answer_is_the_same_alone_and_among_others(served: Served, strategy: str) -> None:
    more: Body = {"verifier": "arithmetic"} if "verif" in strategy else {}
    body = asking(CHAT, strategy, seed=21, trace=True, **MANY_WORDED, **more)
    text, told = answer(served, body)
    others = [
        asking(CHAT, None, WHOLE, seed=1, **MANY_WORDED),
        asking(CHAT, "reflect(vote(2), rounds=1)", seed=2),
        asking(CHAT, None, n=4, deadline_ms=EASY_MS, **MANY_WORDED),
        asking(CHAT, "vote(4)", seed=3, deadline_ms=EASY_MS, **MANY_WORDED),
    ]
    with ThreadPoolExecutor(8) as pool:
        around = [pool.submit(served.post, CHAT, other) for other in others]
        same = [pool.submit(answer, served, body) for _ in range(2)]
        promised = pool.submit(answer, served, {**body, "deadline_ms": EASY_MS})
        streamed = pool.submit(served.events, CHAT, {**body, "stream": True})
    for one in (*same, promised):
        assert one.result()[0] == text
        assert one.result()[1]["trace"] == told["trace"]
    assert "".join(deltas_of(streamed.result())) == text
    assert told_in(streamed.result())[-1]["trace"] == told["trace"]
    kept = [told_of(one.result().json())["kept"] for one in (around[2], around[3])]
    assert kept == [True, True]


def test_another_seed_draws_other_drafts(served: Served) -> None:
    def drafts(seed: int) -> list[str]:
        body = asking(CHAT, "vote(4)", WHOLE, seed=seed, trace=True, **MANY_WORDED)
        return [draft["text"] for draft in drafts_in(answer(served, body)[1]["trace"])]

    first, second = drafts(1), drafts(2)
    assert len(set(first)) > 1, "drafts differ"
    assert first != second


ENDLESS: Body = {"ignore_eos": True, "temperature": 1, "deadline_ms": EASY_MS}
"""Sixteen drafts and eight rounds of revision, all of them as long as may be."""
UNENDING = "reflect(vote(16), rounds=8)"


def test_a_client_that_leaves_leaves_nothing_behind(served: Served) -> None:
    assert_idle(served)
    before = metrics(served)
    body = asking(CHAT, UNENDING, 300, **ENDLESS)
    with httpx.stream("POST", served.url + CHAT, json={**body, "stream": True}) as response:
        assert response.status_code == 200
        next(response.iter_lines())
    assert_idle(served)
    leaving = httpx.Client(base_url=served.url, timeout=httpx.Timeout(60, read=0.1))
    with pytest.raises(httpx.ReadTimeout), leaving:
        leaving.post(CHAT, json=body)
    assert_idle(served)
    after = metrics(served)

    def grown(name: str) -> float:
        return total(after, f"foreknown:{name}_total") - total(before, f"foreknown:{name}_total")

    assert grown("promises_aborted") == grown("promises_made") >= 1
    assert grown("promises_broken") == grown("promises_kept") == 0
    assert grown("strategy_answers") == 0


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_so_it_is_in_other_interfaces(served: Served, path: str) -> None:
    body = asking(path, UNENDING, 300, stream=True, deadline_ms=EASY_MS)
    with httpx.stream("POST", served.url + path, json=body) as response:
        assert response.status_code == 200
        next(response.iter_lines())
    assert_idle(served)


def test_many_leave_at_once(served: Served) -> None:
    body = asking(CHAT, UNENDING, 300, ignore_eos=True, stream=True)
    everybody = threading.Barrier(6)

    def leave(seed: int) -> None:
        with httpx.stream("POST", served.url + CHAT, json={**body, "seed": seed}) as response:
            next(response.iter_lines())
            everybody.wait(60)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(leave, range(6)))
    assert_idle(served)
    assert answer(served, asking(CHAT))[1]["strategy"]["whole"] is True


# Stopping


def stopped_midway(served: Served, body: Body) -> httpx.Response:
    """What a request is answered whose server is told to stop meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(served.post, CHAT, body)
        while not served.engine()["running"]:
            assert not coming.done()
        served.process.send_signal(signal.SIGTERM)
        return coming.result()


def test_a_strategy_underway_may_finish(serve: Callable[..., Served]) -> None:
    """Its later rounds are no new requests."""
    served = serve("--shutdown-seconds", "600")
    response = stopped_midway(served, asking(CHAT, "reflect(vote(4), rounds=1)", WHOLE))
    assert response.status_code == 200, response.text
    assert told_of(response.json())["strategy"]["whole"] is True
    assert served.process.wait(60) == 0


def test_at_the_end_of_that_time_it_is_cut_off(serve: Callable[..., Served]) -> None:
    served = serve("--shutdown-seconds", "1")
    body = asking(CHAT, UNENDING, 300, ignore_eos=True)
    assert_refused(stopped_midway(served, body), 503)
    assert served.process.wait(60) is not None
