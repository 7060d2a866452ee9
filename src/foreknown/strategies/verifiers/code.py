"""Verifies Python code by running tests on it, in a process that is locked down."""

from __future__ import annotations

import math
import secrets

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.fences import fences
from foreknown.strategies.verifiers.sandbox import Outcome, protection, run_python
from foreknown.strategies.verifiers.verifier import Verdict, failed, in_a_line

MAX_SECONDS = 600.0
MIN_MEMORY_MIB, MAX_MEMORY_MIB = 32, 1 << 20

_LANGUAGES = ("python", "py", "python3")


class PythonCode:
    """Right if the answer's code, followed by tests, runs to its end within time and memory.

    The code is the last ``` block that is marked as Python, else the last block, else the whole
    text. It runs as `python -I -S -B`: the standard library alone, no environment, nothing to
    read on standard input, in a new directory that is deleted afterwards.

    What the code is kept from, by the kernel (Linux on x86-64 or ARM64):

    - sockets of any kind, starting processes, signals to others, changing limits, shared memory,
      modes, owners and times of files, administration: by seccomp. Where user namespaces are
      allowed it has an empty network of its own, too. On a system with neither nothing is run.
    - writing outside its directory: by Landlock (Linux 5.13 or later; since 6.2 also emptying a
      file that it opens to read). Elsewhere only the permissions of files stand in its way.
    - more time, memory, open files or a larger file than it may have: by limits and by the clock.
      Of its output 64 KiB are kept.

    What it is not kept from: reading files that this user may read, filling the disk below the
    temporary directory with many files while its time lasts, and learning from the processor's
    side channels. It can show what it read only in a verdict's reason. Leaving early, even with
    exit code 0, does not pass, since the end of the tests must be reached; but code that sets out
    to deceive can change what the tests call, or find that end in its own source. A virtual machine
    is the place for code that is meant to attack.

    Args:
        tests: Python statements, such as asserts, that may use what the answer defines.
        seconds: wall-clock time that code and tests may take, up to 600.
        memory_mib: address space of the process, interpreter included, from 32.
        allow_code: must be True: the user has said that code of a model may run here.

    Raises:
        RequestError: it is not allowed, cannot be locked down here, tests are not Python, or a
            limit makes no sense.
    """

    def __init__(
        self,
        tests: str,
        seconds: float = 2.0,
        memory_mib: int = 256,
        *,
        allow_code: bool = False,
    ) -> None:
        if allow_code is not True:
            raise RequestError(
                "this verifier runs code that a model wrote, which nobody allowed",
                remedy="say allow_code=True, after reading what the code is kept from",
                field="allow_code",
            )
        _check_limits(seconds, memory_mib)
        _check_tests(tests)
        protection()
        self._tests, self._seconds, self._memory_mib = tests, seconds, memory_mib

    def verify(self, question: str, answer: str) -> Verdict:
        """1 if all tests pass, else 0 with the reason; failed if there is no code.

        Raises:
            RequestError: the process cannot be locked down.
        """
        code = python_in(answer)
        if not code.strip():
            return failed("there is no code in the answer")
        mark = f"passed-{secrets.token_hex(16)}"
        outcome = run_python(
            f"{code}\n\n{self._tests}\n\n{_leaving(mark)}",
            seconds=self._seconds,
            memory_mib=self._memory_mib,
            mark=mark,
        )
        if outcome.exit_code == 0 and outcome.marked:
            return Verdict(1.0, "all tests passed")
        return Verdict(0.0, in_a_line(self._reason(outcome)))

    def _reason(self, outcome: Outcome) -> str:
        if outcome.exit_code is None:
            return f"not done within {self._seconds:g} s"
        if outcome.exit_code == 0:
            return "it left before the end of the tests"
        if outcome.exit_code < 0:
            return f"ended by signal {-outcome.exit_code}"
        lines = outcome.output.strip().splitlines()
        return lines[-1] if lines else f"exit code {outcome.exit_code}"


def python_in(answer: str) -> str:
    """The code in an answer: its last block marked as Python, else its last block, else all."""
    blocks = fences(answer)
    if not blocks:
        return answer
    marked = [block for block in blocks if block.language in _LANGUAGES]
    return (marked or blocks)[-1].text


def _leaving(mark: str) -> str:
    # With names of its own, since an answer may well define an `open`.
    return (
        "import os as _os\n"
        f"_mark = _os.path.join(_os.path.dirname(__file__), {mark!r})\n"
        "_os.close(_os.open(_mark, _os.O_CREAT))\n"
    )


def _check_tests(tests: str) -> None:
    try:
        compile(tests, "<tests>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RequestError(
            f"the tests are not Python: {in_a_line(str(error))}",
            remedy="write statements such as: assert f(2) == 4",
            field="tests",
        ) from None
    if not tests.strip():
        raise RequestError("there are no tests", remedy="give some asserts", field="tests")


def _check_limits(seconds: float, memory_mib: int) -> None:
    if isinstance(seconds, bool) or not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
        raise RequestError(
            f"seconds is {seconds}, where a time above 0 and up to {MAX_SECONDS:g} is expected",
            remedy="2 are enough for most tests",
            field="seconds",
        )
    is_whole = isinstance(memory_mib, int) and not isinstance(memory_mib, bool)
    if not is_whole or not MIN_MEMORY_MIB <= memory_mib <= MAX_MEMORY_MIB:
        raise RequestError(
            f"memory_mib is {memory_mib}, where {MIN_MEMORY_MIB} to {MAX_MEMORY_MIB} are expected",
            remedy="256 are enough for most tests",
            field="memory_mib",
        )
