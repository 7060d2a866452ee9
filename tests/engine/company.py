"""Requests that arrive and go at any time, and what each must say whoever else is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from foreknown.engine import Engine, Output, Request
from foreknown.plan.price import StepShape


def said(outputs: list[Output]) -> list[tuple[object, ...]]:
    """All but whose, when and how much of the prompt was there."""
    return [
        (
            o.token,
            o.text,
            o.logprob,
            o.top_logprobs,
            o.finish_reason,
            o.prompt_logprobs,
            None if o.embedding is None else o.embedding.tobytes(),
        )
        for o in outputs
    ]


def alone(new_engine: Callable[[], Engine], request: Request) -> list[list[tuple[object, ...]]]:
    """What each answer of a request says if nobody else is there; samples one by one."""
    if request.beams is None:
        seed = request.params.seed
        assert seed is not None
        lone = [
            replace(request, samples=1, params=replace(request.params, seed=seed + i))
            for i in range(request.samples)
        ]
        return [said(list(new_engine().generate([one]))) for one in lone]
    engine = new_engine()
    names = engine.add_samples(request)
    outputs = run(engine)
    return [said([o for o in outputs if o.request_id == name]) for name in names]


def run(engine: Engine) -> list[Output]:
    """All outputs of what is queued, with the books checked after every step."""
    outputs: list[Output] = []
    while engine.has_work:
        outputs += engine.step()
        engine.check_integrity()
    return outputs


def assert_same_in_company(
    engine: Engine,
    requests: Sequence[Request],
    expected: Sequence[list[tuple[object, ...]]],
    data: st.DataObject,
) -> None:
    """Each answer is what is expected of it, or the beginning of that if it is cancelled.

    Args:
        expected: of all answers, those of one request after those of the one before.
        data: draws when requests arrive and which are cancelled.
    """
    arriving = list(requests)
    names: dict[str, int] = {}
    together: dict[str, list[str]] = {}  # answers that are cancelled with one
    got: list[list[Output]] = [[] for _ in expected]
    cancelled = set()
    while arriving or engine.has_work:
        for _ in range(data.draw(st.integers(0, 3)) if engine.has_work else 1):
            if arriving:
                request = arriving.pop(0)
                added = engine.add_samples(request)
                for name in added:
                    names[name] = len(names)
                    together[name] = added if request.beams is not None else [name]
        if data.draw(st.integers(0, 30)) == 0 and names:
            name = data.draw(st.sampled_from(sorted(names)))
            if engine.cancel(name):
                cancelled.update(names[other] for other in together[name])
        for output in engine.step():
            got[names[output.request_id]].append(output)
        engine.check_integrity()
    for index, outputs in enumerate(got):
        if index in cancelled:
            assert outputs[-1].finish_reason == "cancelled"
            assert said(outputs[:-1]) == expected[index][: len(outputs) - 1]
        else:
            assert said(outputs) == expected[index]
    assert engine.scheduler.blocks.n_free == engine.scheduler.blocks.n_blocks


class Told:
    """The price of steps by a rule of a test.

    Args:
        seconds: of so many tokens and rows.
    """

    def __init__(self, seconds: Callable[[int, int], float]) -> None:
        self._seconds = seconds

    def seconds(self, step: StepShape) -> float:
        return self._seconds(step.tokens, step.rows)
