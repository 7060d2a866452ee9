"""A machine that forecasts are made for in tests."""

from __future__ import annotations

from foreknown.machine import Machine

MACHINE = Machine(
    "a machine",
    2,
    ((1 << 20, 50.0),),
    100.0,
    400.0,
    2.0,
    noise=0.04,
    idle_watts=8.0,
    busy_watts=20.0,
    watts_from="made up",
    usd_per_hour=0.1,
)
