"""A real browser, and the page open in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.page.opened import Open, Opened
from tests.serving import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium on PATH")
    arguments = """--no-sandbox --disable-gpu --disable-background-networking
        --disable-component-update --disable-sync --no-first-run""".split()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Open]:
    """Opens the page in contexts of its own; at the end no surprise may stand in the console."""
    contexts, all_opened = [], []

    def opening(
        url: str = served.url,
        allowed: str = "",
        routes: dict[str, Callable[[Route], None]] | None = None,
        **options: Any,
    ) -> Opened:
        context = browser.new_context(**options)
        contexts.append(context)
        opened = Opened(context.new_page())
        all_opened.append((opened, url, allowed))
        page = opened.page
        page.on("console", lambda m: m.type == "error" and opened.errors.append(m.text))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.on("request", lambda request: opened.requests.append(request))
        for path, handler in (routes or {}).items():
            page.route(url + path, handler)
        page.goto(url)
        return opened

    yield opening
    for opened, url, allowed in all_opened:
        surprises = [e for e in opened.errors if not (allowed and re.search(allowed, e))]
        assert surprises == []
        hosts = {urlsplit(request.url).netloc for request in opened.requests}
        assert hosts == {urlsplit(url).netloc}
    for context in contexts:
        context.close()
