"""Parts of the page that have laws."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.page.opened import Open, letters

EVERY_ELEMENT = {"P", "PRE", "CODE", "UL", "OL", "LI", "STRONG", "EM", "HR", "H4", "H5", "H6"}
"""All that the renderer of answers ever makes."""


QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

MARKS = "```|```py\n|~~~|`|**|*|_|# |- |  - |1. |---|\n|\n\n|word| |&amp;|<b>|</b>"
ATTACKS = "<script>alert(1)</script>|<img src=x onerror=alert(1)>"
MARKUP = st.lists(
    st.sampled_from(f"{MARKS}|{ATTACKS}".split("|")) | st.text(max_size=6), max_size=30
).map("".join)


def test_an_answer_s_text_is_never_markup_and_grows_to_the_same(open_page: Open) -> None:
    page = open_page().page
    page.evaluate("async () => { window.rich = await import('/page/rich_text.js'); }")

    @QUICK
    @given(MARKUP, st.lists(st.integers(0, 400), max_size=6))
    def check(text: str, cuts: list[int]) -> None:
        grown, whole, elements, spoken = page.evaluate(
            """([text, cuts]) => {
                const [grown, whole] = [new rich.RichText(), new rich.RichText()];
                for (const cut of cuts) grown.show(text.slice(0, cut));
                grown.show(text);
                whole.show(text);
                const all = [...whole.node.querySelectorAll("*")].map(node => node.nodeName);
                return [grown.node.innerHTML, whole.node.innerHTML, all, whole.node.textContent];
            }""",
            [text, sorted(cuts)],
        )
        assert grown == whole
        assert set(elements) <= EVERY_ELEMENT
        # Nothing is made up and nothing changes its place ...
        rest = iter(text)
        assert all(character in rest for character in "".join(spoken.split()))
        # ... nor is anything lost, but an item's number and the language of a fence.
        if not re.search(r"\d|```|~~~", text):
            assert letters(spoken) == letters(text)

    check()


def test_events_are_the_same_wherever_the_stream_is_cut(open_page: Open) -> None:
    page = open_page().page
    page.evaluate("async () => { window.stream = await import('/page/stream.js'); }")

    @QUICK
    @given(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1), max_size=5
        ),
        st.lists(st.integers(0, 200), max_size=8),
        st.sampled_from(["\n", "\r\n"]),
    )
    def check(data: list[str], cuts: list[int], end: str) -> None:
        text = "".join(f": comment{end}event: x{end}data: {one}{end}{end}" for one in data)
        found = page.evaluate(
            """async ([bytes, cuts]) => {
                let at = 0;
                const parts = [...cuts, bytes.length].map(cut => bytes.slice(at, at = cut));
                const body = new ReadableStream({start(controller) {
                    for (const part of parts) controller.enqueue(new Uint8Array(part));
                    controller.close();
                }});
                const found = [];
                for await (const event of stream.events(new Response(body))) found.push(event);
                return found;
            }""",
            [list(text.encode()), sorted(min(cut, len(text.encode())) for cut in cuts)],
        )
        assert found == data

    check()


def test_the_page_s_files_hold_no_script_or_style_in_place() -> None:
    folder = Path(__file__).parents[2] / "src" / "foreknown" / "server" / "page"
    index = (folder / "index.html").read_text("utf-8")
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", index)
    for module in folder.glob("*.js"):
        text = module.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert len(text.splitlines()) < 300, module.name
