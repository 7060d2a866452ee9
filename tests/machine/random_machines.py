"""Machines with kernels' costs drawn at random, as they would be read from a profile."""

from __future__ import annotations

import random

from foreknown.machine import KernelCosts, Machine
from foreknown.machine.kernel_costs import (
    STEPS,
    AttentionCosts,
    EngineCosts,
    ProductTable,
    RowCosts,
)
from foreknown.machine.kernels import ROW_KINDS

FORMATS = ("f32", "bf16", "int8/32", "int8/64", "int4/32", "int4/64")


def random_kernels(seed: int) -> KernelCosts:
    """Costs between nothing and much; what is streamed is never cheaper than what is cached."""
    chance = random.Random(seed)

    def cost(most: float) -> float:
        return round(chance.uniform(0, most), 4)

    def table(weights: str) -> ProductTable:
        tokens = (1, 2, 5, 16, 64, 512)
        cached = [round(t * chance.uniform(1, 3), 4) for t in tokens]
        streamed = [round(c + cost(50), 4) for c in cached]
        rest = [[cost(most) for _ in tokens] for most in (9, 5, 4)]
        return ProductTable(weights, tokens, *map(tuple, (streamed, cached, *rest)))

    def attention(kept: str) -> AttentionCosts:
        cached = cost(30)
        return AttentionCosts(
            kept, *(cost(90) for _ in range(6)), round(cached + cost(40), 4), cached
        )

    return KernelCosts(
        ((9 << 20, 0.0), (16 << 20, 0.125), (32 << 20, 0.75), (256 << 20, 1.0)),
        tuple(map(table, FORMATS)),
        tuple(map(attention, ("f32", "bf16", "int8"))),
        tuple(
            RowCosts(kind, cost(2), cost(1), cost(50), tuple(cost(900) for _ in ROW_KINDS))
            for kind in STEPS
        ),
        EngineCosts(cost(80), cost(10), cost(1), cost(300), cost(200), cost(90), cost(150)),
    )


def random_machine(seed: int, threads: int = 2) -> Machine:
    """A machine whose bandwidth falls as its working set grows."""
    return Machine(
        name=f"machine {seed}",
        threads=threads,
        read_gb_s=((1 << 20, 120.0), (9 << 20, 100.0), (32 << 20, 30.0), (256 << 20, 20.0)),
        f32_gflop_s=60.0,
        int8_gop_s=500.0,
        barrier_us=0.25,
        kernels=random_kernels(seed),
        noise=0.07,
        idle_watts=20.0,
        busy_watts=95.5,
        watts_from="a test",
        usd_per_hour=0.09,
        features=("avx2", "fma"),
        date="2026-11-25",
    )
