"""Stop strings: found across any split, never shown, not even in part."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine.stop_strings import StopStrings


def read_by_character(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """The meaning: stop where the first stop string is complete; the longest if several are."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


letters = st.text("ab", max_size=12)


@settings(deadline=None)
@given(
    pieces=st.lists(letters, max_size=8),
    stops=st.lists(st.text("ab", min_size=1, max_size=5), max_size=3),
)
def test_the_split_into_pieces_does_not_matter(pieces: list[str], stops: list[str]) -> None:
    matcher = StopStrings(tuple(stops))
    shown = "".join(matcher.push(piece) for piece in pieces) + matcher.finish()
    assert (shown, matcher.stopped) == read_by_character("".join(pieces), tuple(stops))


@settings(deadline=None)
@given(
    text=st.text("ab", max_size=20),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1),
)
def test_what_is_shown_is_never_taken_back_and_nothing_is_held_needlessly(
    text: str, stops: list[str]
) -> None:
    matcher = StopStrings(tuple(stops))
    shown = ""
    for i, character in enumerate(text):
        shown += matcher.push(character)
        if matcher.stopped:
            return
        held = text[len(shown) : i + 1]
        assert text.startswith(shown)
        assert not held or any(stop.startswith(held) for stop in stops)


def test_nothing_is_held_without_stops() -> None:
    matcher = StopStrings(())
    assert matcher.push("abc") == "abc"
    assert matcher.finish() == ""


Say = Callable[..., tuple[list[str], str | None, list[int]]]


def test_a_stop_string_over_several_tokens_ends_the_output(say: Say) -> None:
    pieces, reason, tokens = say(b"answer: 4\n\nQ: more", stop=("\n\nQ",))
    assert "".join(pieces) == "answer: 4"
    assert reason == "stop"
    assert bytes(tokens) == b"answer: 4\n\nQ"


def test_held_text_is_shown_when_the_output_ends(say: Say) -> None:
    assert say(b"abc<en", stop=("<end>",))[:2] == (["a", "b", "c", "", "", "<en"], "length")
    assert say(b"abc<e\x00", (0,), stop=("<end>",))[:2] == (
        ["a", "b", "c", "", "", "<e"],
        "stop",
    )


def test_min_tokens_hold_for_stop_strings_and_end_ids(say: Say) -> None:
    assert say(b"a.b.c.", stop=(".",), min_tokens=3)[:2] == (["a", ".", "b", ""], "stop")
    # Zero is forbidden until three tokens are out, so the next best (the lowest other) comes.
    _, reason, tokens = say(b"\x00\x00\x00\x00a", (0,), min_tokens=3)
    assert (reason, tokens) == ("stop", [1, 1, 1, 0])


def test_an_end_id_is_a_token_without_text(say: Say) -> None:
    assert say(b"ab\x00cd", (0,)) == (["a", "b", ""], "stop", [97, 98, 0])
    assert say(b"ab\x00c", (0,), ignore_eos=True)[1:] == ("length", [97, 98, 0, 99])
    assert say(b"ab\x00c", (0,), ignore_eos=True, stop_token_ids=(98,))[1:] == ("stop", [97, 98])


@pytest.mark.parametrize("text", ["é", "日本語 text", "👩‍🚀🚀", "naïve — “quoted”", ""])
def test_characters_are_never_split(say: Say, text: str) -> None:
    script = text.encode() + b"."
    pieces, _, _ = say(script)
    assert "".join(pieces) == text + "."
    assert "\ufffd" not in "".join(pieces)


@settings(deadline=None)
@given(script=st.binary(min_size=1, max_size=20))
def test_streamed_text_equals_the_whole_decoded(say: Say, script: bytes) -> None:
    pieces, _, _ = say(script)
    assert "".join(pieces) == script.decode("utf-8", "replace")
