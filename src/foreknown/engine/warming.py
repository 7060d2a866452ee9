"""Runs a program a little before anybody waits for it."""

from __future__ import annotations

from foreknown.engine.engine import Engine
from foreknown.engine.program import Program
from foreknown.engine.request import Request
from foreknown.engine.sampling import SamplingParams
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import Price, decode_shape

WARM_S, MOST_TOKENS = 0.005, 16
PROMPT = [0, 0]


def warm_up(program: Program, price: Price) -> int:
    """Take a few steps for nobody, as many as have room in 5 ms by their price; returns how many.

    A process's first steps find cold code, and memory that was never touched: some milliseconds,
    which no price of a step has. Beside steps that are long they are nothing, and none is taken.
    """
    room = min(int(WARM_S / price.seconds(decode_shape(1, 1))), MOST_TOKENS)
    longest = min(program.context, program.n_blocks * BLOCK_TOKENS)
    n_tokens = min(room, longest - len(PROMPT))
    if n_tokens < 1:
        return 0
    engine = Engine(program, price=price)
    engine.add(Request(PROMPT, SamplingParams(max_tokens=n_tokens, ignore_eos=True, seed=0)))
    while engine.has_work:
        engine.step()  # of a broken model, too: whoever asks will be told
    return engine.n_steps
