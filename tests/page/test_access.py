"""The page by keys, by ear and by eye."""

from __future__ import annotations

import re

import pytest

from tests.page.opened import CONTRASTS, RECORD, SIDEWAYS, USAGE, Open, chunk, streamed

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

WCAG_AA = 4.5


def test_a_whole_conversation_without_a_mouse(open_page: Open) -> None:
    opened = open_page()
    keys, page = opened.page.keyboard, opened.page
    name = "() => { const it = document.activeElement; return it.ariaLabel || it.labels?.[0]"
    name += "?.textContent || it.textContent; }"
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"

    def tab_to(wanted: str, key: str = "Tab") -> None:
        for _ in range(40):
            keys.press(key)
            focused = page.evaluate(name).strip()
            if focused == "Message":
                box = page.evaluate("() => getComputedStyle(message.parentElement).boxShadow")
                assert box != "none", "the focus cannot be seen"
            else:
                assert page.evaluate(outline) != "none", f"the focus on {focused} cannot be seen"
            if focused == wanted:
                return
        raise AssertionError(f"{wanted} cannot be reached")

    expect(opened.message).to_be_focused()
    tab_to("Tokens at most")
    keys.type("12")
    tab_to("Message", "Shift+Tab")
    keys.type("First line")
    keys.press("Shift+Enter")
    keys.type("second line")
    keys.press("Enter")
    opened.finished()
    assert opened.bodies()[-1]["messages"][-1]["content"] == "First line\nsecond line"
    expect(opened.message).to_be_focused()
    tab_to("Answer again", "Shift+Tab")
    keys.press("Enter")
    expect(opened.message).to_be_focused()
    opened.finished()
    tab_to("Copy", "Shift+Tab")
    tab_to("New conversation", "Shift+Tab")
    keys.press("Space")
    expect(page.get_by_role("article")).to_have_count(0)
    expect(opened.message).to_be_focused()
    tab_to("Skip to the message", "Shift+Tab")
    keys.press("Enter")
    expect(opened.message).to_be_focused()


def test_every_part_has_its_role_and_name(open_page: Open) -> None:
    opened = open_page()
    page = opened.page
    opened.parameter("Tokens at most").fill("5")
    opened.ask("Hello")
    for role, name in (
        ("combobox", "Model"),
        ("button", "New conversation"),
        ("button", "Engine and parameters"),
        ("region", "Conversation"),
        ("textbox", "Message"),
        ("button", "Send"),
        ("complementary", "Engine and parameters"),
        ("region", "Engine"),
        ("form", "Parameters"),
        ("textbox", "System prompt"),
        ("spinbutton", "Temperature"),
        ("heading", "Foreknown"),
        ("heading", "Answer by bundled"),
        ("group", "Figures of this answer"),
    ):
        expect(page.get_by_role(role, name=name, exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name=re.compile("^Colours"))).to_have_count(1)
    expect(page.get_by_role("main")).to_have_count(1)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea")].filter(it =>
            !it.ariaLabel && !it.labels?.length && !it.textContent.trim()).length"""
    )
    assert nameless == 0


def test_who_listens_hears_of_an_answer_once(open_page: Open) -> None:
    opened = open_page()
    opened.page.evaluate(RECORD, "#announcer")
    opened.ask("Tell me something.")
    heard = opened.page.evaluate("recorded")
    assert len(heard) == 1
    assert re.match(r"Answer (finished|ended at the limit of tokens): [\d,]+ token", heard[0])
    live = opened.page.locator("[aria-live], [role=log], [role=status]")
    expect(live).to_have_count(1)


def test_light_and_dark_differ_and_can_both_be_read(open_page: Open) -> None:
    text = "# Head\n\nText with `code` and **bold**\n\n- item\n\n```\nblock\n```"
    reply = streamed(
        chunk(reasoning_content="Hm"), chunk(content=text), chunk("length"), USAGE, "[DONE]"
    )
    background = "getComputedStyle(document.body).backgroundColor"
    grounds = {}
    for scheme in ("light", "dark"):
        opened = open_page(color_scheme=scheme, routes={"/v1/chat/completions": reply})
        opened.ask("A question")
        opened.message.fill("Another")
        contrasts = opened.page.evaluate(CONTRASTS)
        assert len(contrasts) > 30
        assert [found for found in contrasts if found[1] < WCAG_AA] == []
        grounds[scheme] = opened.page.evaluate(background)
    assert grounds["light"] != grounds["dark"]
    switch = opened.page.get_by_role("button", name=re.compile("^Colours"))
    for chosen in ("light", "dark"):
        switch.click()
        expect(switch).to_have_accessible_name(f"Colours: {chosen}")
        assert opened.page.evaluate(background) == grounds[chosen]
    opened.page.reload()
    expect(switch).to_have_accessible_name("Colours: dark")


def test_nothing_moves_for_those_who_asked_for_it(open_page: Open) -> None:
    opened = open_page(reduced_motion="reduce")
    opened.parameter("Tokens at most").fill("3")
    opened.ask("Hello")
    moving = opened.page.evaluate(
        """() => [...document.querySelectorAll("*")].filter(node => {
            const style = getComputedStyle(node);
            return style.transitionDuration !== "0s" || style.animationName !== "none";
        }).length"""
    )
    assert moving == 0


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_needs_no_scrolling_sideways(open_page: Open, width: int) -> None:
    text = "```\n" + "long code " * 40 + "\n```\n\n" + "unbroken" * 40
    reply = streamed(chunk(content=text), chunk("stop"), USAGE, "[DONE]")
    opened = open_page(
        routes={"/v1/chat/completions": reply}, viewport={"width": width, "height": 700}
    )
    opened.ask("unbroken" * 40)
    assert opened.page.evaluate(SIDEWAYS) == []
    opened.page.get_by_role("button", name="Engine and parameters").click()
    expect(opened.parameter("Temperature")).to_be_visible()
    assert opened.page.evaluate(SIDEWAYS) == []
