"""Fits find the costs that measurements were made of, in spite of disturbed ones."""

from __future__ import annotations

import numpy as np
import pytest

from foreknown.machine.fit import (
    Seen,
    SeenSet,
    fit_attention,
    fit_products,
    fit_rows,
    fit_shares,
    fitted,
    not_negative,
    rows_each,
)
from foreknown.machine.kernels import ROW_KINDS, Attention, Product, Rows
from tests.machine.random_machines import random_kernels


@pytest.mark.parametrize("seed", range(5))
def test_no_cost_is_below_zero_and_none_could_be_better(seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((30, 6)), random.standard_normal(30)
    x = not_negative(a, b)
    gradient = a.T @ (b - a @ x)
    assert (x >= 0).all()
    assert (gradient <= 1e-8).all()  # no cost should be larger
    assert np.abs(gradient[x > 0]).max(initial=0.0) < 1e-8  # nor smaller


@pytest.mark.parametrize("seed", range(3))
def test_a_few_disturbed_measurements_count_little(seed: int) -> None:
    random = np.random.default_rng(seed)
    costs = random.uniform(1, 5, 3)
    features = random.uniform(0.1, 10, (60, 3))
    seconds = features @ costs * random.normal(1, 0.01, 60)
    seconds[random.permutation(60)[:4]] *= 3
    # what was disturbed adds at most eight percent
    assert fitted(features.tolist(), seconds.tolist()) == pytest.approx(costs, rel=0.13)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_products(threads: int) -> None:
    table = random_kernels(threads).product("int8/32")
    assert table is not None
    shapes = [(320, 96), (1000, 640), (64, 2000), (4096, 512), (700, 1536)]
    products = [Product("int8/32", n, k) for n, k in shapes]
    seen = []
    for tokens in table.tokens:
        for product in products:
            line = table.line(product, tokens, threads)
            for cold in (True, False):
                took = line.streamed if cold else line.cached
                seen.append(Seen((product,), tokens, False, 0.0, 0.0, cold, took))
    found = fit_products(seen, "int8/32", threads)
    assert found.tokens == table.tokens
    for column in ("streamed_ps", "cached_ps", "output_ns", "start_us", "cold_us"):
        assert getattr(found, column) == pytest.approx(getattr(table, column), rel=0.02, abs=0.05)


def test_what_cold_steps_took_tells_nothing_of_cached_ones() -> None:
    random = np.random.default_rng()
    table = random_kernels(5).product("int8/64")
    assert table is not None
    place, seen = 2, []
    tokens = table.tokens[place]
    for n, k in ((320, 128), (1024, 640), (64, 2048), (4096, 512), (704, 1536)):
        product = Product("int8/64", n, k)
        line = table.line(product, tokens, 2)
        cold_s = line.streamed * random.uniform(1, 3)
        seen.append(Seen((product,), tokens, False, 0.0, 0.0, True, cold_s))
        seen.append(Seen((product,), tokens, False, 0.0, 0.0, False, line.cached))
    found = fit_products(seen, "int8/64", 2)
    for column in ("cached_ps", "output_ns", "start_us"):
        (own,) = getattr(found, column)
        assert own == pytest.approx(getattr(table, column)[place], rel=0.02, abs=0.05)


def test_where_nothing_was_cached_all_costs_the_same() -> None:
    seen = [
        Seen((Product("f32", n, 100),), tokens, False, 0.0, 0.0, True, n * 1e-8)
        for n in (64, 640)
        for tokens in (1, 2)
    ]
    found = fit_products(seen, "f32", 2)
    assert found.cached_ps == found.streamed_ps
    assert found.cold_us == (0.0, 0.0)


def test_a_cold_start_takes_as_much_more_with_tokens_that_were_run_cold_only() -> None:
    table = random_kernels(4).product("int4/32")
    assert table is not None
    seen = []
    for tokens in (16, 64, 512):
        for n, k in ((320, 96), (1000, 640), (64, 2000), (4096, 512), (700, 1536)):
            product = Product("int4/32", n, k)
            line = table.line(product, tokens, 2)
            same = table.cold_us[table.tokens.index(64)] - table.cold_us[table.tokens.index(tokens)]
            cold_s = line.streamed + (same * 1e-6 if tokens == 512 else 0.0)
            seen.append(Seen((product,), tokens, False, 0.0, 0.0, True, cold_s))
            if tokens < 512:
                seen.append(Seen((product,), tokens, False, 0.0, 0.0, False, line.cached))
    found = fit_products(seen, "int4/32", 2)
    assert found.cold_us[2] == found.cold_us[1] == pytest.approx(table.cold_us[4], rel=0.02)
    assert found.start_us[2] == pytest.approx(table.start_us[5], rel=0.02, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_attention(seed: int) -> None:
    costs, random = random_kernels(seed).attend("bf16"), np.random.default_rng(seed)
    assert costs is not None
    seen = []
    for heads, groups, width in ((8, 8, 64), (8, 4, 64), (12, 4, 96), (16, 2, 128), (12, 2, 64)):
        kernel = Attention("bf16", heads, groups, width, width, kept_bytes=4.0 * groups * width)
        for tokens in (1, 2, 8, 64):
            attended, kept = random.uniform(50, 9e4, 2)
            line = costs.line(kernel, tokens, 2)
            for cold in (True, False):
                own = line.kept_streamed if cold else line.kept_cached
                took = line.cached + line.per_attended * attended + own * kept
                seen.append(Seen((kernel,), tokens, False, attended, kept, cold, took))
    found = fit_attention(seen, "bf16", 2)
    for one in seen:  # features go along with each other: it is the times that must come back
        (kernel,) = one.kernels
        assert isinstance(kernel, Attention)
        line = found.line(kernel, one.tokens, 2)
        own = line.kept_streamed if one.cold else line.kept_cached
        told = line.cached + line.per_attended * one.attended + own * one.kept
        assert told == pytest.approx(one.seconds, rel=0.02)


@pytest.mark.parametrize("steps", ["alone", "few", "many"])
def test_rows(steps: str) -> None:
    costs, random = random_kernels(7).row_phases(steps), np.random.default_rng(3)
    assert costs is not None
    alone = steps == "alone"
    seen = []
    for tokens in {"alone": (1,), "few": (2, 7, 16), "many": (64, 300)}[steps]:
        for _ in range(30):
            counts = random.uniform(0, 4000, len(ROW_KINDS)) * (random.random(len(ROW_KINDS)) < 0.6)
            kernel = Rows(tuple(zip(ROW_KINDS, map(float, counts), strict=True)))
            line = costs.line(kernel, rows_each(tokens, alone, 2))
            for cold in (True, False):
                took = line.streamed if cold else line.cached
                seen.append(Seen((kernel,), tokens, alone, 0.0, 0.0, cold, took))
    found = fit_rows(seen, steps, 2)
    assert found.element_ps == pytest.approx(costs.element_ps, rel=0.02, abs=1.0)
    assert found.steps == steps


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_working_sets(seed: int) -> None:
    costs = random_kernels(seed).attend("bf16")
    assert costs is not None
    kernels = tuple(
        Attention("bf16", 4 * groups, groups, 64, 64, kept_bytes=256.0 * groups)
        for groups in (2, 4, 8)
    )
    shares = (0.0, 0.07, 0.5, 0.9, 1.0)
    seen = []
    for number, share in enumerate(shares):
        tokens, kept, seconds = 5, 4000.0 * (number + 1), 0.0
        for kernel in kernels:
            line = costs.line(kernel, tokens, 2)
            memory = share * line.kept_streamed + (1 - share) * line.kept_cached
            seconds += line.cached + (line.per_attended + memory) * kept
        seen.append(SeenSet(1000 * (number + 1), kernels, tokens, kept, seconds))
    expected = [(1000 * (number + 1), share) for number, share in enumerate(shares)]
    assert fit_shares(seen, costs, 2) == tuple(expected)
    spoiled = [*seen[:2], SeenSet(3000, kernels, 5, 12000.0, 1.0), *seen[3:]]
    assert [share for _, share in fit_shares(spoiled, costs, 2)] == [0.0, 0.07, 0.95, 0.95, 1.0]
    assert fit_shares([SeenSet(1000, kernels, 5, 4000.0, 0.0)], costs, 2) == ((1000, 0.0),)
