"""What tests of forecasts share: a machine, and the keys that are documented."""

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
DOCUMENTED = {
    "ttft_ms",
    "tpot_ms",
    "total_ms",
    "tok_s",
    "memory_bytes",
    "joules",
    "usd",
    "interval",
    "bound_by",
    "machine",
    "provenance",
}
