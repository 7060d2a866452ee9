"""Verifiers as the command line names them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foreknown.errors import RequestError
from foreknown.strategies.verifiers import parse_verifier


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"type": 3}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "checks.py").write_text("def short(question, answer): return len(answer) < 4\n")
    (tmp_path / "tests.py").write_text("assert f(1) == 2\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("arithmetic", "1 + 1 = 2", "1 + 1 = 3"),
        ("schema:schema.json", "{}", "[]"),
        ("regex:^a:b $", "a:b ", "a:b"),
        ("function:checks.py:short", "abc", "abcd"),
        ("function:operator:eq", "", "a"),
    ],
)
@pytest.mark.usefixtures("written")
def test_each_form(text: str, right: str, wrong: str) -> None:
    verifier = parse_verifier(text)
    assert verifier.verify("", right)[::2] == (1, False)
    assert verifier.verify("", wrong)[::2] == (0, False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is Linux's")
@pytest.mark.usefixtures("written")
def test_code_only_if_allowed() -> None:
    with pytest.raises(RequestError, match="nobody allowed"):
        parse_verifier("code:tests.py")
    verifier = parse_verifier("code:tests.py", allow_code=True)
    assert verifier.verify("", "f = lambda x: x + 1").score == 1
    assert verifier.verify("", "f = lambda x: x").score == 0


@pytest.mark.parametrize(
    "text",
    ["", ":", "arithmatic", "arithmetic:", "arithmetic:x", "schema", "schema:", "regex:", "code",
     "Regex:a", "judge"],
)  # fmt: skip
def test_an_unknown_one_is_told_what_there_is(text: str) -> None:
    with pytest.raises(RequestError, match="there is no verifier") as refused:
        parse_verifier(text)
    for name in ("arithmetic", "schema:FILE", "regex:", "function:", "code:"):
        assert name in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema:none.json", "'none.json' cannot be read: No such file"),
        ("schema:.", "cannot be read: Is a directory"),
        ("schema:latin.txt", "cannot be read"),
        ("schema:a\x00b", "cannot be read"),
        ("schema:broken.json", "'broken.json' is not JSON"),
        ("schema:deep.json", "is not JSON"),
        ("schema:wrong.json", "#/type"),
        ("regex:(", "the pattern '(' is wrong"),
        ("function:checks.py", "names no function"),
        ("function:checks.py:long", "no 'long'"),
        ("code:none.py", "'none.py' cannot be read"),
    ],
)
@pytest.mark.usefixtures("written")
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_verifier(text, allow_code=True)
    assert message in str(refused.value)
