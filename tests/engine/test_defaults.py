"""What is given, over what the checkpoint says, over our own defaults."""

from __future__ import annotations

import pytest

from foreknown.checkpoint.generation import GenerationDefaults
from foreknown.engine.defaults import with_defaults
from foreknown.errors import RequestError


def test_a_checkpoint_that_does_not_sample_is_greedy() -> None:
    assert with_defaults(GenerationDefaults(temperature=0.6)).temperature == 0
    assert with_defaults(GenerationDefaults(), temperature=0.7).temperature == 0.7
    assert with_defaults(GenerationDefaults(), temperature=None, seed=3).seed == 3


def test_the_callers_word_comes_first() -> None:
    defaults = GenerationDefaults(
        do_sample=True, temperature=0.6, top_k=20, top_p=0.95, repetition_penalty=1.05,
        stop_strings=("<end>",),
    )  # fmt: skip
    params = with_defaults(defaults, top_k=0, stop=())
    assert (params.temperature, params.top_k, params.top_p) == (0.6, 0, 0.95)
    assert (params.repetition_penalty, params.stop) == (1.05, ())
    assert with_defaults(defaults).stop == ("<end>",)
    assert with_defaults(GenerationDefaults(do_sample=True)).temperature == 1


def test_a_default_out_of_range_is_refused() -> None:
    with pytest.raises(RequestError, match="temperature is 1000"):
        with_defaults(GenerationDefaults(do_sample=True, temperature=1000.0))
