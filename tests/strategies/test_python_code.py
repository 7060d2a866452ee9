"""Code of an answer runs its tests, locked down: what it must not do, it cannot."""

from __future__ import annotations

import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from foreknown.errors import RequestError
from foreknown.strategies.verifiers import PythonCode, Verdict
from foreknown.strategies.verifiers import sandbox as sandbox_module
from foreknown.strategies.verifiers.sandbox import run_python

if not sys.platform.startswith("linux"):
    pytest.skip("the sandbox is Linux's", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("nothing_stays")

TESTS = "assert double(2) == 4\nassert double('a') == 'aa'\n"
GOOD = "def double(x):\n    return x * 2\n"


def judged(answer: str, tests: str = TESTS, **limits: Any) -> Verdict:
    return PythonCode(tests, **{"seconds": 20, **limits}, allow_code=True).verify("q", answer)


# Judging.


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"Here:\n```python\n{GOOD}```\nIt doubles.",
        f"```py\ndef double(x):\n    return 0\n```\nbetter:\n```Python\n{GOOD}```",
        f"```python\n{GOOD}```\nRun it:\n```bash\npython a.py\n```",
        f"```\n{GOOD}\n```",
        f"```python\n{GOOD}",
        f"import asyncio, decimal, threading\nasync def f(): pass\nasyncio.run(f())\n{GOOD}",
        f"from __future__ import annotations\n{GOOD}",
        f"t = __import__('threading').Thread(target=print)\nt.start()\nt.join()\n{GOOD}",
        f"open('kept', 'w').write('é')\nassert open('kept').read() == 'é'\n{GOOD}",
        f"open('/dev/null', 'w').write('x')\n{GOOD}",
        f"def open(*a): raise ValueError\n{GOOD}",
        f"if __name__ == '__main__':\n    print('main')\n{GOOD}",
    ],
)
def test_code_that_passes(answer: str) -> None:
    assert judged(answer) == Verdict(1.0, "all tests passed")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("def double(x): return x + 2", "TypeError"),
        ("def double(x): return 0", "AssertionError"),
        ("def double(x:", "SyntaxError"),
        ("I do not know", "SyntaxError"),
        (f"{GOOD}raise SystemExit(0)", "left before the end of the tests"),
        (f"{GOOD}import os; os._exit(0)", "left before the end of the tests"),
        (f"{GOOD}raise SystemExit(7)", "exit code 7"),
        (f"{GOOD}import os; os.abort()", "signal 6"),
        ("input()", "EOFError"),
        ("import numpy", "ModuleNotFoundError"),
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
        ("\x00", ""),
        ("'\ud800'", ""),
    ],
)
def test_code_that_does_not_is_wrong_and_not_a_failure(answer: str, reason: str) -> None:
    verdict = judged(answer)
    assert (verdict.score, verdict.failed) == (0, False)
    assert reason in verdict.reason
    assert "\n" not in verdict.reason


@pytest.mark.parametrize("answer", ["", " \n", "```python\n```"])
def test_no_code_is_a_failure(answer: str) -> None:
    assert judged(answer) == Verdict(0.0, "there is no code in the answer", failed=True)


# Refusals.


def test_code_is_refused_unless_allowed() -> None:
    for allowed in ({}, {"allow_code": False}, {"allow_code": 1}):
        with pytest.raises(RequestError, match="nobody allowed") as refused:
            PythonCode(TESTS, **allowed)
        assert "allow_code=True" in refused.value.remedy


@pytest.mark.parametrize("tests", ["", "# nothing\n"[:0], "assert (", "\x00", " \n "])
def test_tests_must_be_python(tests: str) -> None:
    with pytest.raises(RequestError, match="tests") as refused:
        PythonCode(tests, allow_code=True)
    assert refused.value.field == "tests"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("seconds", value) for value in (0, -1, math.nan, math.inf, 1e9, True)],
        *[("memory_mib", value) for value in (0, -1, 31, 10**9, 256.5, True)],
    ],
)
def test_limits_must_make_sense(field: str, value: Any) -> None:
    with pytest.raises(RequestError, match=field) as refused:
        PythonCode(TESTS, **{field: value}, allow_code=True)
    assert refused.value.field == field


def test_nothing_is_run_where_it_cannot_be_locked_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(sandbox_module.__file__).with_name("confine.py").read_text()
    # Each system below is this one with a part of the kernel missing.
    no_seccomp = source.replace(
        "def _can_filter() -> bool:", "def _can_filter() -> bool:\n    return False"
    )
    no_namespaces = "_libc.unshare(flags) == 0", "False"
    lonely = tmp_path / "confine.py"
    monkeypatch.setattr(sandbox_module, "_CONFINE", lonely)
    lonely.write_text(no_seccomp.replace(*no_namespaces))
    with pytest.raises(RequestError, match="neither by namespaces nor by seccomp"):
        run_python("open('was-run', 'w')", seconds=20, memory_mib=256)
    lonely.write_text("raise ValueError")
    with pytest.raises(RequestError, match="did not start"):
        run_python("open('was-run', 'w')", seconds=20, memory_mib=256)
    lonely.write_text(source.replace(*no_namespaces))
    alone = run_python("import socket; socket.socket()", seconds=20, memory_mib=256)
    assert alone.protection.seccomp
    assert not alone.protection.namespaces
    assert "PermissionError" in alone.output
    lonely.write_text(no_seccomp)
    if os.getuid() == 0:
        with pytest.raises(RequestError, match="processes of root"):
            run_python("", seconds=20, memory_mib=256)


def test_a_loop_is_wrong() -> None:
    assert judged("while True: pass", seconds=0.3) == Verdict(0.0, "not done within 0.3 s")


def test_many_at_once_are_apart() -> None:
    scores: dict[int, float] = {}

    def judge(number: int) -> None:
        answer = f"def double(x): return x * {number}\n"
        scores[number] = judged(answer, "assert double(1) == 2").score

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores == {0: 0, 1: 0, 2: 1, 3: 0}
