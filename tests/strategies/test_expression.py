"""The text form of strategies: read, written out again, and refused with a mark at the place."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.expression import (
    DEEPEST,
    LONGEST_TEXT,
    MOST_ARGUMENTS,
    Call,
    Value,
    parse,
)

READ = [
    ("vote", Call("vote")),
    ("vote()", Call("vote")),
    (" vote ( ) ", Call("vote")),
    ("reflect(vote(8), rounds=2)", Call("reflect", (Call("vote", (8,)),), {"rounds": 2})),
    ('best-of(4,by="verifier")', Call("best_of", (4,), {"by": "verifier"})),
    ("search\n(\n\twidth = 3 , max-depth = 4)", Call("search", (), {"width": 3, "max_depth": 4})),
    ("f(-1, .5, -2.5e-3, 1e3, 4.)", Call("f", (-1, 0.5, -0.0025, 1000.0, 4.0))),
    ("f(true, x=false)", Call("f", (True,), {"x": False})),
    ("f(truer, x=true-x)", Call("f", (Call("truer"),), {"x": Call("true_x")})),
    (r"""f('it\'s', "a\\b\n\t\"", "a'b")""", Call("f", ("it's", 'a\\b\n\t"', "a'b"))),
    ("f('', 'ü ( , = )')", Call("f", ("", "ü ( , = )"))),
    ("_a9(b(c))", Call("_a9", (Call("b", (Call("c"),)),))),
]


def typed(value: Value) -> object:
    """A value with the types of all its parts: 1, 1.0 and True are three, and -0.0 is not 0.0."""
    if not isinstance(value, Call):
        return type(value), repr(value)
    return (
        value.name,
        [typed(one) for one in value.args],
        [(name, typed(one)) for name, one in value.kwargs.items()],
    )


@pytest.mark.parametrize(("text", "call"), READ)
def test_what_is_read(text: str, call: Call) -> None:
    assert typed(parse(text)) == typed(call)
    assert parse(text) == call


def test_calls_know_their_place_but_are_equal_anywhere() -> None:
    call = parse(" reflect(vote(8))")
    assert call.place == 1
    assert isinstance(call.args[0], Call)
    assert call.args[0].place == 9
    assert call == parse("reflect( vote(8) )")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("vote()", "vote"),
        (" best-of(4,by='it')", 'best_of(4, by="it")'),
        ("f(.50,1e3,true,'\"')", "f(0.5, 1000.0, true, '\"')"),
    ],
)
def test_the_canonical_form(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


REFUSED = [
    ("", 0, "text is empty"),
    ("  ", 0, "text is empty"),
    ("Vote", 0, "small letters, is expected, not 'V'"),
    ("8", 0, "a strategy's name, in small letters, is expected, not '8'"),
    ("true", 0, "true is a value"),
    ("vote(", 5, r"a \) is expected for the \( at character 5"),
    ("a(b(1)", 6, r"a \) is expected for the \( at character 2"),
    ("vote(8", 6, r"a \) is expected for the \( at character 5"),
    ("vote(8)) ", 7, "the end is expected after the strategy vote, not '\\)'"),
    ("vote(8) vote", 8, "the end is expected"),
    ("vote=3", 4, "the end is expected"),
    ("f(a=1, 2)", 7, "without a name comes before"),
    ("f(a=1, b=2, a=3)", 12, "a is given twice to f"),
    ("f(a-b=1, a_b=2)", 9, "a_b is given twice to f"),
    ("f(true=1)", 2, "true is a value"),
    ("f(a=)", 4, "a number, a text in quotes, true, false or a strategy is expected, not '\\)'"),
    ("f(1,)", 4, "is expected, not '\\)'"),
    ("f(,1)", 2, "is expected, not ','"),
    ("f(1 2)", 4, r"a comma or \) is expected, not '2'"),
    ("f(1;2)", 3, r"a comma or \) is expected, not ';'"),
    ("f(1x)", 3, r"a comma or \) is expected, not 'x'"),
    ("f(true(1))", 6, r"a comma or \) is expected, not '\('"),
    ("f(@)", 2, "is expected, not '@'"),
    ("f(-)", 2, "digits are expected"),
    ("f(1e999)", 2, "at most 1.8e308 is expected, not 1e999"),
    ("f('ab)", 2, "a closing ' is expected"),
    (r"f('\q')", 4, "after a backslash"),
    ("f('\\", 4, "after a backslash"),
    ("f(٣)", 2, "is expected"),
    ("f(1)\x00", 4, r"the end is expected .* not '\\x00'"),
]


@pytest.mark.parametrize(("text", "place", "expected"), REFUSED)
def test_what_is_refused_and_where(text: str, place: int, expected: str) -> None:
    with pytest.raises(RequestError, match=expected) as refused:
        parse(text)
    what, shown, mark = refused.value.what.split("\n")
    assert f"at character {place + 1}:" in what
    assert mark == " " * (4 + place) + "^"
    assert shown == "    " + "".join(one if one.isprintable() else " " for one in text)
    assert refused.value.remedy


def test_a_long_text_is_shown_around_the_place() -> None:
    text = "f(" + "1, " * 12 + "'" + "a" * 300 + "', ?, " + "b" * 300 + ")"
    with pytest.raises(RequestError) as refused:
        parse(text)
    _, shown, mark = refused.value.what.split("\n")
    assert len(shown) < 80
    assert shown[mark.index("^")] == "?"


def nested(depth: int) -> str:
    return "f(" * (depth - 1) + "f" + ")" * (depth - 1)


@pytest.mark.parametrize(
    ("longest", "too_long", "refusal"),
    [
        ("x" * LONGEST_TEXT, "x" * (LONGEST_TEXT + 1), "at most 1,000 characters"),
        (nested(DEEPEST), nested(DEEPEST + 1), "at most 8 deep"),
        (
            f"f({','.join(['1'] * MOST_ARGUMENTS)})",
            f"f({','.join(['1'] * MOST_ARGUMENTS)}, a=1)",
            "more than 16 arguments",
        ),
        (f"f('{'x' * 980}', 1)", f"f('{'x' * 980}', 1e15)", "written out this has"),
    ],
)
def test_limits(longest: str, too_long: str, refusal: str) -> None:
    assert parse(longest) == parse(str(parse(longest)))
    with pytest.raises(RequestError, match=refusal):
        parse(too_long)


names = st.from_regex(r"[a-z_][a-z_0-9]{0,6}", fullmatch=True).filter(
    lambda name: name not in ("true", "false")
)
floats = st.floats(allow_nan=False, allow_infinity=False)
plain = st.integers() | floats | st.booleans() | st.text(max_size=8)


def calls_of(value: st.SearchStrategy[Value]) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        names,
        st.lists(value, max_size=4).map(tuple),
        st.dictionaries(names, value, max_size=3),
    )


calls = st.recursive(calls_of(plain), lambda inner: calls_of(plain | inner), max_leaves=5)


@settings(deadline=None)
@given(calls)
def test_what_is_written_is_read_as_the_same(call: Call) -> None:
    text = str(call)
    assume(len(text) <= LONGEST_TEXT)
    again = parse(text)
    assert typed(again) == typed(call)
    assert str(again) == text


TOKENS = ["f", "best-of", "(", ")", ",", "=", " ", "1", "-.5", "1e9", "'a'", '"', "true", "\\", "?"]


@settings(deadline=None, max_examples=300)
@given(st.text() | st.lists(st.sampled_from(TOKENS), max_size=25).map("".join))
def test_any_text_is_read_or_refused_with_a_mark(text: str) -> None:
    refusal = ""
    try:
        call = parse(text)
    except RequestError as refused:
        refusal = refused.what
    if refusal:
        assert refusal.endswith("^")
        assert len(refusal.split("\n")) == 3
    else:
        assert typed(parse(str(call))) == typed(call)


def test_nothing_takes_long() -> None:
    start = time.process_time()
    for token in TOKENS:
        for text in (token * 1_000_000, (f"f({token}," * LONGEST_TEXT)[:LONGEST_TEXT]):
            with pytest.raises(RequestError):
                parse(text)
    assert time.process_time() - start < 1


def test_numbers_keep_their_bits() -> None:
    value = parse("f(-0.0)").args[0]
    assert isinstance(value, float)
    assert math.copysign(1, value) == -1
