"""Finds the equations between numbers that a text claims: `2 * (3 + 4) = 14`.

    16 - 3 - 4 = 9            1/3 = 0.33 = 33%            <<5*2=10>>            $1,200 / 4 = $300
    3 x 4 = 12                1 1/2 + 1 = 2.5             \\frac{1}{2} = 0.5     = **7**

Only what is certainly about numbers alone counts. `x + 4 = 7`, `2x = 6`, `sqrt(16) + 1 = 5` and
`half of 6 + 1 = 4` each have an end that looks like a sum of numbers and is not one, so a side that
something unknown belongs to is **open**, and no claim is made about it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

MAX_TOKENS = 200
"""Numbers and signs of one side; of longer ones nothing is claimed."""

MAX_DIGITS = 60
"""Characters of one number."""


class Literal(NamedTuple):
    """A side that is one number: digits after its point, and whether it is a percentage."""

    places: int
    percent: bool


class Side(NamedTuple):
    """One side of an equation.

    Attributes:
        text: in Python's syntax, whole numbers only: a decimal is a fraction.
        shown: as it stood.
        literal: what is known if it is a number; None: it is an expression.
    """

    text: str
    shown: str
    literal: Literal | None


class Equation(NamedTuple):
    """Two sides that a text says are equal."""

    left: Side
    right: Side


_REPLACED = (
    (re.compile(r"\\\\(?![a-zA-Z])|\r"), "\n"),
    (re.compile(r"\\(?:left|right|big|Big|displaystyle)(?![a-zA-Z])|\\[,;:!\[\]()]|&"), " "),
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])|[\u00d7\u00b7\u22c5\u2217]"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])|[\u00f7\u2215\u2044]"), "/"),
    (re.compile(r"[\u2212\u2013]"), "-"),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\{,\}"), ","),
    (
        re.compile(r"(?<![0-9.])([0-9]{1,9})\s?\\[dt]?frac\{([0-9]{1,9})\}\{([0-9]{1,9})\}"),
        r"\1 \2/\3",
    ),
    (re.compile(r"\\[dt]?frac\{([^{}]{1,200})\}\{([^{}]{1,200})\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:boxed|mathbf)\{([^{}]{1,200})\}"), r" \1 "),
    (re.compile(r"\\(?:text|mathrm)\{([^{}]{0,200})\}"), r" \1 "),
    (
        re.compile(
            r"\\(?:approx|q?quad|implies|[rR]ightarrow|to|end|begin|neq?|[lg]eq?|[lg]t|sim)"
            r"(?![a-zA-Z])"
        ),
        " ; ",
    ),
    (re.compile(r"\^\{([^{}]{1,200})\}"), r"^(\1)"),
    # `**` between what can be multiplied is a power, else it makes text bold.
    (re.compile(r"(?<=[0-9)])(\*\*|[ \t]\*\*[ \t])(?=[0-9(-])"), "^"),
    (re.compile(r"\*\*|`"), " "),
    (re.compile(r"(?<!\w)[$€£¥₹](?=[0-9.])"), ""),
    (re.compile(r"[$€£¥₹]"), " "),
    (re.compile(r"\n[ \t]*(?==[^=>])"), " "),  # a line that goes on with "= 7"
)
_TOKEN = re.compile(
    r"(?P<mixed>[0-9]{1,9}[ ][0-9]{1,9}/[0-9]{1,9}(?![0-9.,/]))"
    r"|(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"|(?P<command>\\[a-zA-Z]+)|(?P<line>\n)|(?P<space>[^\S\n]+)|(?P<word>\w+)"
    r"|(?P<other>[<>!~:≠≤≥≈]=+|=+>|={3,})|(?P<equal>={1,2})"
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<sign>[-+*/%^])|(?P<unknown>.)"
)
_REMAINDER = re.compile(r"(?:with )?(?:an? )?(?:remainder|rem|R|r)\b")
_JOINING = {"of", "times", "plus", "minus", "by", "over", "mod", "squared", "cubed"}


@dataclass
class _Open:
    """A side that is still being read."""

    start: int
    pieces: list[str] = field(default_factory=list)
    end: int = 0
    depth: int = 0
    is_unknown: bool = False
    has_sign: bool = False
    after_operand: bool = False
    last_number: Literal | None = None

    def add(self, piece: str, end: int, *, operand: bool) -> None:
        self.pieces.append(piece)
        self.end, self.after_operand = end, operand
        self.last_number = None


class _Reader:
    """Goes through a text once, token by token; a run is sides with = between them."""

    def __init__(self, text: str) -> None:
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
        self._take: dict[str, Callable[[re.Match[str]], None]] = {
            "number": self._number,
            "mixed": self._mixed,
            "sign": self._sign,
            "open": self._open,
            "close": self._close,
            "equal": self._equal,
            "word": self._word,
            "command": self._command,
            "space": lambda token: None,
            "line": self._end_run,
            "other": self._end_run,
            "unknown": self._unknown,
        }
        self._text = text
        self._equations: list[Equation] = []
        self._sides: list[_Open] = []
        self._side = _Open(0)
        self._line_starts = True  # nothing but spaces so far

    def read(self) -> list[Equation]:
        for token in _TOKEN.finditer(self._text):
            kind = token.lastgroup or "unknown"
            self._take[kind](token)
            if kind != "space":
                self._line_starts = kind == "line"
        self._break(len(self._text))
        return self._equations

    # What kinds of token do.

    def _number(self, token: re.Match[str]) -> None:
        digits = token[0].replace(",", "")
        whole, _, decimals = digits.partition(".")
        piece = str(int(whole or "0")) if len(digits) <= MAX_DIGITS else "0"
        if decimals and len(digits) <= MAX_DIGITS:
            piece = f"({int(whole + decimals)}/{10 ** len(decimals)})"
        self._operand(token, piece)
        self._side.is_unknown |= len(digits) > MAX_DIGITS
        self._side.last_number = Literal(len(decimals), percent=False)

    def _mixed(self, token: re.Match[str]) -> None:
        whole, above, below = map(int, re.split("[ /]", token[0]))
        self._operand(token, f"({whole}+{above}/{below})")
        self._side.has_sign = True
        self._side.is_unknown |= above >= below  # rather a number and then a fraction

    def _operand(self, token: re.Match[str], piece: str) -> None:
        if self._side.after_operand:
            if self._side.pieces[-1] == ")" and self._spaced(token.start()):
                self._break(token.start())  # "2) 3 + 4 = 7"
            else:
                self._side.is_unknown = True
        self._begin(token)
        self._side.add(piece, token.end(), operand=True)

    def _sign(self, token: re.Match[str]) -> None:
        sign, side = token[0], self._side
        if side.after_operand:
            if sign == "%" and side.last_number and not self._operand_follows(token.end()):
                places = side.last_number.places
                side.add(f"({side.pieces.pop()}/100)", token.end(), operand=True)
                side.last_number = Literal(places, percent=True)
            else:
                side.add("**" if sign == "^" else sign, token.end(), operand=False)
            side.has_sign = True
        elif side.pieces:
            self._unary(sign, token)
        elif self._line_starts and sign in "-*" and self._space_follows(token.end()):
            pass  # the mark of an item in a list
        else:
            self._begin(token)
            is_minus_two = self._operand_follows(token.end(), spaces=bool(self._sides))
            side.is_unknown |= not is_minus_two or not (
                self._sides or self._spaced(token.start()) or self._line_starts
                or self._text[token.start() - 1] in "=([<:"
            )  # fmt: skip
            self._unary(sign, token)

    def _unary(self, sign: str, token: re.Match[str]) -> None:
        self._side.is_unknown |= sign not in "+-"
        self._side.add(sign, token.end(), operand=False)

    def _open(self, token: re.Match[str]) -> None:
        if self._side.after_operand:
            if self._spaced(token.start()):
                # "7 (as above)" says 7; whether "7 (3 + 4)" is a product cannot be told.
                is_sum = self._operand_follows(token.end()) or self._side.pieces[-1] == ")"
                self._side.is_unknown |= is_sum
                self._break(token.start())
                self._side.is_unknown = True
            else:
                self._side.add("*", token.start(), operand=False)
                self._side.has_sign = True
        self._begin(token)
        self._side.add("(", token.end(), operand=False)
        self._side.depth += 1

    def _close(self, token: re.Match[str]) -> None:
        if self._side.depth == 0 or not self._side.after_operand:
            self._break(token.start())
            return
        self._side.add(")", token.end(), operand=True)
        self._side.depth -= 1

    def _equal(self, token: re.Match[str]) -> None:
        if not self._side.pieces and not self._sides:
            self._side = _Open(token.end())
            return
        self._sides.append(self._side)
        self._side = _Open(token.end())

    def _word(self, token: re.Match[str]) -> None:
        side, spaced = self._side, self._spaced(token.start())
        is_times = token[0] in ("x", "X") and side.after_operand
        is_times = is_times and spaced == self._space_follows(token.end())
        if is_times and self._operand_follows(token.end()):
            side.add("*", token.end(), operand=False)
            side.has_sign = True
            return
        if side.after_operand and not spaced:
            side.is_unknown = True  # 2x, 7km
        side.is_unknown |= _REMAINDER.match(self._text, token.start()) is not None
        self._break(token.start())
        self._side.is_unknown = token[0].lower() in _JOINING

    def _command(self, token: re.Match[str]) -> None:
        """LaTeX's for a symbol or a function: what stands on either side belongs to it."""
        self._side.is_unknown |= self._side.after_operand
        self._break(token.start())
        self._side.is_unknown = True

    def _end_run(self, token: re.Match[str]) -> None:
        self._break(token.start())

    def _unknown(self, token: re.Match[str]) -> None:
        self._break(token.start())
        self._side.is_unknown = token[0] in "\u221a\u221b^_\\|"

    # What lies around a place.

    def _begin(self, token: re.Match[str]) -> None:
        """A side starts with this token, unless it has; what it hangs on makes it unknown."""
        side = self._side
        if side.pieces:
            return
        side.start = token.start()
        before = self._text[max(0, token.start() - 2) : token.start()]
        hangs_on = before[-1:].isalnum() or before[-1:] in ("_", "\u221a", "}")
        side.is_unknown |= hangs_on or re.fullmatch(r"[0-9][.,:]", before) is not None

    def _spaced(self, place: int) -> bool:
        return place > 0 and self._text[place - 1] in " \t"

    def _space_follows(self, place: int) -> bool:
        return self._text[place : place + 1] in (" ", "\t")

    def _operand_follows(self, place: int, *, spaces: bool = True) -> bool:
        while spaces and self._space_follows(place):
            place += 1
        return self._text[place : place + 1] in set("0123456789.([")

    # The end of a run.

    def _break(self, place: int) -> None:
        if self._sides:
            sides = [*self._sides, self._side]
            _strip_outer(sides[0])
            if any(side.has_sign and not side.is_unknown for side in sides):
                closed = [self._closed(side) for side in sides]
                for left, right in pairwise(closed):
                    if left is not None and right is not None:
                        self._equations.append(Equation(left, right))
            self._sides = []
        self._side = _Open(place)

    def _closed(self, side: _Open) -> Side | None:
        whole = side.after_operand and side.depth == 0 and len(side.pieces) <= MAX_TOKENS
        if side.is_unknown or not whole:
            return None
        text = "".join(side.pieces)
        shown = " ".join(self._text[side.start : side.end].split())
        literal = side.last_number if len(side.pieces) == 1 or _is_signed(side) else None
        return Side(text, shown, literal)


def _strip_outer(side: _Open) -> None:
    """Parentheses around a whole equation are open on its first side."""
    while side.depth and side.pieces[0] == "(":
        del side.pieces[0]
        side.depth -= 1
        side.start += 1


def _is_signed(side: _Open) -> bool:
    return len(side.pieces) == 2 and side.pieces[0] in ("-", "+")


def equations(text: str) -> list[Equation]:
    """Every claim of a text that two sides are equal, one of them at least with a sign.

    A chain a = b = c makes two. Takes time in proportion to the text.
    """
    return _Reader(text).read()
