"""Kernels' costs: tables over tokens, shares of threads, experts who are shared."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknown.machine.kernel_costs import (
    LONE_PANEL,
    EngineCosts,
    ProductTable,
    padded_outputs,
)
from foreknown.machine.kernels import (
    Attention,
    Kernel,
    Product,
    Recurrence,
    Rows,
    kernel_record,
    read_kernel,
)
from tests.machine.random_machines import random_kernels, random_machine

TABLE = ProductTable(
    "int4/32",
    (1, 2, 4),
    (30.0, 40.0, 80.0),
    (20.0, 40.0, 80.0),
    (1.0, 2.0, 4.0),
    (3.0, 3.0, 5.0),
    (0.5, 0.5, 0.0),
)


def test_between_and_beyond_what_was_measured() -> None:
    product = Product("int4/32", 64, 1000)
    at = {t: TABLE.line(product, t, 2) for t in (1, 2, 3, 4, 8)}
    assert at[1].streamed == pytest.approx(64e3 * 30e-12 + 64e-9 + 3.5e-6)
    assert at[1].cached == pytest.approx(64e3 * 20e-12 + 64e-9 + 3e-6)
    assert at[3].cached == pytest.approx((at[2].cached + at[4].cached) / 2)
    assert at[8].cached == pytest.approx(64e3 * 160e-12 + 64 * 8e-9 + 9e-6)


@pytest.mark.parametrize(
    ("product", "threads", "outputs"),
    [
        (Product("int4/32", 64, 8), 2, 64),
        (Product("int4/32", 65, 8), 2, 128),  # three panels of 32: one thread has two
        (Product("bf16", 370, 8), 2, 384),  # twelve panels of 16 each, four at a time
        (Product("f32", 17, 8), 1, 32 * (1 + LONE_PANEL)),  # two, one by one
        (Product("bf16", 768, 8), 3, 768),
        (Product("bf16", 576, 8), 2, 576 + 2 * 2 * 16 * LONE_PANEL),  # two beside sixteen, twice
        (Product("bf16", 65, 8, matrices=3), 4, 256 + 256 / 5 * LONE_PANEL),  # one of each five
    ],
)
def test_outputs_count_in_whole_panels_of_every_thread(
    product: Product, threads: int, outputs: float
) -> None:
    assert padded_outputs(product, threads) == pytest.approx(outputs)


def test_who_shares_an_expert_shares_its_bytes() -> None:
    product = Product("int4/32", 64, 1000, experts=4, chosen=2)
    one, many = (TABLE.line(product, t, 2) for t in (1, 1000))
    extra = 64e3 * 10e-12  # of one expert from memory
    assert one.streamed - one.cached == pytest.approx(2 * extra + 0.5e-6)
    assert many.streamed - many.cached == pytest.approx(4 * extra + 0.5e-6)
    assert many.cached > 900 * (one.cached - 3e-6)


@given(st.integers(0, 9), st.integers(1, 600), st.integers(1, 8))
def test_more_tokens_attend_longer(seed: int, tokens: int, threads: int) -> None:
    costs = random_kernels(seed).attend("int8")
    assert costs is not None
    attention = Attention("int8", 14, 2, 64, 64, kept_bytes=272)
    here, more = (costs.line(attention, t, threads) for t in (tokens, tokens + threads))
    assert more.cached >= here.cached >= 0
    assert here.kept_streamed >= here.kept_cached
    assert here.streamed == here.cached  # what comes from memory is its state


def test_the_engine_pays_for_rows_tokens_and_logits() -> None:
    engine = EngineCosts(step_us=10, row_us=2, token_us=0.5, prompt_us=100, logit_ps=500)
    assert engine.seconds(4, 4, 1000) == pytest.approx(10e-6 + 8e-6 + 2e-6 + 2e-6)
    assert engine.seconds(20, 0, 1000) == pytest.approx(10e-6 + 10e-6 + 100e-6)


@given(st.integers(1, 1 << 30), st.integers(1, 1 << 30))
def test_the_streamed_share_grows_with_the_working_set(a: int, b: int) -> None:
    machine = random_machine(0)
    small, large = (machine.streamed_share(size) for size in sorted((a, b)))
    assert 0.0 <= small <= large <= 1.0
    assert machine.streamed_share(9 << 20) == 0.0
    assert machine.streamed_share(24 << 20) == pytest.approx((0.125 + 0.75) / 2)
    assert machine.streamed_share(256 << 20) == machine.streamed_share(257 << 20) == 1.0
    assert replace(machine, kernels=None).streamed_share(1 << 20) == 1.0


@pytest.mark.parametrize(
    "kernel",
    [
        Product("int8/64", 100, 64, experts=8, chosen=2),
        Attention("bf16", 8, 2, 64, 128, window=512, kept_bytes=1024.0),
        Rows((("cheap", 12.0), ("kilobytes", 0.5))),
        Recurrence(640),
    ],
)
def test_a_kernel_reads_back(kernel: Kernel) -> None:
    assert read_kernel(kernel_record(kernel)) == kernel
