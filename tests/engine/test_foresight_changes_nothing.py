"""Forecasts and promises change when tokens come, and none of their bits."""

from __future__ import annotations

import ctypes
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.engine import Beams, Engine, NotPromised, Objective, Request, SamplingParams
from tests.engine.company import alone, assert_same_in_company
from tests.engine.conftest import FakeProgram
from tests.engine.reality import Linear

requests = st.lists(
    st.builds(
        Request,
        prompt=st.lists(st.integers(0, 39), min_size=1, max_size=50),
        params=st.builds(
            SamplingParams,
            max_tokens=st.integers(1, 20),
            temperature=st.sampled_from([0.0, 0.8, 1.5]),
            top_k=st.sampled_from([0, 5]),
            repetition_penalty=st.sampled_from([1.0, 1.2]),
            logprobs=st.sampled_from([None, 2]),
            seed=st.integers(0, 2**32),
        ),
        samples=st.integers(1, 2),
        user=st.sampled_from("ab"),
    )
    | st.builds(
        Request,
        prompt=st.lists(st.integers(0, 39), min_size=1, max_size=20),
        params=st.builds(SamplingParams, max_tokens=st.integers(1, 8), seed=st.just(1)),
        beams=st.just(Beams(width=2)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(
    given_requests=requests,
    objectives=st.lists(
        st.none()
        | st.builds(
            Objective,
            deadline_ms=st.floats(1, 1000),
            tpot_ms=st.none() | st.floats(0.5, 50),
        ),
        min_size=6,
        max_size=6,
    ),
    data=st.data(),
)
def test_tokens_are_the_same_whatever_is_promised_or_foreseen(
    library: ctypes.CDLL,
    given_requests: list[Request],
    objectives: list[Objective | None],
    data: st.DataObject,
) -> None:
    def plain() -> Engine:
        return Engine(FakeProgram(library))

    class Asked(Engine):
        """Is asked for forecasts and promises all the time."""

        def add_samples(self, request: Request) -> list[str]:
            self.foresee(request)
            try:
                return super().add_samples(request)
            except NotPromised:
                return super().add_samples(replace(request, objective=None))

        def step(self) -> list[object]:  # type: ignore[override]
            self.foresee(given_requests[0])
            try:
                self.reserve(replace(given_requests[0], id="never comes", objective=objectives[0]))
                self.release("never comes")
            except (NotPromised, AssertionError):
                pass
            return super().step()  # type: ignore[return-value]

    expected = [said for request in given_requests for said in alone(plain, request)]
    engine = Asked(FakeProgram(library), price=Linear(100, 10, 5, 0.1))
    asked = [
        replace(request, objective=objective)
        for request, objective in zip(given_requests, objectives, strict=False)
    ]
    assert_same_in_company(engine, asked, expected, data)
