"""What a rewritten pattern matches, the pattern matches for Python and ECMAScript, too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import foreknown.bundled
from foreknown.checkpoint.tokenizer import Tokenizer, open_tokenizer
from foreknown.errors import RequestError
from foreknown.server.constraints import ConstraintCompiler
from foreknown.server.patterns import PatternError, rewritten
from tests.server.random_answers import obeys

_ATOMS = st.sampled_from(
    ["a", "é", "-", "{", "}", "]", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", r"\.", r"\/",
     r"\x41", r"\u00e9", r"\n", "[a-f0-9_]", r"[^\d]", r"[^\W]", r"[\w.-]", r"[\s\S]", "[[x]",
     "[a&&b]", "[--a]", r"[^\]]", r"[\b]", "(?:ab|c)", "(é)", "^", "$", "|"]
)  # fmt: skip
# Classes such as [[x] are spelled as they are by people; Python warns of what they might once mean.
pytestmark = pytest.mark.filterwarnings("ignore:Possible:FutureWarning")

_TIMES = st.sampled_from(["", "", "", "*", "+?", "?", "{2}", "{1,3}", "{2,}"])
_PATTERNS = st.lists(st.tuples(_ATOMS, _TIMES), max_size=4).map(
    lambda pieces: "".join(atom + ("" if atom in "^$|" else times) for atom, times in pieces)
)
_TEXTS = st.text(
    st.sampled_from("aAbcf01_-.{}[]x&/ \t\n\r\x0b\x1c\x85\u2028\ufeffé²٣漢\x08"), max_size=5
)


def as_python(pattern: str) -> re.Pattern[str]:
    r"""A rewritten pattern in Python's syntax, as far as these tests write them.

    Where `\p{…}` stands, Python's own classes are put.
    """
    pattern = re.sub(r"\\x\{([0-9a-f]+)\}", lambda code: f"\\U{int(code[1], 16):08x}", pattern)
    pattern = pattern.replace(r"\p{Nd}", r"\d").replace(r"\p{L}\p{N}_", r"\w")
    return re.compile(pattern.replace("$", r"\Z"))


@settings(max_examples=500, deadline=None)
@given(_PATTERNS, st.lists(_TEXTS, min_size=10, max_size=10))
def test_exactly_is_what_python_matches(pattern: str, texts: list[str]) -> None:
    theirs = re.compile(pattern)
    exact = rewritten(pattern, exactly=True)
    assume(not re.search(r"\[[^]]*\[", exact))  # classes within classes, which Python has not
    for text in texts:
        assert bool(as_python(exact).search(text)) == bool(theirs.search(text)), text


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return open_tokenizer(Path(foreknown.bundled.__path__[0]))


@pytest.fixture(scope="module")
def compiler(tokenizer: Tokenizer) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer, 1728, {2})


@settings(max_examples=300, deadline=None)
@given(_PATTERNS, st.lists(_TEXTS, min_size=10, max_size=10))
def test_texts_that_a_grammar_lets_through_match(
    compiler: ConstraintCompiler, tokenizer: Tokenizer, pattern: str, texts: list[str]
) -> None:
    theirs = re.compile(pattern)
    try:
        compiler.json_schema({"type": "string", "pattern": pattern})
    except RequestError as error:
        refusal = error.what
    else:
        refusal = ""
    if refusal:
        assert "lookarounds not supported" in refusal or "Unsatisfiable" in refusal
        return
    for text in texts:
        constraint = compiler.json_schema({"type": "string", "pattern": pattern})
        if obeys(constraint, tokenizer, json.dumps(text, ensure_ascii=False)):
            assert theirs.search(text), text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a{,3}", "means a count to some"),
        ("(?=a)", "look-around, flags"),
        ("(?i)a", "look-around, flags"),
        ("(?<!a)b", "look-around, flags"),
        (r"\bword", "word boundaries"),
        (r"(a)\1", "references to groups"),
        (r"(?<x>a)\k<x>", "references to groups"),
        (r"\Aa", "this escape is not supported"),
        (r"\cJ", "this escape is not supported"),
        (r"\ud83d\ude00", "surrogate"),
        (r"\x4", "hexadecimal digits"),
        ("a**", "nothing to repeat at character 2"),
        ("a*+", "nothing to repeat at character 2"),
        ("*", "nothing to repeat at character 0"),
        ("(|*)", "nothing to repeat"),
        ("[]a]", "mean different things"),
        ("[^]", "mean different things"),
        ("[z-a]", "a wrong range"),
        ("[a", "ends too soon"),
        ("a\\", "ends too soon"),
        ("a" * 8193, "8193 characters, where 8192"),
    ],
)
def test_what_validators_read_differently_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        rewritten(pattern)
