"""What code that sets out to do harm comes to in the sandbox."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foreknown.strategies.verifiers.confine import CALLS, Refused, call_filter
from foreknown.strategies.verifiers.sandbox import OUTPUT_BYTES, protection, run_python

if not sys.platform.startswith("linux"):
    pytest.skip("the sandbox is Linux's", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("nothing_stays")


def tried(code: str, **limits: Any) -> str:
    """What code that is to do harm prints, errors included; it must not get through."""
    return run_python(code, **{"seconds": 20, "memory_mib": 256, **limits}).output


def test_a_loop_ends() -> None:
    start = time.monotonic()
    outcome = run_python("while True: pass", seconds=0.3, memory_mib=256)
    assert outcome.exit_code is None
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import os, time\nos.close(1); os.close(2); time.sleep(60)",
        "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ntime.sleep(60)",
        "while True: print('x' * 1_000_000)",
        "import threading, time\nfor _ in range(9):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()",
    ],
)
def test_whatever_it_does_time_ends(code: str) -> None:
    start = time.monotonic()
    assert run_python(code, seconds=0.15, memory_mib=256).exit_code is None
    assert time.monotonic() - start < 5


def test_output_is_bounded_and_the_rest_thrown_away() -> None:
    outcome = run_python(
        "import sys\nfor n in range(50): sys.stdout.write(f'{n:09}' * 100_000)",
        seconds=30,
        memory_mib=256,
    )
    assert outcome.exit_code == 0
    assert len(outcome.output) == OUTPUT_BYTES
    assert outcome.output.startswith("000000000")


def test_memory_ends() -> None:
    assert "MemoryError" in tried("x = []\nwhile True: x.append(bytearray(1 << 24))")
    code = "import mmap\nmaps = []\nwhile True: maps.append(mmap.mmap(-1, 1 << 26))"
    assert "Cannot allocate memory" in tried(code)


def test_a_fork_bomb_never_starts() -> None:
    # Bounded, should the sandbox be broken: each process tries 4 times, 3 levels deep.
    bomb = (
        "import os\nn = 0\nfor level in range(3):\n    for _ in range(4):\n        try:\n"
        "            pid = os.fork()\n            n += 1\n            if pid == 0: break\n"
        "        except OSError as error: last = error\nprint(n, last)\n"
    )
    assert tried(bomb).startswith("0 [Errno 1]")
    assert "PermissionError" in tried("import subprocess; subprocess.run(['true'])")
    assert "PermissionError" in tried("import os; os.posix_spawn('/bin/true', ['true'], {})")
    assert "Error" in tried("import os; os.system('true') and 1/0")


def test_files_outside_cannot_be_touched(tmp_path: Path) -> None:
    if not protection().landlock:
        pytest.skip("this kernel has no Landlock")
    victim = tmp_path / "victim"
    victim.write_text("whole")
    folder = tmp_path / "folder"
    folder.mkdir()
    mode, changed = victim.stat().st_mode, victim.stat().st_mtime_ns
    attempts = (
        "open(v, 'w')", "open(v, 'a')", "open(v, 'r+')", "os.open(v, os.O_RDONLY | os.O_TRUNC)",
        "os.truncate(v, 0)", "os.unlink(v)", "os.rename(v, 'mine')", "os.rename('program.py', v)",
        "os.link('program.py', v + '2')", "os.symlink('a', v + '2')", "os.mkdir(v + '2')",
        "os.rmdir(f)", "os.chmod(v, 0)", "os.chown(v, 1, 1)", "os.utime(v, (0, 0))",
        "os.mkfifo(v + '2')", "os.mknod(v + '2')", "os.setxattr(v, 'user.a', b'b')",
        "open('/proc/%d/oom_score_adj' % os.getppid(), 'w')",
        "open('/proc/%d/mem' % os.getppid(), 'r+b')",
    )  # fmt: skip
    code = f"import os\nv, f = {str(victim)!r}, {str(folder)!r}\n" + "".join(
        f"try:\n    {attempt}\n    print('through:', {attempt!r})\nexcept OSError: print('no')\n"
        for attempt in attempts
    )
    assert tried(code).split("\n") == ["no"] * len(attempts) + [""]
    assert victim.read_text() == "whole"
    assert (victim.stat().st_mode, victim.stat().st_mtime_ns) == (mode, changed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "temporary", "victim"]


def test_a_file_has_a_largest_size() -> None:
    assert "File too large" in tried("open('a', 'wb').write(bytes(20 << 20))")


def test_open_files_are_few() -> None:
    assert "Too many open files" in tried("f = [open('program.py') for _ in range(200)]")


def test_what_is_left_is_deleted_however_deep_and_locked() -> None:
    deep = "import os\nfor _ in range(400):\n    os.mkdir('d'); os.chdir('d')\n"
    locked = "os.mkdir('locked', 0)\nos.symlink('/etc', 'link')\nos.mkfifo('pipe')\n"
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(300)  # so that 400 directories are as many as 1,100 otherwise
    try:
        assert run_python(deep + locked, seconds=20, memory_mib=256).exit_code == 0
    finally:
        sys.setrecursionlimit(usual)


def test_there_is_no_network() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    try:
        for code in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)",
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "import socket; socket.socket(socket.AF_UNIX)",
            "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/')",
        ):
            assert "Operation not permitted" in tried(code)
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
    finally:
        listener.close()


def test_others_cannot_be_signalled() -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        pids = (other.pid, os.getpid(), 0, -1)
        code = "import os, signal\nfor pid in {pids}:\n    try: os.kill(pid, {signal})\n"
        code += "    except OSError as error: print(error.errno)\n"
        told = tried(code.format(pids=(other.pid, os.getpid()), signal=9)).split()
        assert told == ["1", "1"]
        assert tried(code.format(pids=pids, signal=0)).split() == ["1"] * 4
        assert other.poll() is None
    finally:
        other.communicate()


def test_limits_cannot_be_raised() -> None:
    code = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    assert "Error" in tried(code)
    assert "PermissionError" in tried("import os; os.sched_setaffinity(os.getppid(), {0})")


def test_memory_that_outlives_processes_cannot_be_had() -> None:
    code = "import ctypes\nprint(ctypes.CDLL(None).shmget(0, 4096, 0o1600))"
    assert tried(code).strip() == "-1"


def test_nothing_of_ours_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREKNOWN_SECRET", "told")
    secret = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        told = tried("import os\nprint(dict(os.environ), sorted(os.listdir('/proc/self/fd')))")
    finally:
        os.close(secret)
    environment, _, files = told.partition("} ")
    assert set(re.findall(r"'(\w+)':", environment)) <= {"LC_CTYPE"}
    assert files.strip() == "['0', '1', '2', '3']"  # 3 is the listing itself
    environs = f"open('/proc/{os.getpid()}/environ').read()"
    assert "Permission" in tried(environs)


# The filter.


def test_numbers_of_system_calls_are_those_of_the_kernels_headers() -> None:
    ziglang = pytest.importorskip("ziglang", reason="its headers are compared with")
    headers = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
    for column, name in enumerate(("x86-linux-any", "aarch64-linux-any")):
        text = (headers / name / "asm" / "unistd_64.h").read_text()
        known = {n: int(x) for n, x in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
        assert {call: numbers[column] for call, numbers in CALLS.items()} == {
            call: known.get(call) for call in CALLS
        }


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_way_through_the_filter_ends(machine: str) -> None:
    program = call_filter(machine, 1234)
    assert len(program) < 4096  # the kernel's most
    for place, (code, yes, no, _) in enumerate(program):
        if code & 0x07 == 0x05:  # a jump
            assert place + 1 + max(yes, no) < len(program)
    assert program[-1][0] == 0x06


def test_an_architecture_that_is_not_known_has_no_filter() -> None:
    with pytest.raises(Refused, match="riscv64"):
        call_filter("riscv64", 1)


def test_the_second_table_of_system_calls_is_shut() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("x86 alone has one")
    assert ctypes.sizeof(ctypes.c_long) == 8
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.syscall(ctypes.c_long(0x40000000 | 41), 2, 1, 0), ctypes.get_errno())"
    )
    assert tried(code).split() == ["-1", "38"]  # no such call
