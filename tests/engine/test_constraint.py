"""An answer obeys its constraint whoever else is there; one that fails ends its answer alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreknown.engine import Engine, Request, SamplingParams
from tests.engine.company import Told, alone, run, said
from tests.engine.conftest import ByteDetokenizer

NewProgram = Callable[..., Any]


class Rising:
    """Each token is larger than the one before by at most `step`; the largest one completes it."""

    def __init__(self, step: int, fails_after: int = 1000, end: int | None = None) -> None:
        self.step, self.end = step, end
        self.last = 0
        self.n_left = fails_after
        self._mask = np.zeros(2, np.uint32)
        self.accepted: list[int] = []

    @property
    def complete(self) -> bool:
        return self.last == 39

    def allowed(self) -> NDArray[np.uint32]:
        self.n_left -= 1
        if self.n_left < 0:
            raise ValueError("too hard")
        tokens = set(range(self.last + 1, min(self.last + self.step, 39) + 1))
        if self.end is not None:
            tokens.add(self.end)
        self._mask[:] = 0
        for token in tokens:
            self._mask[token // 32] |= np.uint32(1 << token % 32)
        return self._mask

    def accept(self, token: int) -> None:
        assert self.last < token <= self.last + self.step
        self.accepted.append(token)
        self.last = token


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("step", [1, 3, 20])
def test_answers_obey(new_program: NewProgram, temperature: float, step: int) -> None:
    engine = Engine(new_program(), new_detokenizer=ByteDetokenizer)
    params = SamplingParams(temperature=temperature, seed=1, max_tokens=60, logprobs=1)
    request = Request([1, 2], params, new_constraint=lambda: Rising(step))
    outputs = list(engine.generate([request]))
    tokens = [0, *(o.token for o in outputs if o.token is not None)]
    assert all(0 < b - a <= step for a, b in pairwise(tokens))
    assert (tokens[-1], outputs[-1].finish_reason) == (39, "stop")
    assert "".join(o.text for o in outputs) == bytes(tokens[1:]).decode()


def test_each_sample_has_its_own_in_any_company(new_program: NewProgram) -> None:
    request = Request(
        [n % 40 for n in range(20)],
        SamplingParams(seed=3, max_tokens=60),
        samples=3,
        new_constraint=lambda: Rising(4),
    )
    expected = alone(lambda: Engine(new_program()), request)
    engine = Engine(new_program(n_blocks=8))
    free = engine.add_samples(Request([1, 2, 3], SamplingParams(seed=5, max_tokens=50), samples=2))
    names = engine.add_samples(request)
    outputs = run(engine)
    assert engine.scheduler.n_preemptions
    assert [said([o for o in outputs if o.request_id == n]) for n in names] == expected
    assert len({o.token for o in outputs if o.request_id == free[0]}) > 10


def test_an_end_token_is_not_given_to_it(new_program: NewProgram) -> None:
    made: list[Rising] = []

    def make() -> Rising:
        made.append(Rising(2, end=0))
        return made[-1]

    reasons = set()
    for seed in range(20):
        engine = Engine(new_program(), end_ids=(0,))
        params = SamplingParams(seed=seed, max_tokens=60)
        outputs = list(engine.generate([Request([1], params, new_constraint=make)]))
        tokens = [o.token for o in outputs]
        assert made[-1].accepted == [t for t in tokens if t != 0]
        reasons.add((tokens[-1] == 0, outputs[-1].finish_reason))
    assert reasons >= {(True, "stop")}


def test_it_has_no_drafts(repeating: Callable[..., Any]) -> None:
    class Anything(Rising):
        complete = False

        def allowed(self) -> NDArray[np.uint32]:
            self._mask[:] = 2**32 - 1
            return self._mask

        def accept(self, token: int) -> None:
            pass

    params = SamplingParams(max_tokens=60, temperature=0)
    engine = Engine(repeating(), price=Told(lambda n, rows: 1.0))
    free = said(list(engine.generate([Request([1, 2] * 8, params)])))
    assert engine.n_drafted
    n_drafted = engine.n_drafted
    bound = Request([1, 2] * 8, params, new_constraint=lambda: Anything(1))
    assert said(list(engine.generate([bound]))) == free
    assert engine.n_drafted == n_drafted


def test_one_that_fails_ends_its_own_request_only(new_program: NewProgram) -> None:
    engine = Engine(new_program())
    params = SamplingParams(max_tokens=9, seed=1)
    bound = engine.add(Request([1], params, new_constraint=lambda: Rising(2, fails_after=4)))
    free = engine.add(Request([1], params))
    last = {o.request_id: o for o in run(engine)}
    assert last[free].finish_reason == "length"
    assert last[bound].finish_reason == "error"
    assert "too hard" in str(last[bound].error)
    assert len(last) == 2


def test_one_that_cannot_be_made_queues_nothing(new_program: NewProgram) -> None:
    engine = Engine(new_program())

    def make() -> Rising:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        engine.add_samples(Request([1], samples=2, new_constraint=make))
    assert not engine.has_work
    engine.check_integrity()
