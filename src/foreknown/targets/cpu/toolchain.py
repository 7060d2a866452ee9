"""Turns generated C into a shared object, for this machine or another, with no system compiler.

The compiler is the clang inside the `ziglang` package; `FOREKNOWN_CC` names another (a command
line, as for gcc or clang). Objects are kept in the user's cache by the digest of everything that
made them, so the same source is never compiled twice.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foreknown.errors import ToolchainError

RUNTIME = Path(__file__).parent / "runtime"
FLAGS = (
    *("-std=gnu11", "-g0", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fvisibility=hidden", "-fPIC", "-shared", "-pthread", "-Wall", "-Wno-unknown-pragmas"),
    *("-Wno-unused-variable", "-Wno-unused-but-set-variable", "-Wno-psabi"),
)
OWN_FLAGS = ("-fno-gcse-after-reload", "-Wno-ignored-optimization-argument")
"""Of a compiler that a user named: gcc takes minutes to seek there what it hardly ever finds."""


@dataclass(frozen=True)
class Target:
    """An instruction set to compile for.

    Attributes:
        name: as on the command line.
        triple: zig's name of the processor and system.
        cpu: zig's name of the instruction set.
        flags: the same for gcc and clang.
        needs: features that a machine must report to run it.
        tuning: more flags for whichever compiler, that change its choices but no bits.
    """

    name: str
    triple: str
    cpu: str
    flags: tuple[str, ...]
    needs: tuple[str, ...]
    tuning: tuple[str, ...] = ()


_AVX2 = ("avx2", "fma", "f16c", "bmi2")
_AVX512 = (*_AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl")
_WIDE = "-mprefer-vector-width=512"
"""Compilers shy away from whole registers of AVX-512 unless told that they pay."""
_ALONE = ("-rtlib=none", "-Wl,-z,defs")
"""Of zig: without its own library, which takes six seconds to build. Code here calls nothing of it,
or is refused."""
_X86, _ARM = "x86_64-linux-gnu.2.28", "aarch64-linux-gnu.2.28"
TARGETS = {
    t.name: t
    for t in (
        Target("x86-64-v3", _X86, "x86_64_v3", ("-march=x86-64-v3",), _AVX2),
        Target("x86-64-v4", _X86, "x86_64_v4", ("-march=x86-64-v4",), _AVX512, (_WIDE,)),
        Target(
            "x86-64-v4-vnni",
            _X86,
            "x86_64_v4+avx512vnni",
            ("-march=x86-64-v4", "-mavx512vnni"),
            (*_AVX512, "avx512_vnni"),
            (_WIDE,),
        ),
        Target("aarch64", _ARM, "generic", ("-march=armv8-a",), ()),
        Target(
            "aarch64-dotprod", _ARM, "generic+dotprod", ("-march=armv8.2-a+dotprod",), ("asimddp",)
        ),
    )
}
"""From least to most of each processor: the last that a machine can run is its own."""


@cache
def host_features() -> frozenset[str]:
    """The processor's features as the system names them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def find_target(name: str) -> Target:
    """The target of a name; "host" is the best that this machine can run.

    Raises:
        ToolchainError: no such target, or the host is none of them.
    """
    if name != "host":
        if name not in TARGETS:
            raise ToolchainError(
                f"there is no target {name!r}", remedy=f"choose host or one of {', '.join(TARGETS)}"
            )
        return TARGETS[name]
    for target in reversed(TARGETS.values()):
        if can_run(target):
            return target
    raise ToolchainError(
        f"no target fits this machine ({platform.machine()})",
        remedy="x86-64 with AVX2 and FMA, or 64-bit Arm, is needed",
    )


def lacking(target: Target) -> list[str]:
    """Names of the target's instructions that this machine has not."""
    if not target.triple.startswith(platform.machine()):
        return ["all of another processor's"]
    return sorted(set(target.needs) - host_features())


def can_run(target: Target) -> bool:
    """Whether this machine has the target's instructions."""
    return not lacking(target)


def compiler(target: Target) -> list[str]:
    """The command that compiles for a target, without files.

    Raises:
        ToolchainError: no compiler is installed.
    """
    own = os.environ.get("FOREKNOWN_CC")
    if own:
        return [*shlex.split(own), *target.flags, *target.tuning, *FLAGS, *OWN_FLAGS]
    try:
        import ziglang
    except ImportError:
        raise ToolchainError(
            "no C compiler was found",
            where="the ziglang package is not installed and FOREKNOWN_CC is not set",
            remedy="pip install 'foreknown[compile]', or set FOREKNOWN_CC=gcc",
        ) from None
    zig = str(Path(ziglang.__file__).parent / "zig")
    goal = ("-target", target.triple, f"-mcpu={target.cpu}")
    return [zig, "cc", *goal, *_ALONE, *target.tuning, *FLAGS]


def cache_directory() -> Path:
    """Where compiled things are kept: FOREKNOWN_CACHE, or the system's place for caches."""
    own = os.environ.get("FOREKNOWN_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "foreknown"


def cached_shared_object(source: str, target: Target) -> Path:
    """The shared object of one C file and the runtime's headers, compiled if it is not kept yet.

    Raises:
        ToolchainError: the compiler is missing or refuses the source.
    """
    command = compiler(target)
    digest = hashlib.sha256("\0".join([*command, source]).encode())
    for header in sorted(RUNTIME.iterdir()):
        digest.update(header.read_bytes())
    kept = cache_directory() / "objects" / f"{digest.hexdigest()[:32]}.so"
    try:
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as directory:
                made = Path(directory) / "program.so"
                _run(command, source, made, Path(directory))
                os.replace(made, kept)
    except OSError as error:
        raise ToolchainError(
            f"the compiled program cannot be kept: {error.strerror or error}",
            where=str(kept.parent),
            remedy="free some space, or name a directory to write to in FOREKNOWN_CACHE",
        ) from None
    return kept


def _run(command: list[str], source: str, made: Path, directory: Path) -> None:
    file = directory / "program.c"
    file.write_text(source)
    full = [*command, f"-I{RUNTIME}", "-o", str(made), str(file)]
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache_directory() / "zig")}
    environment["ZIG_LOCAL_CACHE_DIR"] = environment["ZIG_GLOBAL_CACHE_DIR"]
    try:
        done = subprocess.run(full, capture_output=True, text=True, env=environment, check=False)
    except OSError as error:
        raise ToolchainError(f"the compiler could not be started: {error}", where=full[0]) from None
    if done.returncode or not made.exists():
        raise ToolchainError(
            "the compiler refused the generated source",
            where=done.stderr.strip()[:2000] or shlex.join(full),
            remedy="this is a defect of Foreknown: please report it with the message above",
        )


def disassemble(shared_object: Path) -> str:
    """The machine code as assembly, by whichever disassembler the system has.

    Raises:
        ToolchainError: there is none.
    """
    for tool in ("objdump", "llvm-objdump"):
        found = shutil.which(tool)
        if found:
            command = [found, "-d", "--no-show-raw-insn", str(shared_object)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    raise ToolchainError(
        "no disassembler was found", remedy="install binutils (objdump)", where=sys.platform
    )
