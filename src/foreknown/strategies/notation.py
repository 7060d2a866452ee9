r"""The canonical form of a short mathematical or verbal answer.

Models write one answer in many ways: `\dfrac12`, `$\frac{1}{2}$`, `0.50`, `1/2`. The form here is
one for all of them, so that votes can be counted by it. It is for comparing, not for showing: an
exact fraction for what is a number, otherwise the answer without what does not change its meaning
(white space, mathematics' delimiters, units, sizes of brackets, case of words). It knows spelling,
not algebra: `x+1` and `1+x` are two answers.
"""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST_ANSWER = 500
"""Characters above which an answer is prose: it is compared as it stands, but for white space."""

_SPELLINGS = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{MULTIPLICATION SIGN}": "*",
        "·": "*",
        "⋅": "*",
        "÷": "/",
        "π": r"\pi ",
        "∞": r"\infty ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "\N{UNION}": r"\cup ",
        "∩": r"\cap ",
        "²": "^2",
        "³": "^3",
        "½": " 1/2",
        "¼": " 1/4",
        "¾": " 3/4",
        "°": "",
        "%": "",
        "$": "",
        "€": "",
        "£": "",
        "~": " ",
    }
)
_END = r"(?![A-Za-z])"
_REWRITES = tuple(
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        (r"\\!", ""),
        (r"(?<=[0-9])(?:\{,\}|,\\!|\\,)(?=[0-9]{3}(?![0-9]))", ""),
        (r"\{,\}", ","),
        (r"\\[,;:\s]|\\q?quad" + _END, " "),
        (r"\\[()\[\]]", " "),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle)" + _END, ""),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})" + _END + r"|\\degrees?" + _END, ""),
        (r"\\[dtc]frac" + _END, r"\\frac"),
        (r"\\(?:cdot|times)" + _END, "*"),
        (r"\\div" + _END, "/"),
        (r"\\(le|ge|ne)q" + _END, r"\\\1 "),
        (r"(?<![A-Za-z\\])pi" + _END, r"\\pi "),
        (r"(?:√|\\?\bsqrt)\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"√\s*([0-9.]+|[A-Za-z])", r"\\sqrt{\1}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"\b([AaPp])\.\s*[Mm]\b\.?", r"\1m"),
        (r"\*\*(?=\S)", "^"),
    )
)
"""In this order; the thousands' commas of TeX must be known before its other spaces go."""

_TEXT = r"\\(?:text(?:bf|it|rm)?|mbox|math(?:rm|bf|it)|operatorname)\s*\{([^{}]*)\}"
_NAME = re.compile(
    r"(?:[A-Za-z]|\\[A-Za-z]+)(?:_(?:\{\w+\}|\w))?(?:\([A-Za-z]\))?\s*"
    r"(?:=|\\in" + _END + r")(?=[^=]+$)"
)
_QUANTITY_AND_UNIT = re.compile(
    r"(?P<quantity>(?:[-0-9.,+*/^(){}\s]|\\(?:frac|sqrt|pi)" + _END + r")*(?:[0-9)}]|\\pi))"
    r"(?:\s*" + _TEXT + r"|(?P<gap>\s*)(?P<words>[A-Za-z][A-Za-z./\s]*))\s*(?:\^\{?[0-9]\}?)?",
    re.DOTALL,
)
_SHORT_UNITS = frozenset(
    "mm cm dm km in ft yd mi mg kg lb lbs oz ml cl dl hr hrs min sec ms mph".split()
    + "km/h m/s sq cu per".split()
)
_NOT_UNITS = frozenset(
    "am pm and or to by if mod hundred thousand million billion trillion dozen half".split()
)
"""Words after a number that change what it means."""

_OPTION = re.compile(r"(?:(?:option|choice)[\s:]+)?\(?\s*([A-Za-z])\s*[).]?", re.IGNORECASE)
_WORD = re.compile(r"\\[A-Za-z]+|[^\W\d_]{2,}")
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_MIXED = re.compile(r"(?<![\w.^/*)}])([0-9]+)\s+([0-9]+)\s*/\s*([0-9]+)(?![\w./])")
_WHOLE_BEFORE = re.compile(r"(?<![\w.^/*)}])([0-9]+)\s*\Z")
_DECIMAL = re.compile(r"(?<![0-9.])([0-9]*)\.([0-9]+)(?![0-9.])")
_DELIMITER = re.compile(r"([()\[\]{},;=<>]|\\[A-Za-z]+|\\.)")

_UNSIGNED = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?P<number>{_UNSIGNED})"
    rf"(?:[eE](?P<exponent>[-+]?[0-9]{{1,3}})|\*10\^\{{?(?P<power>[-+]?[0-9]{{1,3}})\}}?"
    rf"|/(?P<divisor>{_UNSIGNED}))?"
)


def normalised(answer: str) -> str:
    r"""A canonical form: answers that mean the same have the same one.

    A number is a reduced fraction, `3.0` → `3`, `.5` → `1/2`, `2\frac12` → `5/2`, `1,000` → `1000`;
    percent signs, degrees, currencies and units after a quantity are dropped. A lone letter, also
    `(a)`, is an option: `A`. Sets, tuples and intervals keep their brackets and their order.
    Takes time linear in the text's length, and raises nothing.
    """
    if len(answer) > LONGEST_ANSWER:
        return "".join(answer.split())
    text = _one_spelling(answer)
    text = _NAME.sub("", text, count=1) if _NAME.match(text) else text
    text = _without_unit(_without_thousands(text.strip()))
    text = re.sub(_TEXT, r" \1 ", text).strip()
    option = _OPTION.fullmatch(text)
    if option:
        return option[1].upper()
    text = _WORD.sub(lambda word: word[0] if word[0][0] == "\\" else word[0].casefold(), text)
    return _with_exact_numbers(_without_spaces(_without_fractions(text)))


def number(text: str) -> Fraction | None:
    """The number that a text is: `-3`, `.5`, `1/2`, `6.02e23`, `6.02*10^{23}`; None: none.

    Spaces are not skipped; exponents have up to three digits, so numbers stay small enough to
    compute with.
    """
    read = _NUMBER.fullmatch(text) if len(text) <= LONGEST_ANSWER else None
    if read is None:
        return None
    value, divisor = Fraction(read["number"]), Fraction(read["divisor"] or 1)
    if not divisor:
        return None
    value = value / divisor * Fraction(10) ** int(read["exponent"] or read["power"] or 0)
    return -value if read["sign"] == "-" else value


def _one_spelling(answer: str) -> str:
    """One spelling for each sign and macro, nothing around the answer; spaces stay."""
    text = re.sub(r"\\([$%])", r"\1", answer.strip().strip("*_`")).translate(_SPELLINGS)
    for pattern, spelling in _REWRITES:
        text = pattern.sub(spelling, text)
    return text.strip(' *_`"\t\n').rstrip(' .,;:*_`"\t\n')


def _without_thousands(text: str) -> str:
    """Commas between thousands are dropped where no bracket makes them separators."""
    if any(bracket in text for bracket in ("(", "[", r"\{")):
        return text
    return _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)


def _without_unit(text: str) -> str:
    r"""`5 \text{ cm}^2`, `7\pi` inches: the quantity alone. `4:30 p.m.` and `2 million` stay."""
    found = _QUANTITY_AND_UNIT.fullmatch(text)
    if found is None:
        return text
    in_tex = found["words"] is None
    words = (found[2] if in_tex else found["words"]).lower().replace(".", " ").split()
    if not words or len(words) > 4 or _NOT_UNITS & set(words):
        return text
    if not in_tex and not all(_is_unit(word, glued=not found["gap"]) for word in words):
        return text
    return found["quantity"].strip()


def _is_unit(word: str, *, glued: bool) -> bool:
    """Whether a word outside TeX's text is one: letters right after a number may be variables."""
    return word in _SHORT_UNITS or (len(word) > 2 and word.isalpha() and not glued)


def _without_fractions(text: str) -> str:
    r"""Every `\frac` written with a slash, mixed numbers as one fraction."""
    written, rest = "", text
    while True:
        before, found, rest = rest.partition(r"\frac")
        written += before
        if not found:
            return _MIXED.sub(lambda m: _improper(int(m[1]), int(m[2]), int(m[3])) or m[0], written)
        above, rest = _argument(rest)
        below, rest = _argument(rest)
        written = _with_fraction(
            written, _without_fractions(above), _without_fractions(below), rest
        )


def _argument(text: str) -> tuple[str, str]:
    """What a macro takes from a text, a group or one sign, and what is left."""
    text = text.lstrip()
    if not text.startswith("{"):
        macro = re.match(r"\\[A-Za-z]+", text)
        end = macro.end() if macro else 1
        return text[:end], text[end:]
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if not depth:
            return text[1:place].strip(), text[place + 1 :]
    return text[1:].strip(), ""


def _with_fraction(before: str, above: str, below: str, after: str) -> str:
    """`before` with a fraction at its end; `after` decides whether that needs brackets."""
    if not re.fullmatch("-?[0-9]+", above) or not re.fullmatch("[0-9]*[1-9][0-9]*", below):
        above = f"({above})" if _is_sum(above) else above
        below = below if _is_one_thing(below) else f"({below})"
        return f"{before}{above}/{below}"
    whole = _WHOLE_BEFORE.search(before)
    mixed = _improper(int(whole[1]), int(above), int(below)) if whole else None
    if whole and mixed:
        before, fraction = before[: whole.start()], mixed
    else:
        fraction = str(Fraction(int(above), int(below)))
    touches = re.search(r"[\w)}]\s*\Z", before) or re.match(r"\s*[0-9^!/]", after)
    return before + (f"({fraction})" if touches else fraction)


def _improper(whole: int, above: int, below: int) -> str | None:
    """A mixed number as one fraction; None if its fraction is not between 0 and 1."""
    return str(whole + Fraction(above, below)) if 0 < above < below else None


def _is_sum(text: str) -> bool:
    """Whether there is a sum, a difference or a list outside all brackets."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "({[") - (character in ")}]")
        if depth == 0 and (character in "+," or (character == "-" and place)):
            return True
    return False


def _is_one_thing(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]+|[0-9]*\.[0-9]+|[A-Za-z]|\\[A-Za-z]+(?:\{[^{}]*\})?", text))


def _without_spaces(text: str) -> str:
    """No white space but between two numbers; single signs lose their braces."""
    text = re.sub(r"(?<=[0-9.])\s+(?=[0-9.])", "\0", text)
    text = "".join(text.split()).replace("\0", " ")
    text = re.sub(r"([\^_])\{([^{}\\])\}", r"\1\2", text)
    return re.sub(r"(^|[(\[{,=])\+", r"\1", text)


def _with_exact_numbers(text: str) -> str:
    """Numbers as reduced fractions where they stand alone, decimals without idle zeros."""
    whole = number(text)
    if whole is not None:
        return str(whole)
    parts = _DELIMITER.split(text)
    for place in range(0, len(parts), 2):
        value = number(parts[place])
        if value is None:
            parts[place] = _DECIMAL.sub(_shortest_decimal, parts[place])
        else:
            sign = "+" if parts[place].startswith("+") else ""  # after a bracket: of a sum
            parts[place] = f"{sign}{value}"
    return "".join(parts)


def _shortest_decimal(found: re.Match[str]) -> str:
    whole, places = found[1].lstrip("0") or "0", found[2].rstrip("0")
    return f"{whole}.{places}" if places else whole
