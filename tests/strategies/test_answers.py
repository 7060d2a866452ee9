r"""Where a text's answer is: in a box, after a mark, the last number, or all of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.strategies.answers import SHORT, final_answer, normalised, same_answer

FOUND = [
    # boxes
    (r"So \boxed{\frac{1}{2}} and \boxed{\{1,2\}}.", r"\{1,2\}"),
    (r"\boxed{\sqrt{\frac{a}{b}}}", r"\sqrt{\frac{a}{b}}"),
    (r"First \boxed{3}, then \boxed{12", "3"),
    (r"\boxed{\boxed{4}}", "4"),
    (r"\fbox{4}", "4"),
    (r"a } b { c \boxed{5}", "5"),
    (r"a \{ \boxed{5} #### 6 The answer is 7", "5"),
    (r"Put it in \boxed{}. The answer is 7.", "7"),
    # hashes
    ("48 + 24 = 72\n#### 72", "72"),
    ("#### $1,000 \n", "$1,000"),
    ("#### 42\n\nQuestion: 3 cats and", "42"),
    ("#### Step 1: add\nThe answer is 9.", "9"),
    ("##### 8\nThe answer is 9.", "9"),
    ("The answer is 3.\n#### 4", "4"),
    # marks
    ("The answer is 5. Therefore 6 is wrong.", "5"),
    ("The answer is 3.5.", "3.5"),
    ("The answer is 1,234.", "1,234"),
    ("the answer to the question is $\\frac{1}{2}$.", r"\frac{1}{2}"),
    ("The answer is 3. No: the final answer is 4, since 2 + 2 is", "4, since 2 + 2 is"),
    ("**Answer:** **B**", "B"),
    ("**Final Answer**: Paris\nI hope it helps, 100 %", "Paris"),
    ("Final answer:\n\n\\[\n x=5\n\\]\nas 7 is odd", "x=5"),
    ("ANSWER = 12 apples", "12 apples"),
    ("<answer>8</answer> of 9", "8"),
    ("The correct answer is (C) because of the 7 others", "(C)"),
    ("the answer is 4:30 p.m. on Monday. Or 5", "4:30 p.m. on Monday"),
    ("The answer is 4:30 p.m. Then 5", "4:30 p.m"),
    ("The answer is that Natalia sold 48+24 = 72 clips altogether in April.", "72"),
    ("The answer is $x^2 + 17$ because all of the terms cancel each other out", "x^2 + 17"),
    # last numbers
    ("We get 36 cm^2", "36"),
    ("x = \\frac{3}{4}.", r"\frac{3}{4}"),
    ("so 12\\frac{3}{5} in all", r"12\frac{3}{5}"),
    ("it is -5", "-5"),
    ("10-5", "5"),
    ("$1,234.50 in total", "1,234.50"),
    ("3/4 of them", "3/4"),
    ("H2O and x_1 and 7 others", "7"),
    ("The answer is", None),
    # short lines
    ("Paris", "Paris"),
    ("\n  yes \n", "yes"),
    ("x" * SHORT, "x" * SHORT),
    ("x" * (SHORT + 1), None),
    ("No idea\nat all", None),
    ("", None),
    (" \n", None),
    ("???", None),
]


@pytest.mark.parametrize(("text", "answer"), FOUND)
def test_where_the_answer_is(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@given(st.text(), st.integers(-(10**6), 10**6))
def test_a_box_at_the_end_is_the_answer(before: str, value: int) -> None:
    before = before.rstrip("\\")
    assert final_answer(rf"{before} \boxed{{{value}}}.") == str(value)


@given(st.text(st.characters(exclude_characters="\\{}")).map(str.strip).filter(bool))
def test_a_box_says_what_is_in_it(inside: str) -> None:
    assert final_answer(rf"It is \boxed{{{inside}}}, not \boxed{{}}") == inside


PIECES = [
    *r"\boxed{ \boxed \fbox{ { } \ \\ \{ #### # answer Answer: **answer:** is: <answer> </".split(),
    *r"\frac{ \frac{1}{ }{ 1 1,111 1,111, .1 /1 -1 - $ $$ \[ \( \) a. p.m. (A) The ' é 7".split(),
    *("\n", " ", "answer is ", "answer is 1. A", "#### 1\n", "answer:\\[\n", "1 ", "\\frac{1} "),
]
near_texts = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.text() | near_texts)
def test_any_text_has_an_answer_or_none(text: str) -> None:
    answer = final_answer(text)
    assert answer is None or (answer == answer.strip() != "" and answer in text)


@pytest.mark.parametrize("piece", PIECES)
def test_long_texts_take_linear_time(piece: str) -> None:
    start = time.process_time()
    final_answer(piece * (50_000 // len(piece)))
    assert time.process_time() - start < 1  # about 0.05; a quadratic rule takes many seconds


@pytest.mark.parametrize(
    ("a", "b", "are_same"),
    [
        ("0.5", "1/2", True),
        (r"50\%", "50", True),
        (r"50\%", "1/2", False),
        ("0.3333", "1/3", False),
        ("1" * 450, "1" * 449 + "2", False),
        ("1" * 450 + ".0", "1" * 450, True),
        ("", "0", False),
    ],
)
def test_numbers_are_the_same_if_they_are_exactly(a: str, b: str, are_same: bool) -> None:
    assert same_answer(a, b) is are_same
    assert same_answer(b, a) is are_same


@settings(deadline=None)
@given(near_texts, near_texts)
def test_sameness_is_equality_of_forms(a: str, b: str) -> None:
    assert same_answer(a, a)
    assert same_answer(a, b) == same_answer(b, a) == (normalised(a) == normalised(b))
