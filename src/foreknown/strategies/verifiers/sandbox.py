"""Runs a stranger's Python program in a process that is locked down, timed and cleaned up.

`confine.py` says what the process is kept from. Here it is started in a new directory, its output
is read up to a bound, and whatever is left of it at the end is killed. Not kept from it: reading
files that this user may read, what the processor leaks, writing many files of the largest size
until time is up, and, where the kernel has no Landlock, writing where this user may write.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from foreknown.errors import RequestError
from foreknown.strategies.verifiers.confine import Limits

OUTPUT_BYTES = 64 << 10
"""Of a program's output that is kept; the rest is read and thrown away."""

FILE_BYTES = 16 << 20
"""The largest file that a program may write."""

_START_SECONDS = 20.0  # a busy machine may be slow to start a process; the program's time is apart
_CONFINE = Path(__file__).with_name("confine.py")


class Protection(NamedTuple):
    """What this system keeps a program from.

    Attributes:
        namespaces: it has a network of its own with nothing on it.
        landlock: the version of Landlock that keeps it from writing elsewhere; 0: nothing does.
        seccomp: it cannot open sockets, start processes or signal others.
    """

    namespaces: bool
    landlock: int
    seccomp: bool


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
        exit_code: its own; minus the signal that ended it; None: it was out of time.
        output: the first 64 KiB of what it printed, errors included.
        marked: whether it made the file that it was to make.
        protection: what it was kept from.
    """

    exit_code: int | None
    output: str
    marked: bool
    protection: Protection


def run_python(source: str, *, seconds: float, memory_mib: int, mark: str = "") -> Outcome:
    """Run a program with nothing but the standard library.

    Args:
        seconds: wall-clock time from its first instruction; processor time is bounded alike.
        memory_mib: address space, the interpreter included (about 20 MiB).
        mark: a file's name; whether it is in the working directory at the end is reported.

    Raises:
        RequestError: it cannot be locked down here, and was not run.
    """
    if not sys.platform.startswith("linux") or not sys.executable:
        raise _refusal(f"there is no sandbox for {sys.platform}")
    directory = tempfile.mkdtemp(prefix="foreknown-")
    try:
        program = Path(directory, "program.py")
        program.write_text(source, "utf-8", "surrogatepass", newline="\n")
        limits = Limits(math.ceil(seconds) + 1, memory_mib << 20, FILE_BYTES)
        exit_code, output, protection = _run(directory, str(program), limits, seconds)
        marked = bool(mark) and Path(directory, mark).exists()
        return Outcome(exit_code, output.decode("utf-8", "replace"), marked, protection)
    finally:
        _remove(directory)


@cache
def protection() -> Protection:
    """What programs are kept from on this system, found by running an empty one.

    Raises:
        RequestError: none can be locked down here.
    """
    return run_python("", seconds=10, memory_mib=256).protection


def _run(
    directory: str, program: str, limits: Limits, seconds: float
) -> tuple[int | None, bytes, Protection]:
    report, report_end = os.pipe()
    try:
        words = [sys.executable, "-I", "-S", "-B", str(_CONFINE), str(report_end)]
        process = subprocess.Popen(
            [*words, json.dumps(limits), program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={},
            start_new_session=True,
            pass_fds=[report_end],
        )
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(report_end)
    assert process.stdout is not None
    try:
        installed, _ = _read(report, time.monotonic() + _START_SECONDS)
        protection = _protection(installed)
        deadline = time.monotonic() + seconds
        output, ended = _read(process.stdout.fileno(), deadline)
        exit_code = _exit_code(process, deadline) if ended else None
        return exit_code, output, protection
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        os.close(report)


def _read(pipe: int, deadline: float) -> tuple[bytes, bool]:
    """The first of what comes through a pipe, and whether it was closed before the deadline."""
    kept = bytearray()
    ready = select.poll()
    ready.register(pipe, select.POLLIN)
    while (left := deadline - time.monotonic()) > 0:
        if not ready.poll(left * 1e3):
            break
        piece = os.read(pipe, 1 << 16)
        if not piece:
            return bytes(kept), True
        kept += piece[: OUTPUT_BYTES - len(kept)]
    return bytes(kept), False


def _exit_code(process: subprocess.Popen[bytes], deadline: float) -> int | None:
    """As the process ends; None if it only closed its output and goes on until the deadline."""
    try:
        return process.wait(max(0.05, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None


def _protection(installed: bytes) -> Protection:
    try:
        told = json.loads(installed)
    except ValueError:
        raise _refusal("the process that was to be locked down did not start") from None
    if "error" in told:
        raise _refusal(told["error"])
    return Protection(**told)


def _refusal(why: str) -> RequestError:
    return RequestError(
        f"code from an answer cannot be run safely here: {why}",
        remedy="use another verifier, or a Linux system with seccomp or user namespaces",
    )


def _remove(directory: str) -> None:
    """Delete what a program left, as far as that can be done.

    Directories are moved side by side first: a program may nest them deeper than Python can follow
    and `rm` can quickly, and choose modes that hinder.
    """
    with suppress(OSError):
        beside = tempfile.mkdtemp(prefix="foreknown-")
        n_moved, waiting = 0, [directory]
        while waiting:
            folder = waiting.pop()
            for entry in list(os.scandir(folder)):
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                moved = os.path.join(beside, str(n_moved))
                os.rename(entry.path, moved)
                waiting.append(moved)
                n_moved += 1
            os.rmdir(folder)
        os.rmdir(beside)
