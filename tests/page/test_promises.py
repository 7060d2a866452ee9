"""Forecasts beside what answers took, and deadlines, on the page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.page.opened import USAGE, Open, chunk, figures, forecasts, streamed, told

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

FORECAST = {
    "ttft_ms": 120.0,
    "tpot_ms": 20.0,
    "total_ms": 2_400.0,
    "interval": {"low_ms": 2_300.0, "high_ms": 2_600.0},
}
ACTUAL = {"ttft_ms": 118.0, "tpot_ms": 21.0, "total_ms": 2_390.0}


def test_each_figure_stands_beside_its_forecast(open_page: Open) -> None:
    opened = open_page()
    opened.parameter("Tokens at most").fill("12")
    answer = opened.ask("Count to a hundred.")
    assert opened.bodies()[-1]["forecast"] is True
    shown, foretold = figures(answer), forecasts(answer)
    assert {"first", "whole"} <= shown.keys()
    assert {"first", "whole"} <= foretold.keys()
    for text in foretold.values():
        assert text.startswith("forecast ")
        assert re.search(r"\d", text)
    assert "promise" not in shown


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_the_forecast_of_the_whole_is_a_bound_where_tokens_were_spared(
    open_page: Open, finish: str
) -> None:
    reply = streamed(
        told(forecast=FORECAST),
        chunk(content="One."),
        chunk(finish),
        {**USAGE, "foreknown": {"forecast": FORECAST, "actual": ACTUAL}},
        "[DONE]",
    )
    opened = open_page(routes={"/v1/chat/completions": reply})
    foretold = forecasts(opened.ask("?"))
    assert foretold == {
        "rate": "forecast 50.0",
        "first": "forecast 120 ms",
        "whole": f"forecast {'' if finish == 'length' else '≤ '}2.4 s",
    } or "rate" not in figures(opened.answers.last)


@pytest.mark.parametrize(("kept", "word"), [(True, "kept"), (False, "broken")])
def test_a_promise_and_its_outcome_are_shown_and_said(
    open_page: Open, kept: bool, word: str
) -> None:
    promise = {"ttft_ms": None, "tpot_ms": None, "total_ms": 2_500.0}
    reply = streamed(
        told(promise=promise, forecast=FORECAST),
        chunk(content="One."),
        chunk("stop"),
        {**USAGE, "foreknown": {"promise": promise, "actual": ACTUAL, "kept": kept}},
        "[DONE]",
    )
    opened = open_page(routes={"/v1/chat/completions": reply})
    opened.parameter("Deadline, ms").fill("2500")
    answer = opened.ask("?")
    assert opened.bodies()[-1]["deadline_ms"] == 2500
    assert figures(answer)["promise"] == word
    expect(answer).to_contain_text("promise of 2.5 s")
    expect(opened.page.get_by_role("status")).to_have_text(re.compile(f"promise {word}$"))


def test_a_real_deadline_is_kept(open_page: Open) -> None:
    opened = open_page()
    opened.parameter("Deadline, ms").fill("60000")
    opened.parameter("Tokens at most").fill("5")
    assert figures(opened.ask("Hello."))["promise"] == "kept"


def test_what_cannot_be_promised_is_said_beside_the_deadline(open_page: Open) -> None:
    error = {
        "message": "this cannot be promised now; the earliest that could be is 900.0 ms in all",
        "type": "overloaded_error",
        "param": None,
        "code": "cannot_promise",
    }

    def refuse(route: Any) -> None:
        body = json.dumps({"error": error, "foreknown": {"earliest": {"total_ms": 900.0}}})
        route.fulfill(status=429, body=body, content_type="application/json")

    opened = open_page(routes={"/v1/chat/completions": refuse}, allowed="429")
    field = opened.parameter("Deadline, ms")
    field.fill("100")
    opened.message.fill("Quick!")
    opened.message.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(opened.page.get_by_role("alert").filter(has_text="900.0 ms")).to_be_visible()
    expect(opened.message).to_have_value("Quick!")
    field.fill("1000")
    expect(opened.page.get_by_role("alert").filter(has_text="900.0 ms")).to_have_count(0)


def test_a_deadline_that_is_none_is_said_beside_its_field(open_page: Open) -> None:
    opened = open_page(allowed="400")
    field = opened.parameter("Deadline, ms")
    field.fill("-5")
    opened.message.fill("Before I asked")
    opened.message.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")


def test_forecasts_fit_on_narrow_screens(open_page: Open) -> None:
    opened = open_page(viewport={"width": 360, "height": 640})
    answer = opened.ask("Hello.")
    assert forecasts(answer)
    group = answer.get_by_role("group", name="Figures of this answer")
    for box in (group, answer):
        place = box.bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 360
    wide = opened.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, "nothing is scrolled sideways"


def test_the_engine_s_view_shows_how_steps_hold_to_their_forecast(open_page: Open) -> None:
    state = {
        "id": "bundled", "running": 0, "waiting": 0,
        "blocks": {"total": 8, "held": 0, "cached": 0},
        "prefix": {"asked_tokens": 0, "found_tokens": 0},
        "preemptions": 0, "step_ms": 1.0, "recent_step_ms": [1.0], "tokens_per_second": 0,
        "promises": {"made": 5, "kept": 3, "broken": 1, "aborted": 1, "refused": 2},
        "drift": {"ratio": 1.31, "has_drifted": True, "margin": 0.4, "clock_jumps": 0},
    }  # fmt: skip
    reply = {"models": [state], "uptime_s": 5}
    opened = open_page(routes={"/engine": lambda route: route.fulfill(json=reply)})
    view = opened.page.locator("#engine")
    expect(view.locator(".pace dd")).to_have_text(re.compile(r"^1\.31 .*drifted$"))
    expect(view.locator(".promises dd")).to_have_text("3 of 4")
