"""What a forecast says of where its numbers come from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foreknown.machine import Machine
from foreknown.report.provenance import estimate_texts, machine_origin
from tests.report.machines import MACHINE

MEASURED = replace(MACHINE, date="2030-01-31")


@pytest.mark.parametrize(
    ("machine", "said", "unsaid"),
    [
        (MEASURED, "measured by foreknown calibrate on 2030-01-31", "others"),
        (replace(MEASURED, quiet=False), "on 2030-01-31, while others computed", "estimate"),
        (replace(MEASURED, date=""), "measured by foreknown calibrate", " on "),
        (replace(MEASURED, estimated=True), "estimate from the processor's features", "measured"),
    ],
)
def test_how_a_machine_is_known(machine: Machine, said: str, unsaid: str) -> None:
    origin = machine_origin(machine)
    assert said in origin
    assert unsaid not in origin


def test_what_part_of_the_time_is_an_estimate() -> None:
    shares = [("scan", 0.412), ("other", 0.001)]
    assert estimate_texts(shares) == ["estimate: scan, 41 % of the time"]
    assert estimate_texts([]) == []
