"""Sequences, blocks, scheduler, clocks and sampling: many requests on one program."""

from foreknown.engine.clock import Clock, MonotonicClock
from foreknown.engine.engine import Engine
from foreknown.engine.output import Output
from foreknown.engine.program import Program
from foreknown.engine.request import Request
from foreknown.engine.sampling import SamplingParams

__all__ = [
    "Clock",
    "Engine",
    "MonotonicClock",
    "Output",
    "Program",
    "Request",
    "SamplingParams",
]
