r"""One form for all spellings of an answer, and different ones for what means something else."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.strategies.notation import LONGEST_ANSWER, normalised, number

SAME = (
    """
\N{MINUS SIGN}5 | -5"""
    + r"""
3.0 | 3
.5 | 0.5
0.5 | \frac12
1/2 | \dfrac{2}{4}
\tfrac 1 2 | 0.50
-\frac{1}{2} | \frac{-1}{2}
+5 | 5
(3 * 5) + 2 | (3*5)+2
50\% | 50
25\% | 25 percent
1,000 | 1000
1,234,567.50 | 1234567.5
10{,}000 | 10000
10\,000 | 10000
1,\!000 | 1000
\$5.00 | 5
$\frac{3}{4}$ | 3/4
\(5\) | 5
\[ 5 \] | 5
**5** | 5
5. | 5
x = 5 | 5
f(x) = 3x | 3x
y=2x+3 | 2x + 3
x_{1} = 2 | 2
x \in [1,2] | [1,2]
(A) | A
\text{(B)} | b
\textbf{C} | (c)
Option D | D.
choice: (d) | D
\text{Even} | even
New York | new  york
5 apples | 5
5 cm | 5
5cm | 5
60 miles per hour | 60
7 square feet | 7
5\text{ cm}^2 | 5
10 \mathrm{m/s} | 10
7\pi\text{ cm} | 7π
90^\circ | 90
90^{\circ} | 90°
\left(1, 2\right) | (1,2)
[0, \infty) | \left[0,\infty\right)
(-\infty, +\infty) | (-∞,∞)
(0.5, 3.0) | (\frac{1}{2}, 3)
\{1, 2\} | \{1,2\}
12\frac{3}{5} | 63/5
12 3/5 | 12.6
2½ | 2.5
-2\frac12 | -2.5
6.29\times 10^6 | 6290000
3 \cdot 10^{-2} | 0.03
6.29e6 | 6290000
\frac{x+1}{2} | (x+1)/2
\frac{1}{2x} | 1/(2x)
\frac{\sqrt{2}}{2} | \sqrt2/2
\frac{\pi}{2} | π/2
2\sqrt{3} | 2√3
\sqrt{34} | √34
\sqrt{x+1} | sqrt(x+1)
x^{2} | x^2
x**2 | x²
x\leq 3 | x ≤ 3
4:30 p.m. | 4:30\text{ pm}
"""
)
DIFFERENT = r"""
(1,2) | 1,2
(1,2) | [1,2]
(1,2) | (2,1)
\{1,2\} | \{2,1\}
\{1,234\} | \{1234\}
(1,234) | (1234)
4:30 am | 4:30 pm
2 million | 2
1 2 | 12
x^2 | x2
5x | 5
5 ab | 5
5abc | 5
2\frac{3}{2} | 7/2
5! | 5
50 | 0.5
-5 | 5
\sqrt{2} | 2
\frac12 3 | \frac{1}{23}
2\frac{3}{2} | 23/2
2^\frac{1}{2} | 21/2
x2\frac{1}{2} | x5/2
\frac{1}{2} x | \frac{1}{2x}
\frac{x+1}{2} | x+1/2
1/0 | 1
3 or 4 | 3
3 feet 4 inches | 3
\pi | 3
10_2 | 10_3
even | odd
A | B
yes | no
options | S
"""


def pairs(table: str) -> list[list[str]]:
    return [[one.strip() for one in line.split(" | ")] for line in table.strip().splitlines()]


@pytest.mark.parametrize(("one", "other"), pairs(SAME))
def test_what_means_the_same_has_one_form(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), pairs(DIFFERENT))
def test_what_means_something_else_has_another(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize("one", [spelling for pair in pairs(SAME + DIFFERENT) for spelling in pair])
def test_a_form_is_its_own_form(one: str) -> None:
    assert normalised(normalised(one)) == normalised(one)


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_fractions_are_exact_however_they_are_written(above: int, below: int) -> None:
    value = Fraction(above, below)
    assert normalised(f"{above}/{below}") == str(value)
    assert normalised(rf"\frac{{{above}}}{{{below}}}") == str(value)
    assert normalised(f"$x = {above} / {below}$.") == str(value)


@given(st.integers(1, 999), st.integers(1, 98))
def test_mixed_numbers_are_sums(whole: int, above: int) -> None:
    value = str(whole + Fraction(above, 99))
    assert normalised(rf"{whole}\frac{{{above}}}{{99}}") == value
    assert normalised(f"{whole} {above}/99") == value


@given(st.decimals(-(10**12), 10**12, places=4))
def test_decimals_are_exact_with_and_without_commas(value: object) -> None:
    exact = str(Fraction(str(value)))
    assert normalised(f"{value:f}00") == exact
    assert normalised(f"{value:,f}") == exact
    assert normalised(rf"\${value:,f} \text{{ dollars}}") == exact


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-.5", Fraction(-1, 2)),
        ("1.5/3", Fraction(1, 2)),
        ("2e-3", Fraction(1, 500)),
        ("2*10^{3}", Fraction(2000)),
        ("1/0", None),
        ("1e9999", None),
        ("", None),
        ("-", None),
        ("1 2", None),
        ("٣", None),
        ("nan", None),
        ("inf", None),
        ("1" * (LONGEST_ANSWER + 1), None),
    ],
)
def test_what_is_a_number(text: str, value: Fraction | None) -> None:
    assert number(text) == value


PIECES = [
    *r"\frac \dfrac \sqrt \text{ \left \right \{ \} { } ( ) [ ] \, \! \in \pi \cdot \\".split(),
    *r"1 2 12 0 .5 1,000 , . / - + = 10^ e ^ _ ^\circ % $ \ ½ √ π ² ** ~ x A cm and pm".split(),
    *("\u017f", "\u0130", "\u00df", "\u0663"),  # letters that casefold oddly, a foreign digit
]
near_answers = st.lists(st.sampled_from([*PIECES, " ", "\n"]), max_size=30).map("".join)


@settings(deadline=None, max_examples=300)
@given(st.text() | near_answers)
def test_any_text_has_a_form(text: str) -> None:
    assert isinstance(normalised(text), str)
    assert normalised(f" {text}\n") == normalised(text)


@pytest.mark.parametrize("piece", [*PIECES, r"\frac{", r"\frac{1}{", "1 ", " ", "1,", r"\text{a}"])
def test_nothing_takes_long(piece: str) -> None:
    start = time.process_time()
    normalised((piece * LONGEST_ANSWER)[:LONGEST_ANSWER])
    normalised(piece * 100_000)
    assert time.process_time() - start < 0.5  # about 0.01


def test_prose_is_compared_as_it_stands() -> None:
    prose = "word " * LONGEST_ANSWER
    assert normalised(prose) == "word" * LONGEST_ANSWER
    assert normalised(prose) != normalised(prose.upper())
