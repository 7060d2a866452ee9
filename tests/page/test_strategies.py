"""Strategies on the page: asked for, gone along with, and drawn when they are done."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.page.opened import (
    CONTRASTS,
    RECORD,
    SIDEWAYS,
    USAGE,
    Open,
    Opened,
    chunk,
    figures,
    forecasts,
    streamed,
    told,
)

if TYPE_CHECKING:
    from playwright.sync_api import Locator

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

QUESTION = "Tom has 13 apples and buys 4 bags with 7 apples each. How many has he?"
WCAG_AA = 4.5
OF_REPLY = ("text", "usd", "whole", "reach", "asked")
FIRST_LINES = "all => all.map(item => item.querySelector('.line').textContent)"
CHAT = "/v1/chat/completions"


UNFOLD = """async (trace) => {
    trace.open = true;
    for (;;) {
        await new Promise(requestAnimationFrame);
        const closed = trace.querySelectorAll("details:not([open])");
        for (const each of closed) each.open = true;
        // What is opened is made somewhat later.
        const empty = [trace, ...trace.querySelectorAll("details")].some(
            (each) => !each.querySelector(":scope > div > *"));
        if (closed.length === 0 && !empty) return;
    }
}"""


def by(opened: Opened, strategy: str, question: str = QUESTION, **more: str) -> Locator:
    """A real answer by a strategy."""
    opened.parameter("Strategy").fill(strategy)
    opened.parameter("Temperature").fill("1.2")
    for label, value in more.items():
        opened.parameter(label.replace("_", " ")).fill(value)
    return opened.ask(question)


def unfolded(answer: Locator) -> Locator:
    """How it came about, with all that is folded in it opened."""
    trace = answer.locator(".trace")
    expect(trace).to_be_visible()
    trace.evaluate(UNFOLD)
    return trace


def last_words(events: str) -> dict[str, Any]:
    """What the server said at the end of a stream."""
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: {")]
    found: dict[str, Any] = data[-1]["foreknown"]
    return found


PLAN: dict[str, Any] = {
    "strategy": {"asked": "vote(8)", "done": "vote(8)", "fits": True},
    "forecast": {"total_ms": 1200.0, "tokens": 768, "joules": 5.4, "usd": 0.0000152},
}


def rounds(usd: float | None) -> list[dict[str, Any]]:
    took: dict[str, Any] = {"total_ms": 600.0, "tokens": 72, "joules": 2.75, "usd": usd}
    parts = ["judge", "pick", "judge"]
    return [
        {"parts": ["answers"], **took},
        {"parts": parts, **took, "total_ms": 300.0, "joules": 0.0234},
    ]


def reply(
    trace: dict[str, Any], text: str = "The answer.", usd: float | None = None, **strategy: Any
) -> Any:
    """A route that answers by a strategy with this trace."""
    done = {"rounds": 1, "cached_tokens": 0, "whole": True, "reach": None}
    end = {
        **PLAN,
        "strategy": {**PLAN["strategy"], **done, **strategy},
        "actual": {"total_ms": 900.0, "tokens": 120, "joules": 4.1, "usd": usd},
        "trace": trace,
        "timeline": rounds(usd),
    }
    content = [chunk(content=text)] if text else []
    ending = chunk("stop" if text else "length")
    return streamed(told(**PLAN), *content, ending, {**USAGE, "foreknown": end}, "[DONE]")


def shown(open_page: Open, trace: dict[str, Any], **options: Any) -> Locator:
    """How a made-up answer came about, unfolded."""
    more = {key: options.pop(key) for key in OF_REPLY if key in options}
    opened = open_page(routes={CHAT: reply(trace, **more)}, **options)
    strategy = opened.page.get_by_label("Strategy")
    panel = opened.page.get_by_role("button", name="Engine and parameters")
    is_covered = not strategy.is_visible()
    if is_covered:
        panel.click()
    strategy.fill("vote(8)")
    if is_covered:
        panel.click()
    return unfolded(opened.ask("?"))


def draft(text: str, finish: str = "stop", tokens: int = 9) -> dict[str, Any]:
    return {"text": text, "tokens": tokens, "logprob": -0.25, "finish_reason": finish}


def answered(text: str, finish: str = "stop") -> dict[str, Any]:
    return {"name": "answer", "drafts": [draft(text, finish)]}


# Against the real server


def test_a_vote_says_its_plan_and_shows_votes_and_drafts(open_page: Open) -> None:
    opened = open_page()
    opened.page.evaluate(RECORD, "#turns")
    with opened.page.expect_event("requestfinished", lambda r: r.url.endswith(CHAT)) as asked:
        answer = by(opened, "vote(5)")
    body = opened.bodies()[-1]
    assert (body["strategy"], body["trace"]) == ("vote(5)", True)
    assert not body.keys() & {"verifier", "budget"}
    recorded = " ".join(opened.page.evaluate("recorded"))
    assert re.search(r"vote\(5\), at most [\d,]+ tokens, [\d.]+ m?s", recorded)
    expect(answer.get_by_role("progressbar")).to_be_hidden()

    said = last_words(asked.value.response().text())
    trace = unfolded(answer)
    assert f"{said['actual']['tokens']:,} tokens in 1 round" in trace.inner_text()
    votes = said["trace"]["votes"]
    rows = trace.locator(".votes > li")
    expect(rows).to_have_count(len(votes))
    for place, one in enumerate(votes):
        row = rows.nth(place)
        expect(row).to_contain_text(one["answer"] or "No answer could be read")
        expect(row).to_contain_text(re.compile(rf"\b{one['votes']} votes?$"))
    chosen = trace.locator(".drafts > li").filter(has_text="chosen")
    expect(chosen).to_have_count(1)
    text = said["trace"]["parts"][said["trace"]["chosen"]]["drafts"][0]["text"]
    assert chosen.locator(".written").inner_text().strip() == text.strip()
    places = re.findall(r"\d+", " ".join(trace.locator(".which").all_inner_texts()))
    assert {"1", "5"} <= set(places)


def test_figures_of_a_strategy_stand_beside_their_forecast(open_page: Open) -> None:
    opened = open_page()
    opened.parameter("Deadline, ms").fill("60000")
    answer = by(opened, "vote(3)", Tokens_at_most="20")
    actual, foretold = figures(answer), forecasts(answer)
    assert {"whole", "tokens", "joules"} <= actual.keys()
    assert not actual.keys() & {"rate", "first"}, "what comes whole has no pace"
    assert actual["promise"] == "kept"
    assert foretold["tokens"] == "forecast ≤ 60"
    assert foretold["whole"].startswith("forecast ≤ ")
    expect(opened.page.locator("#context")).to_be_hidden()


def test_a_reflection_shows_what_changed(open_page: Open) -> None:
    opened = open_page()
    with opened.page.expect_event("requestfinished", lambda r: r.url.endswith(CHAT)) as asked:
        answer = by(opened, "reflect(vote(2), rounds=1)")
    first, round_ = last_words(asked.value.response().text())["trace"]["parts"]
    trace = unfolded(answer)
    before, after = trace.locator(".revision .written").all_inner_texts()
    assert before.strip() == first["parts"][first["chosen"]]["drafts"][0]["text"].strip()
    assert after.strip() == round_["drafts"][-1]["text"].strip()
    expect(trace.get_by_text("vote(2)", exact=True)).to_be_visible()
    rounds = trace.get_by_role("table").get_by_role("row").all_inner_texts()[1:]
    assert [row.split()[1] for row in rounds] == ["answers", "ideas", "pick", "revise"]
    headings = [text.strip() for text in trace.get_by_role("heading").all_inner_texts()]
    wanted = ["First answer", "Votes", "Round 1", "Ideas", "Pick", "Before", "After"]
    assert [one for one in headings if one in wanted] == wanted


def test_a_search_shows_its_tree_and_the_way_to_the_answer(open_page: Open) -> None:
    opened = open_page()
    with opened.page.expect_event("requestfinished", lambda r: r.url.endswith(CHAT)) as asked:
        answer = by(opened, "search(4, by=logprob)")
    record = last_words(asked.value.response().text())["trace"]
    trace = unfolded(answer)

    def lines(node: dict[str, Any]) -> list[str]:
        below = [line for child in node.get("children", ()) for line in lines(child)]
        return [node["line"], *below]

    drawn = trace.locator(".tree .line").all_inner_texts()
    assert len(drawn) == len(lines(record["tree"]))
    way = trace.locator(".tree li[data-chosen]").evaluate_all(FIRST_LINES)
    assert way == record["drafts"][0]["text"].split("\n")[: len(way)]
    assert way or len(drawn) == 1
    expect(trace.get_by_text(f"in {record['tree']['visits']} drafts").first).to_be_visible()


def test_beams_are_shown_line_by_line(open_page: Open) -> None:
    opened = open_page()
    with opened.page.expect_event("requestfinished", lambda r: r.url.endswith(CHAT)) as asked:
        answer = by(opened, "beam(2, over=steps)", "What is 17 + 25?")
    record = last_words(asked.value.response().text())["trace"]
    trace = unfolded(answer)
    expect(trace.locator(".beams > li")).to_have_count(len(record["steps"]))
    expect(trace.locator(".beams .line")).to_have_count(sum(map(len, record["steps"])))


def test_a_verifier_and_a_time_belong_to_a_strategy(open_page: Open) -> None:
    opened = open_page()
    verifier = opened.page.get_by_label("Verifier")
    limit = opened.page.get_by_label("Time at most, ms")
    strategy = opened.page.get_by_role("combobox", name="Strategy")
    expect(verifier).to_be_hidden()
    strategy.fill("best_of(2, by=verifier)")
    verifier.fill("arithmetic")
    limit.fill("60000")
    opened.ask("What is 17 + 25?")
    body = opened.bodies()[-1]
    assert (body["verifier"], body["budget"]) == ("arithmetic", {"deadline_ms": 60000})
    strategy.fill("none")
    expect(limit).to_be_hidden()
    opened.ask("And 3 more?")
    assert not opened.bodies()[-1].keys() & {"strategy", "verifier", "budget", "trace"}
    offered = opened.page.locator("#parameter-strategy-choices option")
    assert len(offered.all()) > 5


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("Strategy", "vote(", "cannot be read"),
        ("Strategy", "search(8)", "needs a verifier"),
        ("Verifier", "code:tests.py", "may not name"),
        ("Time at most, ms", "-5", "greater than 0"),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said_at_its_field(
    open_page: Open, label: str, value: str, said: str
) -> None:
    opened = open_page(allowed="status of 400")
    opened.parameter("Strategy").fill("vote(2)")
    field = opened.parameter(label)
    field.fill(value)
    opened.message.fill("Hello")
    opened.message.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile(said))
    expect(opened.message).to_have_value("Hello")
    expect(opened.page.get_by_role("article")).to_have_count(0)


def test_a_time_that_is_too_short_is_said_and_does_not_break(open_page: Open) -> None:
    opened = open_page()
    answer = by(opened, "vote(8)", **{"Time_at_most,_ms": "1"})
    expect(answer.get_by_text("The time was over")).to_be_visible()
    expect(unfolded(answer)).to_contain_text("Not even that fitted")
    expect(opened.page.get_by_role("status")).to_have_text(re.compile("its time was over"))


def test_a_strategy_can_be_stopped(open_page: Open) -> None:
    opened = open_page(routes={CHAT: lambda route: None})
    opened.parameter("Strategy").fill("vote(8)")
    opened.message.fill("Wait")
    opened.message.press("Enter")
    opened.page.get_by_role("button", name="Stop").click()
    expect(opened.message).to_have_value("Wait")


def test_a_model_without_turns_is_asked_for_no_strategy(open_page: Open) -> None:
    plain = {"object": "list", "data": [{"id": "bundled", "chat": False, "context_length": 64}]}
    opened = open_page(routes={"/v1/models": lambda route: route.fulfill(json=plain)})
    expect(opened.page.get_by_label("Strategy")).to_be_hidden()
    opened.parameter("Tokens at most").fill("3")
    opened.ask("Once upon")
    assert not opened.bodies("/v1/completions")[-1].keys() & {"strategy", "trace"}


# With traces that are made up


TREE = {
    "line": "", "visits": 12, "mean": 0.5, "children": [
        {"line": "Wrong", "visits": 7, "mean": 0.25, "children": [
            {"line": "Left", "visits": 3, "mean": 0.125}]},
        {"line": "First", "visits": 5, "mean": 0.75, "children": [
            {"line": "Worse", "visits": 1, "mean": 0.0},
            {"line": "Second", "visits": 2, "mean": 1.0}]}]}  # fmt: skip


def test_the_way_through_a_tree_is_open_and_all_else_opens_by_keys(open_page: Open) -> None:
    best = draft("First\nSecond\nThird")
    trace = {"name": "search(8)", "drafts": [best], "rounds": 3, "score": 1.0, "tree": TREE}
    opened = open_page(routes={CHAT: reply(trace)})
    opened.parameter("Strategy").fill("search(8)")
    answer = opened.ask("?")
    summary = answer.get_by_text("How it came about")
    expect(answer.locator(".tree")).to_have_count(0)
    for _ in range(3):  # from the message back over the actions
        opened.page.keyboard.press("Shift+Tab")
        if summary.evaluate("node => node === document.activeElement"):
            break
    expect(summary).to_be_focused()
    opened.page.keyboard.press("Enter")
    tree = answer.locator(".tree")
    expect(tree).to_be_visible()  # it is drawn once it is wanted
    assert tree.locator(".line").all_inner_texts() == [
        "The question", "First", "Second", "Worse", "Wrong",
    ]  # fmt: skip
    way = tree.locator("li[data-chosen]").evaluate_all(FIRST_LINES)
    assert way == ["First", "Second"]
    expect(tree.get_by_text("on the way to the answer")).to_have_count(2)
    expect(tree).to_contain_text("0.75 in 5 drafts")
    folded = tree.locator("summary").filter(has_text="Wrong")
    folded.focus()
    opened.page.keyboard.press("Enter")
    expect(tree.get_by_text("Left")).to_be_visible()


def test_a_revision_marks_what_went_and_what_came(open_page: Open) -> None:
    round_ = [draft("Say it shorter."), draft("Shorter."), draft("There are 41 apples.")]
    trace = shown(
        open_page,
        {
            "name": "reflect(rounds=2)",
            "stopped": "nothing changed",
            "parts": [
                answered("There are then 40 apples."),
                {"name": "round", "drafts": round_},
                {"name": "round", "drafts": [draft("Nothing.")]},
            ],
        },
    )
    assert trace.locator("del").all_inner_texts() == ["then 40"]
    assert trace.locator("ins").all_inner_texts() == ["41"]
    style = "node => getComputedStyle(node).textDecorationLine"
    assert trace.locator("del").evaluate(style) == "line-through"
    assert trace.locator("ins").evaluate(style) == "underline"
    expect(trace.get_by_text("2 words removed, 1 added.")).to_be_visible()
    expect(trace.get_by_text("No revision: the answer stayed as it was.")).to_be_visible()
    expect(trace.get_by_text("Ended when nothing changed any more.")).to_be_visible()
    expect(trace.locator(".revision")).to_have_count(1)


@pytest.mark.parametrize(
    ("stopped", "drafts"),
    [
        ("cut short", [draft("", "cancelled", 0)]),
        ("cut short", [draft("Shorter."), draft("Sho", "cancelled")]),
        ("nothing was written", [draft("a"), draft("b"), draft(" ")]),
    ],
)
def test_a_round_that_came_to_nothing_changes_nothing(
    open_page: Open, stopped: str, drafts: list[Any]
) -> None:
    parts = [answered("As it was."), {"name": "round", "drafts": drafts}]
    trace = shown(open_page, {"name": "reflect(rounds=2)", "stopped": stopped, "parts": parts})
    expect(trace.locator(".revision")).to_have_count(0)
    expect(trace.get_by_text("As it was.", exact=True)).to_be_visible()
    expect(trace.get_by_text("No revision")).to_be_visible()


def test_votes_weigh_what_they_weigh(open_page: Open) -> None:
    votes = [
        {"answer": "<b>7</b>", "votes": 1, "weight": 0.75},
        {"answer": "8", "votes": 2, "weight": 0.25},
        {"answer": None, "votes": 1, "weight": 0.0},
    ]
    parts = [answered("7"), answered("8"), answered("8", "length"), answered("", "cancelled")]
    trace = shown(open_page, {"name": "vote(4)", "votes": votes, "chosen": 0, "parts": parts})
    widths = trace.locator(".votes .share").evaluate_all("all => all.map(s => s.style.width)")
    assert widths == ["75%", "25%", "0%"]
    assert trace.locator(".votes > li").all_inner_texts()[0].split() == [
        "<b>7</b>", "1", "vote,", "weight", "0.75",
    ]  # fmt: skip
    expect(trace.get_by_text("cut at its limit of tokens")).to_be_visible()
    expect(trace.get_by_text("its time was over")).to_be_visible()


def test_of_tries_the_first_best_is_chosen_and_scores_are_shown(open_page: Open) -> None:
    parts = [answered("a"), answered("b"), answered("c")]
    scores = [0.5, 1.0, 1.0]
    trace = shown(
        open_page, {"name": "verify_and_retry(tries=4)", "scores": scores, "parts": parts}
    )
    cards = trace.locator(".drafts > li")
    assert [re.findall(r"score [\d.]+", text) for text in cards.all_inner_texts()] == [
        ["score 0.5"], ["score 1"], ["score 1"],
    ]  # fmt: skip
    assert cards.filter(has_text="chosen").locator(".written").all_inner_texts() == ["b"]


def test_strategies_in_strategies_unfold(open_page: Open) -> None:
    inner = {
        "name": "vote(2)",
        "votes": [{"answer": "1", "votes": 2, "weight": 2.0}],
        "chosen": 1,
        "parts": [answered("x 1"), answered("y 1")],
    }
    judged = {"name": "best_of(2)", "by": "judge", "scores": [0.5, -1.0], "chosen": 0}
    trace = shown(open_page, {**judged, "parts": [inner, {**inner, "name": "vote(9)"}]})
    first, second = trace.locator(".part > summary").all_inner_texts()
    assert re.sub(r"\s+", " ", first) == "1. vote(2) chosen 18 tokens · grade 0.5"
    assert "chosen" not in second
    assert "not graded" in second
    for word in ("x 1", "y 1"):
        expect(trace.get_by_text(word)).to_have_count(2)


def test_long_traces_are_folded_and_nothing_of_them_is_lost(open_page: Open) -> None:
    texts = [f"Draft that says {number}." for number in range(100)]
    votes = [{"answer": str(n), "votes": 1, "weight": 1.0} for n in range(100)]
    parts = [answered(text) for text in texts]
    trace = {"name": "vote(100)", "votes": votes, "chosen": 70, "parts": parts}
    opened = open_page(routes={CHAT: reply(trace)})
    opened.parameter("Strategy").fill("vote(100)")
    answer = opened.ask("?")
    nodes = "node => node.querySelectorAll('*').length"
    assert answer.locator(".trace").evaluate(nodes) < 10, "what nobody opened is not made"
    answer.get_by_text("How it came about").click()
    assert answer.locator(".drafts > li").count() <= 8
    assert answer.locator(".votes > li").count() <= 10
    unfolded(answer)
    assert answer.locator(".drafts .written").all_inner_texts() == texts
    assert answer.locator(".votes .choice").all_inner_texts() == [str(n) for n in range(100)]
    assert answer.locator("[data-chosen] .written").all_inner_texts() == [texts[70]]


@pytest.mark.parametrize("trace", [
    {"name": "answer", "drafts": [draft("One.")]},
    {"name": "standby", "chosen": "the last whole draft: there was no time to choose"},
    {"name": "vote(1)", "votes": [{"answer": None, "votes": 1, "weight": 1.0}], "chosen": 0,
     "parts": [answered("", "cancelled")]},
    {"name": "of tomorrow", "surprise": [1], "parts": [{"name": "?"}, {"name": "!"}]},
])  # fmt: skip
def test_the_smallest_and_the_strangest_traces_are_drawn(
    open_page: Open, trace: dict[str, Any]
) -> None:
    drawn = shown(open_page, trace, text="", whole=False, reach="3:0,-", asked="vote(64)")
    expect(drawn).to_contain_text("Asked for was vote(64)")
    expect(drawn).to_contain_text("The time was over in round 3.")
    expect(drawn.locator("xpath=..")).to_contain_text("this is what there was by then")


@pytest.mark.parametrize(("usd", "cost"), [(None, []), (0.00000134, ["$0.0000013"])])
def test_each_round_stands_there_with_what_it_took(
    open_page: Open, usd: float | None, cost: list[str]
) -> None:
    trace = shown(open_page, {"name": "vote(1)", "parts": [answered("a")]}, usd=usd)
    table = trace.get_by_role("table")
    expect(table.get_by_role("columnheader", name="Cost")).to_have_count(len(cost))
    rows = [row.split() for row in table.get_by_role("row").all_inner_texts()]
    times = "\N{MULTIPLICATION SIGN}"
    assert rows[1:] == [
        ["1", "answers", "600", "ms", "72", "2.8", *cost],
        ["2", "2", times, "judge,", "pick", "300", "ms", "72", "0.023", *cost],
    ]
    widths = table.locator(".share").evaluate_all("all => all.map(s => s.style.width)")
    assert widths == ["100%", "50%"]


def test_the_plan_and_the_end_are_said_to_who_listens(open_page: Open) -> None:
    trace = {"name": "vote(2)", "parts": [answered("a"), answered("b")]}
    opened = open_page(routes={CHAT: reply(trace)})
    opened.page.evaluate(RECORD, "#announcer")
    opened.parameter("Strategy").fill("vote(8)")
    opened.ask("?")
    assert opened.page.evaluate("recorded") == [
        "vote(8), at most 768 tokens, 1.2 s",
        "Answer finished: 7 tokens",
    ]


EVERYTHING: dict[str, Any] = {
    "name": "best_of(2)", "by": "verifier", "scores": [0.5, 0.25], "chosen": 0,
    "parts": [
        {"name": "reflect(rounds=1)", "stopped": "rounds", "parts": [
            {"name": "vote(2)", "votes": [{"answer": "unbroken" * 20, "votes": 2, "weight": 1.5}],
             "chosen": 0, "parts": [answered("unbroken" * 30), answered("word " * 300)]},
            {"name": "round", "drafts": [draft("idea"), draft("pick"), draft("word " * 200)]}]},
        {"name": "search(8)", "drafts": [draft("First\nSecond")], "rounds": 2, "score": 0.5,
         "tree": TREE}]}  # fmt: skip


def deep_tree(depth: int) -> dict[str, Any]:
    node = {"line": "line " * 8, "visits": 1, "mean": 0.5}
    for _ in range(depth):
        node = {"line": "line " * 8, "visits": 1, "mean": 0.5, "children": [node]}
    return {**node, "line": ""}


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_traces_fit_on_every_screen(open_page: Open, width: int) -> None:
    deep = {"name": "search(8)", "drafts": [draft("x")], "rounds": 1, "score": 0.5}
    steps = [[{"line": "unbroken" * 20, "tokens": 9, "score": -0.5, "finish_reason": None}]]
    everything = {**EVERYTHING, "scores": [0.5, 0.25, 0.0, 0.0]}
    everything["parts"] = [
        *EVERYTHING["parts"],
        {**deep, "tree": deep_tree(30)},
        {"name": "beam(1)", "drafts": [draft("y")], "scores": [-0.5], "steps": steps},
    ]
    viewport = {"width": width, "height": 700}
    trace = shown(open_page, everything, usd=0.00000013, viewport=viewport)
    page = trace.page
    assert page.evaluate(SIDEWAYS) == []
    wide = """() => [...document.querySelectorAll(".trace *")].filter(node => {
        const {left, right, width} = node.getBoundingClientRect();
        const unseen = node.closest(".unseen");
        return !unseen && width > 0 && (left < 0 || right > innerWidth + 1);
    }).map(node => node.className || node.tagName)"""
    assert page.evaluate(wide) == []
    page.evaluate("document.querySelector('#conversation').scrollTop = 1e6")
    figures_end = page.locator(".figures").evaluate("node => node.getBoundingClientRect().bottom")
    assert figures_end <= trace.evaluate("node => node.getBoundingClientRect().top"), "they overlap"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_traces_can_be_read_in_light_and_dark(open_page: Open, scheme: str) -> None:
    page = shown(open_page, EVERYTHING, color_scheme=scheme).page
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 60
    assert [found for found in contrasts if found[1] < WCAG_AA] == []


def test_the_clock_goes_against_the_forecast_while_it_runs(open_page: Open) -> None:
    # A stream that begins and goes on only when the test says so.
    slow = """() => {
        const real = window.fetch;
        window.fetch = (path, options) => {
            if (!String(path).includes("chat/completions")) return real(path, options);
            const body = new ReadableStream({start: (it) => { window.stream = it; }});
            window.begin();
            return Promise.resolve(new Response(body));
        };
        window.begun = new Promise((resolve) => { window.begin = resolve; });
        window.send = (event) => window.stream.enqueue(
            new TextEncoder().encode(`data: ${event}\\n\\n`));
    }"""
    opened = open_page()
    page = opened.page
    page.evaluate(slow)
    opened.parameter("Strategy").fill("vote(8)")
    opened.message.fill("?")
    opened.message.press("Enter")
    page.evaluate("begun")
    page.evaluate("send", json.dumps(told(**PLAN)))
    bar = page.get_by_role("progressbar", name="Time gone, of the forecast")
    expect(bar).to_be_visible()
    expect(page.get_by_text("vote(8), at most 768 tokens, 1.2 s").first).to_be_visible()
    assert float(bar.get_attribute("max") or 0) == 1200
    expect(bar).not_to_have_js_property("value", 0)
    expect(bar).to_have_js_property("value", 1200)
    for event in (chunk(content="Done."), chunk("stop"), USAGE):
        page.evaluate("send", json.dumps(event))
    expect(bar).to_be_hidden()
    page.evaluate("send", "[DONE]")
    page.evaluate("stream.close()")
    opened.finished()


# The words of two texts

WORDS = st.lists(st.sampled_from("a b c d. 17 + =".split()), max_size=12)
SPACES = st.sampled_from([" ", "\n", "  "])
TEXTS = st.builds(lambda words, space: space.join(words), WORDS, SPACES)


def longest_common(old: list[str], young: list[str]) -> int:
    row = [0] * (len(young) + 1)
    for word in old:
        last, row = row, [0]
        for at, other in enumerate(young):
            row.append(last[at] + 1 if word == other else max(last[at + 1], row[at]))
    return row[-1]


def test_a_difference_is_made_of_both_texts_and_keeps_all_it_can(open_page: Open) -> None:
    page = open_page().page
    page.evaluate("async () => { window.diff = await import('/page/word_diff.js'); }")

    @settings(
        max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(TEXTS | st.text(max_size=30), TEXTS | st.text(max_size=30))
    def check(before: str, after: str) -> None:
        found = page.evaluate("([a, b]) => diff.wordDiff(a, b)", [before, after])
        sides = {"before": before, "after": after}
        kept = {}
        for side, text in sides.items():
            runs = found[side]
            assert "".join(run["text"] for run in runs) == text
            kept[side] = "".join("".join(run["text"].split()) for run in runs if run["same"])
        assert kept["before"] == kept["after"]
        if re.fullmatch(r"[abcd.17+=\s]*", before + after):
            words = [re.findall(r"[a-d]+|\d+|\S", text) for text in sides.values()]
            common = longest_common(*words)
            assert found["removed"] == len(words[0]) - common
            assert found["added"] == len(words[1]) - common

    check()


def test_texts_too_long_to_compare_differ_between_what_they_share(open_page: Open) -> None:
    page = open_page().page
    same, old, young = "begin " * 3, "one " * 3000, "two " * 3000
    found = page.evaluate(
        """async ([a, b]) => (await import("/page/word_diff.js")).wordDiff(a, b)""",
        [same + old + "end", same + young + "end"],
    )
    assert (found["removed"], found["added"]) == (3000, 3000)
    assert [run["same"] for run in found["before"]] == [True, False, True]
