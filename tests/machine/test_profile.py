"""A machine's text: it reads back, people can read it, and what makes no sense is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreknown.errors import MachineError
from foreknown.machine import machine_toml, read_machine, write_machine
from tests.machine.random_machines import random_machine


@pytest.mark.parametrize("seed", range(4))
def test_kernels_read_back(tmp_path: Path, seed: int) -> None:
    machine = random_machine(seed)
    write_machine(machine, tmp_path / "m.toml")
    assert read_machine(tmp_path / "m.toml") == machine


def test_people_find_units_in_it() -> None:
    text = machine_toml(random_machine(1))
    assert "working set in bytes, 1e9 bytes a second" in text
    assert "*_us microseconds" in text
    estimate = machine_toml(replace(random_machine(1), estimated=True))
    assert estimate.startswith("# An estimate from the processor's features")


@pytest.mark.parametrize(
    ("line", "damaged", "message"),
    [
        ("busy_watts = 95.5000", "busy_watts = 2.0", "does not draw"),
        ("idle_watts = 20.0000", "idle_watts = -1.0", "not what a machine draws"),
        ("usd_per_hour = 0.0900", "usd_per_hour = 1e9", "no price"),
        ("usd_per_hour = 0.0900", "usd_per_hour = nan", "no price"),
        ("noise = 0.0700", "noise = -0.5", "noise"),
        ("first_touch_gb_s = 2.0000", "first_touch_gb_s = 0.0", "first_touch_gb_s"),
        ("tokens = [1, 2, 5,", "tokens = [1, 5, 2,", "ascending"),
        ("tokens = [1, 2, 5,", "tokens = [1, 5,", "same length"),
        ("[9437184, 0.000]", "[9437184, -1.0]", "ascending parts of working sets, from 0 to 1"),
        ("[9437184, 0.000]", "[9437184, nan]", "ascending parts of working sets, from 0 to 1"),
        ("[33554432, 0.750]", "[33554432, 0.05]", "ascending parts of working sets"),
        ("[268435456, 1.000]", "[268435456, 1.5]", "from 0 to 1"),
        ("[9437184, 0.000]", "[0, 0.0]", "streamed_shares are not of ascending working sets"),
        ("[16777216, 0.125]", "[9437184, 0.125]", "streamed_shares are not of ascending"),
        ("element_ps.cheap", "element_ps.cheep", "cannot be read"),
        ("format = 7", "format = 4", "another format"),
        ("[kernels.engine]", "[kernels.motor]", "cannot be read"),
    ],
)
def test_damage_is_told(tmp_path: Path, line: str, damaged: str, message: str) -> None:
    refusal(tmp_path / "m.toml", line, damaged, message)


@pytest.mark.parametrize(
    ("line", "damaged", "message"),
    [
        ("usd_per_hour = 0.0900", "usd_per_hour = true", "usd_per_hour is true, where a number"),
        ("quiet = true", 'quiet = "no"', "quiet is 'no', where true or false"),
        ("estimated = false", "estimated = 1", "estimated is 1, where true or false"),
        ('watts_from = "a test"', "watts_from = 7", "watts_from is 7, where text"),
        ("threads = 2", "threads = 2\nextra = 1", "extra is unknown: known are name, threads"),
        ("threads = 2", "threads = 2.5", "threads is 2.5, where a whole number"),
        ('features = ["avx2", "fma"]', 'features = "avx2"', "features is 'avx2', where a list"),
        ("[1048576, 120.000]", "[inf, 120.000]", "read_gb_s is .* where a list of pairs"),
        ("[1048576, 120.000]", "[1048576]", "read_gb_s is .* where a list of pairs"),
        ("[9437184, 0.000]", "[inf, 0.0]", "streamed_shares of kernels is .* a list of pairs"),
        ("streamed_shares = [", "shares = [", "streamed_shares of kernels is missing"),
        ("step_us = ", "step_us = 'a' # ", "step_us of kernels.engine is 'a', where a number"),
        ('weights = "f32"', "weights = 5", "weights of kernels.products 1 is 5, where text"),
        ('weights = "f32"', 'weights = "f64"', "weights of kernels.products 1 is 'f64', where one"),
        ('weights = "f32"', 'weights = "bf16"', "two tables whose weights is bf16"),
        ('kept = "bf16"', "kept = 5", "kept of kernels.attention 2 is 5, where text"),
        ('kept = "bf16"', 'kept = "int4"', "where one of f32, bf16, int8"),
        ('steps = "few"', "steps = 5", "steps of kernels.rows 2 is 5, where text"),
        ('steps = "few"', 'steps = "some"', "where one of alone, few, many"),
        ("tokens = [1, 2, 5,", 'tokens = ["1", 2, 5,', "tokens of kernels.products 1 is .* whole"),
        ("streamed_ps = [", 'streamed_ps = ["a", ', "streamed_ps of kernels.products 1 .* numbers"),
        ("streamed_ps = [", "streamed_ps = 5 # ", "streamed_ps of kernels.products 1 is 5"),
        (
            "element_ps.cheap",
            "element_ps.cheep",
            "cheap of element_ps of kernels.rows 1 is missing",
        ),
        ("element_ps.cheap", "element_ps.more = 1\nelement_ps.cheap", "more of element_ps of"),
        (
            "barrier_us = 0.2500",
            "barrier_us = 1e300",
            "barrier_us is 1e\\+300, where a number from",
        ),
        ("f32_gflop_s = 60.0000", "f32_gflop_s = 1e-300", "f32_gflop_s is 1e-300, where a number"),
        ("f32_gflop_s = 60.0000", f"f32_gflop_s = 1{'0' * 400}", "f32_gflop_s is 1000000"),
        ("format = 7\n", "", "format is missing, where 7 is expected"),
        ("format = 7", "format = [4]", "of another format: .4., where 7 is expected"),
        ("name = ", f"name = {'[' * 100_000} # ", "too deep"),
    ],
)
def test_every_field_has_its_type(tmp_path: Path, line: str, damaged: str, message: str) -> None:
    refused = refusal(tmp_path / "m.toml", line, damaged, message)
    assert "foreknown calibrate" in refused.remedy


def refusal(path: Path, line: str, damaged: str, message: str) -> MachineError:
    """What is said of a profile one line of which is damaged."""
    text = machine_toml(random_machine(2))
    assert line in text
    path.write_text(text.replace(line, damaged, 1))
    with pytest.raises(MachineError, match=message) as refused:
        read_machine(path)
    assert refused.value.where == str(path)
    return refused.value


def test_one_thread_has_no_lone_tokens_apart(tmp_path: Path) -> None:
    machine = random_machine(2, threads=1)
    assert machine.kernels is not None
    rows = machine.kernels.rows
    few = replace(machine, kernels=replace(machine.kernels, rows=rows[1:]))
    write_machine(few, tmp_path / "m.toml")
    assert read_machine(tmp_path / "m.toml") == few
    write_machine(
        replace(machine, kernels=replace(machine.kernels, rows=rows[:2])), tmp_path / "m.toml"
    )
    with pytest.raises(MachineError, match="no table whose steps are many"):
        read_machine(tmp_path / "m.toml")


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    text, path = machine_toml(random_machine(2)), tmp_path / "m.toml"
    kernels = text.index("[kernels]")
    for n in (
        0,
        9,
        60,
        kernels // 2,
        kernels + 10,
        text.rindex("[[kernels.rows]]"),
        len(text) - 50,
    ):
        path.write_text(text[:n])
        with pytest.raises(MachineError, match=r"the machine's profile cannot be read: ."):
            read_machine(path)


def test_what_is_no_profile_at_all(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(MachineError, match="it is not text"):
        read_machine(path)
    with pytest.raises(MachineError, match="more than 1048576 bytes"):
        read_machine(Path("/dev/zero"))
    with pytest.raises(MachineError, match="Is a directory"):
        read_machine(tmp_path)


def test_damage_is_always_told_as_ours(tmp_path: Path) -> None:
    chance, path = random.Random(), tmp_path / "m.toml"
    whole = machine_toml(random_machine(2)).encode()
    words = [b"inf", b"nan", b"true", b"[]", b"{}", b'""', b"-1", b"1e308", b"5", b"\x00", b""]
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 6)] = chance.choice(words)
        path.write_bytes(damaged)
        try:
            assert read_machine(path).threads
        except MachineError as error:
            assert error.where == str(path)  # noqa: PT017
            assert error.remedy  # noqa: PT017


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd_per_hour": -0.01},
        {"usd_per_hour": float("inf")},
        {"idle_watts": 1e7},
        {"busy_watts": float("nan")},
        {"idle_watts": 100.0, "busy_watts": 50.0},
    ],
)
def test_watts_and_prices_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(MachineError):
        replace(random_machine(3), **wrong)
