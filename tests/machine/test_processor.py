"""Processors' names, also where Linux tells only numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreknown.machine.processor import processor_name
from foreknown.machine.watts import OTHERS, estimated_watts


def core(implementer: str, part: str, number: int = 0) -> str:
    return (
        f"processor\t: {number}\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\n"
        f"CPU implementer\t: {implementer}\nCPU architecture: 8\nCPU variant\t: 0x3\n"
        f"CPU part\t: {part}\nCPU revision\t: 1\n\n"
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 7763\n\nmodel name\t: other\n", "AMD EPYC 7763"),
        (core("0x41", "0xd0c") + core("0x41", "0xd0c", 1), "Arm Neoverse N1"),
        (core("0x41", "0xd49"), "Arm Neoverse N2"),
        (core("0x41", "0xd40"), "Arm Neoverse V1"),
        (core("0x41", "0xd4f"), "Arm Neoverse V2"),
        (core("0x41", "0xd08"), "Arm Cortex-A72"),
        (core("0xc0", "0xac3"), "Ampere-1"),
        (core("0x41", "0xd05") + core("0x41", "0xd0b", 1), "Arm Cortex-A55 and Arm Cortex-A76"),
        (core("0x41", "0x123"), "processor 0x41/0x123"),
        (core("a", "core"), "processor a/core"),
        ("", "unknown processor"),
    ],
)
def test_names(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_name(tmp_path / "cpuinfo") == name


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert processor_name(tmp_path / "none") == "unknown processor"
    assert processor_name()


@pytest.mark.parametrize("part", [("0x41", "0xd0c"), ("0x41", "0xd4f"), ("0xc0", "0xac4")])
def test_their_watts_are_in_the_table(tmp_path: Path, part: tuple[str, str]) -> None:
    (tmp_path / "cpuinfo").write_text(core(*part))
    watts = estimated_watts(processor_name(tmp_path / "cpuinfo"), 1)
    assert (watts.idle, watts.busy) == (0.4, 1.4) != OTHERS
