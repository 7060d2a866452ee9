"""Sequences, blocks, scheduler, clocks and sampling: many requests on one program."""

from foreknown.engine.clock import Clock, MonotonicClock
from foreknown.engine.constraint import Constraint
from foreknown.engine.engine import Engine
from foreknown.engine.output import Output, TokenLogprob
from foreknown.engine.program import Program
from foreknown.engine.promises import Foreseen, NotPromised, Objective, Promise
from foreknown.engine.request import Beams, Request
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.stats import Stats

__all__ = [
    "Beams",
    "Clock",
    "Constraint",
    "Engine",
    "Foreseen",
    "MonotonicClock",
    "NotPromised",
    "Objective",
    "Output",
    "Program",
    "Promise",
    "Request",
    "SamplingParams",
    "Stats",
    "TokenLogprob",
]
