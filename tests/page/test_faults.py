"""What goes wrong stands where it belongs, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.page.opened import Open, chunk, streamed
from tests.serving import Served

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect


def test_a_wrong_parameter_is_said_at_its_field(open_page: Open) -> None:
    opened = open_page(allowed="status of 400")
    temperature = opened.parameter("Temperature")
    temperature.fill("5")
    opened.message.fill("Hello")
    opened.message.press("Enter")
    expect(temperature).to_have_attribute("aria-invalid", "true")
    expect(temperature).to_be_focused()
    expect(temperature).to_have_accessible_description(re.compile("2"))
    field = temperature.locator("xpath=..")
    expect(field.get_by_role("alert")).to_be_visible()
    others = opened.page.get_by_role("alert").filter(visible=True)
    expect(others).to_have_count(1)
    expect(opened.message).to_have_value("Hello")
    expect(opened.page.get_by_role("article")).to_have_count(0)
    temperature.fill("1")
    expect(temperature).not_to_have_attribute("aria-invalid", "true")
    opened.message.press("Enter")
    opened.finished()


def test_a_wrong_parameter_is_said_where_the_panel_was_closed(open_page: Open) -> None:
    opened = open_page(allowed="status of 400", viewport={"width": 400, "height": 700})
    panel = opened.page.get_by_role("button", name="Engine and parameters")
    panel.click()
    opened.parameter("Top k").fill("-7")
    opened.page.keyboard.press("Escape")
    expect(panel).to_be_focused()
    expect(panel).to_have_attribute("aria-expanded", "false")
    opened.message.fill("Hello")
    opened.message.press("Enter")
    expect(opened.parameter("Top k")).to_be_focused()


def test_what_has_no_field_is_said_below_the_message(open_page: Open) -> None:
    opened = open_page(allowed="status of 400")
    opened.message.fill("word " * 3000)
    opened.message.press("Enter")
    alert = opened.page.get_by_role("alert").filter(visible=True)
    expect(alert).to_contain_text("token")
    expect(opened.message).to_have_value("word " * 3000)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"error": {"message": "the engine failed", "param": None}}, "The engine failed."),
        ({"choices": []}, "The answer broke off"),
    ],
)
def test_an_answer_that_breaks_off_says_so_and_stays(open_page: Open, last: Any, said: str) -> None:
    reply = streamed(chunk(content="Half of "), chunk(content="it"), last)
    opened = open_page(routes={"/v1/chat/completions": reply})
    answer = opened.ask("All of it?")
    expect(answer).to_contain_text("Half of it")
    expect(answer.get_by_role("alert")).to_contain_text(said)


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(open_page: Open) -> None:
    opened = open_page(allowed="ERR_FAILED", routes={"/v1/*/*": lambda route: route.abort()})
    opened.message.fill("Anybody?")
    opened.message.press("Enter")
    alert = opened.page.get_by_role("alert").filter(visible=True)
    expect(alert).to_have_text("The server does not answer.")
    expect(opened.message).to_have_value("Anybody?")


def test_a_key_is_asked_for_and_kept_for_the_tab(
    open_page: Open, serve: Callable[..., Served]
) -> None:
    key = "correct-horse-battery"
    server = serve(FOREKNOWN_API_KEYS=f"reader {key}")
    opened = open_page(server.url, allowed="status of 401")
    dialog = opened.page.get_by_role("dialog", name="This server asks for a key")
    for guess in ("a-wrong-guess", key):
        expect(dialog.get_by_label("API key")).to_be_focused()
        dialog.get_by_label("API key").fill(guess)
        opened.page.keyboard.press("Enter")
        expect(opened.page.get_by_label("API key")).not_to_have_value(guess)
    expect(opened.page.get_by_role("combobox", name="Model")).to_have_value("bundled")
    opened.page.reload()
    opened.parameter("Tokens at most").fill("4")
    opened.ask("Hello")
    expect(dialog).to_be_hidden()
