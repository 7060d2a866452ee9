"""From C to a shared object: which compiler, for which machine, and never twice."""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path

import pytest

from foreknown.errors import ToolchainError
from foreknown.targets.cpu import toolchain
from foreknown.targets.cpu.toolchain import (
    RUNTIME,
    TARGETS,
    cache_directory,
    cached_shared_object,
    can_run,
    compiler,
    disassemble,
    find_target,
)

SOURCE = '#include "fk.h"\n__attribute__((visibility("default"))) int answer(void) { return %d; }\n'


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without objects; zig keeps its own, which takes long to make."""
    zig = cache_directory() / "zig"
    zig.mkdir(parents=True, exist_ok=True)
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "zig").symlink_to(zig, target_is_directory=True)
    monkeypatch.setenv("FOREKNOWN_CACHE", str(cache))
    return cache


def answer(made: Path) -> int:
    return int(ctypes.CDLL(str(made)).answer())


def never(*args: object) -> None:
    raise AssertionError("the compiler ran")


def test_a_kept_object_is_not_compiled_again(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = find_target("host")
    made = cached_shared_object(SOURCE % 41, host)
    assert answer(made) == 41
    assert made.parent == empty_cache / "objects"
    assert [p.name for p in made.parent.iterdir()] == [made.name]  # nothing else is left
    monkeypatch.setattr(toolchain, "_run", never)
    assert cached_shared_object(SOURCE % 41, host) == made
    with pytest.raises(AssertionError):
        cached_shared_object(SOURCE % 42, host)


@pytest.mark.usefixtures("empty_cache")
def test_whatever_makes_an_object_is_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source, target, compiler, flags and headers each give another object."""
    host = find_target("host")
    asked: list[Path] = []

    def pretend(command: list[str], source: str, made: Path, directory: Path) -> None:
        asked.append(made)
        made.write_bytes(b"")

    monkeypatch.setattr(toolchain, "_run", pretend)
    names = {cached_shared_object(SOURCE % 1, host).name}
    names.add(cached_shared_object(SOURCE % 2, host).name)
    names.add(cached_shared_object(SOURCE % 1, TARGETS["aarch64"]).name)
    monkeypatch.setattr(toolchain, "FLAGS", (*toolchain.FLAGS, "-g"))
    names.add(cached_shared_object(SOURCE % 1, host).name)
    headers = tmp_path / "runtime"
    shutil.copytree(RUNTIME, headers)
    with (headers / "fk.h").open("a") as file:
        file.write("/* another */\n")
    monkeypatch.setattr(toolchain, "RUNTIME", headers)
    names.add(cached_shared_object(SOURCE % 1, host).name)
    monkeypatch.setenv("FOREKNOWN_CC", "gcc -fno-inline")
    names.add(cached_shared_object(SOURCE % 1, host).name)
    assert len(names) == len(asked) == 6


def test_another_compiler_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREKNOWN_CC", "'/opt/my cc/gcc' -v")
    command = compiler(TARGETS["x86-64-v3"])
    assert command[:3] == ["/opt/my cc/gcc", "-v", "-march=x86-64-v3"]
    assert compiler(TARGETS["aarch64"])[2] == "-march=armv8-a"
    assert "-ffp-contract=off" in command


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_another_compiler_compiles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("FOREKNOWN_CC", name)
    assert answer(cached_shared_object(SOURCE % 7, find_target("host"))) == 7


@pytest.mark.usefixtures("empty_cache")
def test_a_compiler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREKNOWN_CC", "/no/such/compiler")
    with pytest.raises(ToolchainError, match="could not be started") as raised:
        cached_shared_object(SOURCE % 1, find_target("host"))
    assert raised.value.where == "/no/such/compiler"


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREKNOWN_CC", raising=False)
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(ToolchainError, match="no C compiler was found") as raised:
        compiler(find_target("host"))
    assert "FOREKNOWN_CC=gcc" in raised.value.remedy


def test_source_that_the_compiler_refuses(empty_cache: Path) -> None:
    with pytest.raises(ToolchainError, match="refused the generated source") as raised:
        cached_shared_object("int broken(void) { return nothing; }", find_target("host"))
    assert "nothing" in raised.value.where
    assert "report it" in raised.value.remedy
    assert not list((empty_cache / "objects").iterdir())


def test_a_call_of_what_no_library_here_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOREKNOWN_CC", raising=False)
    seen = '__attribute__((visibility("default")))'
    source = f"{seen} void divide(__int128 *a, const __int128 *b) {{ *a /= *b; }}"
    with pytest.raises(ToolchainError, match="refused the generated source") as raised:
        cached_shared_object(source, find_target("host"))
    assert "__divti3" in raised.value.where


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("FOREKNOWN_CACHE", str(file))
    with pytest.raises(ToolchainError, match="cannot be kept") as raised:
        cached_shared_object(SOURCE % 1, find_target("host"))
    assert "FOREKNOWN_CACHE" in raised.value.remedy


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREKNOWN_CACHE", "/somewhere")
    assert cache_directory() == Path("/somewhere")
    monkeypatch.delenv("FOREKNOWN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/foreknown")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "foreknown"


def test_the_host_is_the_best_target_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_run(find_target("host"))
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "x86_64")
    for features, name in (
        (TARGETS["x86-64-v4"].needs, "x86-64-v4"),
        (TARGETS["x86-64-v3"].needs, "x86-64-v3"),
    ):
        monkeypatch.setattr(toolchain, "host_features", lambda f=features: frozenset(f))
        assert find_target("host").name == name
    monkeypatch.setattr(toolchain, "host_features", lambda: frozenset({"sse2"}))
    with pytest.raises(ToolchainError, match="no target fits"):
        find_target("host")
    monkeypatch.setattr(toolchain.platform, "machine", lambda: "aarch64")
    assert find_target("host").name == "aarch64"
    assert not can_run(TARGETS["x86-64-v3"])


def test_a_target_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(ToolchainError) as raised:
        find_target("avx1024")
    assert all(name in raised.value.remedy for name in TARGETS)


def test_assembly_can_be_read() -> None:
    if not (shutil.which("objdump") or shutil.which("llvm-objdump")):
        pytest.skip("no disassembler is installed")
    assert "answer" in disassemble(cached_shared_object(SOURCE % 41, find_target("host")))
