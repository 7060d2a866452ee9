"""Thirty types spread over families go the whole way: tiny checkpoint, capture, compiled program,
logits equal to transformers in eager f32. All 189 are in docs/coverage.md (`make coverage`).

They differ in what they exercise: learned, rotary, relative and slope positions; grouped, windowed,
chunked, soft-capped and sunk attention; joint and separate projections; every kind of norm; routed
experts of four designs; short convolutions; encoders run as decoders.
"""

from __future__ import annotations

import pytest

from foreknown.artifact.executor import compiled
from foreknown.capture.coverage import cover

TYPES = """
    bart bert bloom codegen cohere2 deepseek_v3 exaone4 falcon gemma2 gemma3_text
    gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj granite lfm2 llama mistral
    mixtral mpt olmo2 opt persimmon qwen2 qwen2_moe qwen3 stablelm starcoder2
""".split()


def test_there_are_thirty() -> None:
    assert len(set(TYPES)) == 30


@pytest.mark.filterwarnings("ignore")  # transformers' and torch's own, while they trace
@pytest.mark.parametrize("model_type", TYPES)
def test_a_type_is_exact(model_type: str) -> None:
    result = cover(model_type, compiled)
    assert (result.status, result.reason) == ("exact", "")
