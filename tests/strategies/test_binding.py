"""What a strategy's parameters are given: defaults, checks, and errors that name them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.errors import RequestError
from foreknown.strategies.expression import Call, Parameter, Value, bind, parse

SAMPLE = Call("sample")
SIGNATURE = (
    Parameter("n", int, 8, least=1, most=64),
    Parameter("temperature", float, 1.0, least=0, most=2),
    Parameter("by", str, "votes", choices=("votes", "verifier")),
    Parameter("stop", bool, False),
    Parameter("of", Call, SAMPLE),
    Parameter("width", (int, str), "auto", least=1, choices=("auto",)),
    Parameter("bonus", float, 0.0),
)
DEFAULTS = {one.name: one.default for one in SIGNATURE}


def bound(text: str) -> dict[str, Value]:
    return bind(parse(text), SIGNATURE)


@pytest.mark.parametrize(
    ("text", "given_values"),
    [
        ("vote", {}),
        ("vote(3)", {"n": 3}),
        ("vote(64, 0.5, 'verifier')", {"n": 64, "temperature": 0.5, "by": "verifier"}),
        ("vote(stop=true, n=1)", {"stop": True, "n": 1}),
        ("vote(of=reflect(2))", {"of": Call("reflect", (2,))}),
        ("vote(width=4)", {"width": 4}),
        ("vote(width='auto')", {"width": "auto"}),
        ("vote(bonus=-1e300)", {"bonus": -1e300}),
    ],
)
def test_what_is_given_and_the_rest_by_default(text: str, given_values: dict[str, Value]) -> None:
    assert bound(text) == {**DEFAULTS, **given_values}
    assert list(bound(text)) == list(DEFAULTS)


def test_a_whole_number_is_a_float_where_one_is_wanted() -> None:
    value = bound("vote(temperature=2)")["temperature"]
    assert type(value) is float
    assert value == 2.0


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("vote(0)", "n", "vote: n is 0, where a whole number from 1 to 64 is expected"),
        ("vote(65)", "n", "vote: n is 65,"),
        ("vote(8.0)", "n", "vote: n is 8.0, where a whole number"),
        ("vote(true)", "n", "vote: n is true, where a whole number"),
        ("vote('8')", "n", 'vote: n is "8", where a whole number'),
        ("vote(temperature=2.1)", "temperature", "temperature is 2.1, where a number from 0 to 2"),
        ("vote(temperature=true)", "temperature", "temperature is true, where a number"),
        ("vote(by='x')", "by", 'vote: by is "x", where one of "votes", "verifier" is expected'),
        ("vote(by=luck)", "by", 'by is "luck", where '),
        ("vote(stop=1)", "stop", "stop is 1, where true or false is expected"),
        ("vote(of='vote')", "of", 'of is "vote", where a strategy is expected'),
        ("vote(width=0)", "width", 'width is 0, where a whole number of at least 1 or "auto"'),
        ("vote(width='x')", "width", 'width is "x", where'),
        ("vote(8, n=8)", "n", "vote: n is given twice, as 8 by its place and as 8 by its name"),
        ("vote(temprature=1)", "temprature", "no parameter temprature, which is given as 1; did you"
         " mean temperature?"),
        ("vote(zzz=1)", "zzz", "vote has no parameter zzz, which is given as 1\n.*vote takes n: a"),
        ("vote(1,1,'votes',true,vote,1,1,9)", "", "at most 7 arguments, 8 are given: 9 is for no"),
        (f"vote(bonus={'9' * 400})", "bonus", "where a number is expected"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(text: str, field: str, message: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        bound(text)
    assert refused.value.field == field
    assert refused.value.remedy


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(RequestError, match="bonus is"):
        bind(Call("vote", (), {"bonus": value}), SIGNATURE)


def test_choices_tell_true_from_one_and_take_whole_numbers_for_floats() -> None:
    signature = (Parameter("k", (int, bool), 1, choices=(1, 2)), Parameter("s", float, 1, None, 3))
    assert bind(parse("f(true)"), signature)["k"] is True
    with pytest.raises(RequestError, match="one of 1, 2 or true or false"):
        bind(parse("f(3)"), signature)
    with pytest.raises(RequestError, match="a number of at most 3 is expected"):
        bind(parse("f(s=3.5)"), signature)
    halves = (Parameter("h", float, 0.5, choices=(0.5, 1)),)
    assert bind(parse("f(1)"), halves) == {"h": 1.0}


def test_a_strategy_without_parameters() -> None:
    assert bind(parse("plain"), ()) == {}
    with pytest.raises(RequestError, match="write plain without arguments"):
        bind(parse("plain(1)"), ())


@given(st.integers(), st.integers(-5, 5), st.integers(-5, 5))
def test_ranges_include_their_ends(value: int, least: int, most: int) -> None:
    signature = (Parameter("n", int, 0, least, most),)
    if least <= value <= most:
        assert bind(Call("f", (value,)), signature) == {"n": value}
    else:
        with pytest.raises(RequestError, match="n is"):
            bind(Call("f", (value,)), signature)
