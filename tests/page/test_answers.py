"""Answers on the page: streamed, stopped, told apart, carried on."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import urlsplit

import pytest

from tests.page.opened import RECORD, USAGE, Open, chunk, figures, letters, streamed
from tests.serving import Served

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect


def test_an_answer_streams_in_and_shows_its_figures(open_page: Open) -> None:
    opened = open_page()
    lengths: set[int] = set()
    for _ in range(5):  # a browser without a processor draws several pieces at once
        opened.page.evaluate(RECORD, "#turns")
        with opened.page.expect_event(
            "requestfinished", lambda r: urlsplit(r.url).path == "/v1/chat/completions"
        ) as asked:
            answer = opened.ask("Tell me a story about the sea.")
        lengths = {len(text) for text in opened.page.evaluate("recorded")}
        if len(lengths) > 3:
            break
    assert len(lengths) > 3, "it came all at once"
    events = [
        json.loads(line[6:])
        for line in asked.value.response().text().splitlines()
        if line.startswith("data: {")
    ]
    usage = next(event["usage"] for event in reversed(events) if event.get("usage"))
    shown = figures(answer)
    assert shown["tokens"] == f"{usage['completion_tokens']:,}"
    assert float(shown["rate"].replace(",", "")) > 0
    assert re.fullmatch(r"[\d.]+ (ms|s)", shown["first"])
    context = opened.page.get_by_text(re.compile("tokens of context")).last
    expect(context).to_contain_text(f"{usage['total_tokens']:,} of ")
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert letters(answer.locator(".rich").inner_text()) == letters(text)


ESCAPE_AT_THE_FIRST_TEXT = """() => {
    const turns = document.querySelector("#turns");
    const observer = new MutationObserver(() => {
        if (!turns.querySelector(".answer .rich")?.textContent.trim()) return;
        observer.disconnect();
        const key = {key: "Escape", bubbles: true};
        document.activeElement.dispatchEvent(new KeyboardEvent("keydown", key));
    });
    observer.observe(turns, {childList: true, subtree: true, characterData: true});
}"""
"""The bundled model is quick, so the page itself presses Esc."""


def test_stop_really_stops_and_what_came_stays(open_page: Open, served: Served) -> None:
    opened = open_page()
    opened.parameter("Temperature").fill("2")
    opened.parameter("Tokens at most").fill("900")
    for _ in range(8):  # an answer of few tokens may be whole before it is stopped
        opened.page.get_by_role("button", name="New conversation").click()
        opened.page.evaluate(ESCAPE_AT_THE_FIRST_TEXT)
        answer = opened.ask("Count as far as you can.")
        if answer.get_by_text("Stopped", exact=True).count():
            break
    expect(answer.get_by_text("Stopped", exact=True)).to_be_visible()
    assert figures(answer)["tokens"].startswith("≥ ")
    expect(opened.page.get_by_role("status")).to_have_text(re.compile("^Answer stopped"))
    deadline = time.monotonic() + 5
    while served.engine()["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert served.engine()["running"] == 0
    expect(opened.page.locator("#engine .running dd")).to_have_text("0")
    text = letters(answer.locator(".rich").inner_text())
    opened.ask("Go on.")
    first, second, third = opened.bodies()[-1]["messages"]
    assert (first["role"], second["role"], third["content"]) == ("user", "assistant", "Go on.")
    assert letters(second["content"]) == text


def test_a_stop_before_anything_came_gives_the_message_back(open_page: Open) -> None:
    opened = open_page(routes={"/v1/chat/completions": lambda route: None})
    opened.message.fill("Wait for me")
    opened.message.press("Enter")
    opened.page.get_by_role("button", name="Stop").click()
    expect(opened.page.get_by_role("button", name="Send")).to_be_visible()
    expect(opened.message).to_have_value("Wait for me")
    expect(opened.page.get_by_role("article")).to_have_count(0)


def test_the_next_question_carries_what_was_said_and_a_new_conversation_forgets_it(
    open_page: Open,
) -> None:
    opened = open_page()
    opened.parameter("System prompt").fill("Be brief.")
    opened.parameter("Tokens at most").fill("8")
    opened.parameter("Seed").fill("7")
    opened.ask("One")
    opened.ask("Two")
    sent = opened.bodies()[-1]
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert (sent["max_completion_tokens"], sent["seed"]) == (8, 7)
    assert "temperature" not in sent, "what is left empty is not sent"
    expect(opened.answers).to_have_count(2)
    opened.answers.last.get_by_role("button", name="Answer again").click()
    opened.finished()
    expect(opened.answers).to_have_count(2)
    assert opened.bodies()[-1] == sent
    again = opened.page.get_by_role("button", name="Answer again")
    expect(again.filter(visible=True)).to_have_count(1)
    opened.page.get_by_role("button", name="New conversation").click()
    expect(opened.page.get_by_role("article")).to_have_count(0)
    opened.ask("Three")
    assert [m["content"] for m in opened.bodies()[-1]["messages"]] == ["Be brief.", "Three"]


def test_an_answer_is_copied_as_the_model_wrote_it(open_page: Open) -> None:
    text = "Some **bold** text\n\n- and `code`"
    reply = streamed(chunk(content=text), chunk("stop"), USAGE, "[DONE]")
    opened = open_page(
        routes={"/v1/chat/completions": reply},
        permissions=["clipboard-read", "clipboard-write"],
    )
    answer = opened.ask("?")
    answer.get_by_role("button", name="Copy").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    assert opened.page.evaluate("navigator.clipboard.readText()") == text


def test_reasoning_is_folded_and_a_nearly_full_context_shows(open_page: Open) -> None:
    reply = streamed(
        chunk(reasoning_content="Hm, "),
        chunk(reasoning_content="yes."),
        chunk(content="Yes."),
        chunk("length"),
        USAGE,
        "[DONE]",
    )
    opened = open_page(routes={"/v1/chat/completions": reply})
    answer = opened.ask("Is it so?")
    expect(answer.get_by_text("Hm, yes.")).to_be_hidden()
    answer.get_by_text("Reasoning").click()
    expect(answer.get_by_text("Hm, yes.")).to_be_visible()
    expect(answer.get_by_text("Ended at the limit of tokens")).to_be_visible()
    assert figures(answer)["tokens"] == "7"
    assert figures(answer)["prompt"] == "40"
    expect(answer).to_contain_text("in the prompt, 32 of them cached")
    expect(opened.page.locator("#context")).to_have_class("nearly-full")


def test_a_model_without_turns_continues_text(open_page: Open, served: Served) -> None:
    plain = {"object": "list", "data": [{"id": "bundled", "chat": False, "context_length": 64}]}
    opened = open_page(routes={"/v1/models": lambda route: route.fulfill(json=plain)})
    opened.parameter("Tokens at most").fill("4")
    expect(opened.page.get_by_label("System prompt")).to_be_hidden()
    opened.ask("Once upon")
    opened.ask(" and then")
    first, second = opened.bodies("/v1/completions")
    assert (first["prompt"], first["max_tokens"]) == ("Once upon", 4)
    assert second["prompt"].startswith("Once upon")
    assert second["prompt"].endswith(" and then")
