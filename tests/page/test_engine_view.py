"""The live view of the engine."""

from __future__ import annotations

import pytest

from tests.page.opened import Open

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect


def test_the_engine_is_seen_and_told(open_page: Open) -> None:
    state = {
        "models": [
            {
                "id": "bundled",
                "running": 3,
                "waiting": 12,
                "blocks": {"total": 1000, "held": 250, "cached": 500},
                "prefix": {"asked_tokens": 400, "found_tokens": 100},
                "preemptions": 2,
                "step_ms": 4.25,
                "tokens_per_second": 1234.5,
                "recent_step_ms": [4.0, 6.0, 20.0],
            }
        ],
        "uptime_s": 7200.0,
    }
    opened = open_page(routes={"/engine": lambda route: route.fulfill(json=state)})
    engine = opened.page.get_by_role("region", name="Engine")
    for role_name in (
        "Of 1,000 blocks: 250 held, 500 cached, 250 free",
        "The last 3 steps: median 6.0 ms, longest 20 ms",
    ):
        expect(engine.get_by_role("img", name=role_name)).to_be_visible()
    for kind, text in (
        ("running", "3"),
        ("waiting", "12"),
        ("tokens", "1,235"),
        ("prompt", "25 %"),
        ("last", "4.3 ms"),
        ("preemptions", "2"),
    ):
        expect(engine.locator(f".{kind} dd")).to_have_text(text)
    expect(engine).to_contain_text("Up for 2 h")
    widths = engine.locator(".blocks span").evaluate_all("all => all.map(s => s.style.width)")
    assert widths == ["25%", "50%"]
    asked = len(opened.bodies("/engine"))
    opened.page.get_by_role("button", name="Engine and parameters").click()
    opened.page.wait_for_timeout(600)
    asked = len(opened.bodies("/engine"))
    opened.page.wait_for_timeout(1200)
    assert len(opened.bodies("/engine")) == asked, "it asks while nobody sees it"
