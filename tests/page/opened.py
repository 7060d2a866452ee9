"""The page, opened in a browser, and answers that stand in for the server's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request, Route

expect = pytest.importorskip("playwright.sync_api", reason="needs playwright").expect

ANSWER_MS = 60_000


@dataclass
class Opened:
    """The page, open, and what went on behind it.

    Attributes:
        errors: of the console; an error status that the page provoked is told there by the browser.
        requests: all that it made.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def message(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_role("article").filter(has=self.page.get_by_text("Answer by"))

    def parameter(self, label: str) -> Locator:
        return self.page.get_by_role("form", name="Parameters").get_by_label(label)

    def ask(self, text: str) -> Locator:
        """Send a message and wait for the whole answer."""
        self.message.fill(text)
        self.message.press("Enter")
        return self.finished()

    def finished(self) -> Locator:
        """The last answer, once there will be no more of it."""
        answer = self.answers.last
        expect(answer.get_by_role("button", name="Answer again")).to_be_visible(timeout=ANSWER_MS)
        return answer

    def bodies(self, path: str = "/v1/chat/completions") -> list[Any]:
        """What was sent to a path."""
        return [r.post_data_json for r in self.requests if urlsplit(r.url).path == path]


Open = Callable[..., Opened]


def figures(answer: Locator) -> dict[str, str]:
    """What stands beside an answer: its rate, first, tokens and prompt, as they are read."""
    group = answer.get_by_role("group", name="Figures of this answer")
    found: dict[str, str] = group.evaluate(
        """node => Object.fromEntries([...node.querySelectorAll("dl > div:not([hidden])")].map(
            row => [row.className, row.querySelector("dd").textContent]))"""
    )
    return found


def forecasts(answer: Locator) -> dict[str, str]:
    """What stands beside the figures of an answer."""
    group = answer.get_by_role("group", name="Figures of this answer")
    found: dict[str, str] = group.evaluate(
        """node => Object.fromEntries([...node.querySelectorAll("dd.forecast:not([hidden])")].map(
            dd => [dd.parentNode.className, dd.textContent]))"""
    )
    return found


def letters(text: str) -> str:
    """A text without what marks become when they are drawn: lists, fences, emphasis."""
    return re.sub(r"```\w*|[\W\d_]", "", text)


def streamed(*events: Any) -> Callable[[Route], None]:
    """A route that answers with these events: strings as they are, all others as JSON."""
    data = [event if isinstance(event, str) else json.dumps(event) for event in events]
    body = "".join(f"data: {one}\n\n" for one in data)
    return lambda route: route.fulfill(body=body, content_type="text/event-stream")


def chunk(finish: str | None = None, **delta: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def told(**foreknown: Any) -> dict[str, Any]:
    return {**chunk(), "foreknown": foreknown}


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 40,
        "completion_tokens": 7,
        "total_tokens": 1000,
        "prompt_tokens_details": {"cached_tokens": 32},
    },
}

RECORD = """name => {
    const node = document.querySelector(name);
    window.recorded = [];
    new MutationObserver(() => window.recorded.push(node.textContent)).observe(
        node, {childList: true, characterData: true, subtree: true});
}"""

CONTRASTS = """() => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = node => {
        for (let at = node; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        throw new Error("no background");
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.textContent.trim() || !node.checkVisibility()) continue;
        const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        found.push([walker.currentNode.textContent.trim().slice(0, 40), ratio]);
    }
    return found;
}"""
"""Every text that can be seen, with its contrast against what it stands on."""

SIDEWAYS = """() => [document.documentElement, ...document.querySelectorAll(
    "#conversation, #panel, .body, .figures, .trace")]
    .filter(node => node.scrollWidth > node.clientWidth + 1)
    .map(node => node.id || node.className || node.tagName)"""
"""What is wider than its place."""
