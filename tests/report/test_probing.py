"""Calibration's measurements: every phase is seen cold and cached, and its costs follow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from foreknown.machine.kernels import Attention, Product, Rows
from foreknown.plan.costs import phase_cost, phase_kernels
from foreknown.plan.price import StepCosts, StepPrice, decode_shape, prompt_shape
from foreknown.report import engine_probe, probe_steps, probing
from foreknown.report.calibration import first_touch_gb_s, fitted_costs, seconds_of_others
from foreknown.report.engine_probe import engine_costs
from foreknown.report.probe_steps import NOTHING
from foreknown.report.probing import WAKINGS, WARMING, Rounds, build, load
from foreknown.targets.cpu.probes import Probe, ProbeLayer
from tests.machine.random_machines import random_machine
from tests.plan.test_price import Priced

SMALL = Probe("int8", 32, "f32", 64, (ProbeLayer(2, 2, 16, 96),))


@pytest.fixture(scope="module")
def rounds() -> Iterator[Rounds]:
    """Two rounds over a probe of one small layer, and few shapes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_steps, "BATCHES", (1, 2, 4))
        patch.setattr(probe_steps, "CONTEXTS", (9, 41))
        patch.setattr(probe_steps, "LONG", ((1, 200),))
        patch.setattr(probe_steps, "LONG_TOKENS", 96)
        patch.setattr(probe_steps, "PROMPTS", (16, 40, 96))
        patch.setattr(probe_steps, "SETS", (1 << 19, 1 << 20, 3 << 19, 1 << 30))
        patch.setattr(probing, "FLUSH_BYTES", 1 << 20)
        patch.setattr(engine_probe, "BATCHES", (1, 2))
        patch.setattr(engine_probe, "PROMPTS", (16, 96))
        made = Rounds(load(build([SMALL]), 2))
        made.run()
        made.run()
        yield made
        made.close()


def test_every_phase_is_seen_cold_and_cached(rounds: Rounds) -> None:
    seen = list(rounds.seen())
    (probe,) = rounds.probes
    assert all(one.seconds > 0 for one in seen)
    for cold in (True, False):
        own = [one for one in seen if one.cold == cold]
        kinds = {type(one.kernels[0]) for one in own}
        assert kinds == {Product, Attention, Rows}
        assert {one.tokens for one in own if not one.alone} >= {2, 4, 16, 40}
        lone = [one for one in own if one.alone and one.attended == 9]
        assert len(lone) == len(probe.plan.phases)
    assert any(one.tokens == 96 for one in seen if one.cold)
    assert not any(one.tokens == 96 for one in seen if not one.cold)


def test_a_step_counts_as_its_middle_mean_and_a_phase_by_its_share(rounds: Rounds) -> None:
    made = Rounds(rounds.probes)
    n_phases = len(rounds.probes[0].plan.phases)
    place = next(i for i, step in enumerate(made.steps) if step.shape.tokens == step.shape.rows > 1)
    samples = np.tile(1000 * np.arange(1, n_phases + 1), (10, 1))
    for number in range(6):  # most rounds are spoiled, each in another phase, and one badly
        samples[number, number] += 10**9 if number == 1 else 500
    made.samples[0, place, False] = list(samples)
    seconds = np.asarray([one.seconds for one in made.seen()])
    assert len(seconds) == n_phases
    mean = 1000 * n_phases * (n_phases + 1) / 2 + 500  # the middle two of four, five and one
    assert seconds.sum() == pytest.approx(mean / 1e9)
    assert seconds / seconds[0] == pytest.approx(np.arange(1, n_phases + 1))


def test_every_step_is_taken_in_every_round(rounds: Rounds) -> None:
    assert {len(rows) for rows in rounds.samples.values()} == {2}
    assert {s for _, s, cold in rounds.samples if cold} == set(range(len(rounds.steps)))
    assert 0 <= rounds.noise() < 10


def test_threads_are_awake_and_nothing_was_read_before_a_cold_step(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    program = rounds.probes[0].program
    step, timed = program.step, program.timed_step
    monkeypatch.setattr(probing, "flush", lambda *given: done.append("flush"))
    monkeypatch.setattr(
        program, "step", lambda batch: (done.append(f"step {len(batch.tokens)}"), step(batch))[1]
    )
    monkeypatch.setattr(
        program, "timed_step", lambda batch: (done.append("timed"), timed(batch))[1]
    )
    Rounds(rounds.probes).run()
    for place in [i for i, what in enumerate(done) if what == "flush"]:
        assert done[place + 1 : place + WAKINGS + 2] == ["step 0"] * WAKINGS + ["timed"]


def test_a_warm_step_comes_after_others_of_its_shape(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int]] = []
    program = rounds.probes[0].program
    step, timed = program.step, program.timed_step
    monkeypatch.setattr(
        program, "step", lambda batch: (done.append(("step", id(batch))), step(batch))[1]
    )
    monkeypatch.setattr(
        program, "timed_step", lambda batch: (done.append(("timed", id(batch))), timed(batch))[1]
    )
    made = Rounds(rounds.probes)
    made.run()
    nothing = ("step", id(NOTHING))
    warm = [
        place
        for place, (what, _) in enumerate(done)
        if what == "timed" and done[place - 1] != nothing
    ]
    n_warm = sum(not cold for _, _, cold in made.samples)
    assert len(warm) > n_warm > 0  # the others are those that a last cache holds a part of
    for place in warm:
        assert done[place - WARMING : place] == [("step", done[place][1])] * WARMING


def test_a_step_of_no_tokens_does_nothing(rounds: Rounds) -> None:
    program, batch = rounds.probes[0].program, rounds.steps[0].batch
    expected = program.step(batch).copy()
    assert program.step(NOTHING).shape == (0, program.vocab_size)
    assert np.array_equal(program.step(batch), expected)


def test_a_price_is_made_of_them(rounds: Rounds) -> None:
    kernels = fitted_costs(rounds)
    assert [table.weights for table in kernels.products] == ["int8/32"]
    assert [costs.kept for costs in kernels.attention] == ["f32"]
    assert [costs.steps for costs in kernels.rows] == ["alone", "few", "many"]
    (probe,) = rounds.probes
    plan = probe.plan
    phases = [
        Priced(
            phase.stage,
            phase.kind,
            phase.kind,
            phase.rows.value,
            phase_cost(phase, plan.constants),
            phase_kernels(phase, plan.constants),
        )
        for phase in plan.phases
    ]
    machine = replace(random_machine(1), kernels=kernels)
    price = StepPrice(StepCosts(phases, plan.weights_bytes), machine)
    lone, prompt = price.seconds(decode_shape(1, 9)), price.seconds(prompt_shape(0, 96, 1))
    assert 0 < lone < prompt
    sizes, shares = zip(*kernels.streamed_shares, strict=True)
    assert sizes[0] == plan.weights_bytes
    assert sizes[1:-1] == pytest.approx((1 << 19, 1 << 20, 3 << 19), rel=0.01)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert machine.kernels is kernels


def test_the_engine_takes_time_beside_its_program(rounds: Rounds) -> None:
    costs = engine_costs(rounds.probes[0].program, rounds=1)
    assert costs.step_us + costs.row_us + costs.token_us > 0
    assert costs.logit_ps > 0


def test_memory_and_others() -> None:
    assert first_touch_gb_s(1) > 0
    before = seconds_of_others()
    assert seconds_of_others() - before < 60
