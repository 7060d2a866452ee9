# ruff: noqa: RUF001 - some formats spell their markers with wide bars
"""What real chat templates show, one by one as a reader finds it in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from foreknown.server.answers import find_format

TAGGED = "<tool_call>{json}"
PARAMETERS = "<tool_call><function="
SECTION = "<|tool_calls_section_begin|>"
WIDE = "<｜tool▁calls▁begin｜>"
WORDS = "in words"
"""The template has no place for tools, so they are told in words and called as in TAGGED."""

EXPECTED: dict[str, tuple[list[str], list[str]]] = {
    # name: ways to write calls, openers of reasoning
    "Apertus-8B-Instruct": (["<|tools_prefix|>"], ["<|inner_prefix|>"]),
    "Apriel-1.6-15b-Thinker-fixed": (
        ["<tool_calls>"],
        ["<thinking>", "Here are my reasoning steps:"],
    ),
    "Bielik-11B-v3.0-Instruct": ([TAGGED], ["<think>"]),
    "ByteDance-Seed-OSS": (["<seed:tool_call><function="], ["<seed:think>"]),
    "Cohere2MoE": (["<|START_ACTION|>"], ["<|START_THINKING|>"]),
    "CohereForAI-c4ai-command-r-plus-tool_use": (["Action:"], []),
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": (
        ["<|START_ACTION|>"],
        ["<|START_THINKING|>"],
    ),
    "GLM-4.6": (["<tool_call><arg_key>"], ["<think>"]),
    "GLM-4.7-Flash": (["<tool_call><arg_key>"], ["<think>"]),
    "GLM-5.2": (["<tool_call><arg_key>"], ["<think>"]),
    "GigaChat3-10B-A1.8B": (["function call<|role_sep|>"], []),
    "GigaChat3.1-10B-A1.8B": (["<|function_call|>"], []),
    "HuggingFaceTB-SmolLM3-3B": ([WORDS, TAGGED], ["<think>"]),
    "Kimi-K2-Instruct": ([SECTION], []),
    "Kimi-K2-Thinking": ([SECTION], ["<think>"]),
    "LFM2-8B-A1B": (["<|tool_call_start|>"], []),
    "LFM2.5-Instruct": (["<|tool_call_start|>"], ["<think>"]),
    "MiMo-VL": ([TAGGED], []),
    "MiroThinker": (["<use_mcp_tool>", TAGGED], ["<think>"]),
    "Mistral-Small-3.2-24B-Instruct-2506": (["[TOOL_CALLS]"], []),
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ([PARAMETERS], ["<think>"]),
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": ([TAGGED], []),
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use": ([TAGGED], []),
    "Qwen-QwQ-32B": ([TAGGED], ["<think>"]),
    "Qwen-Qwen2.5-7B-Instruct": ([TAGGED], []),
    "Qwen-Qwen3-0.6B": ([TAGGED], ["<think>"]),
    "Qwen3-Coder": ([PARAMETERS], []),
    "Qwen3.5-4B": ([PARAMETERS], ["<think>"]),
    "Reka-Edge": ([TAGGED], ["<think>"]),
    "StepFun3.5-Flash": ([PARAMETERS], ["<think>"]),
    "deepseek-ai-DeepSeek-R1-Distill-Llama-8B": ([WORDS, WIDE, TAGGED], ["<think>"]),
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": ([WORDS, WIDE, TAGGED], ["<think>"]),
    "deepseek-ai-DeepSeek-V3.1": ([WORDS, WIDE, TAGGED], ["<think>"]),
    "deepseek-ai-DeepSeek-V3.2": (["<｜DSML｜function_calls>"], ["<think>"]),
    "deepseek-ai-DeepSeek-V4": (["<｜DSML｜function_calls>"], ["<think>"]),
    "fireworks-ai-llama-3-firefunction-v2": ([WORDS, "functools", TAGGED], []),
    "google-gemma-2-2b-it": ([WORDS, TAGGED], []),
    "google-gemma-4-31B-it": (["<|tool_call>"], ["<|channel>thought"]),
    "google-gemma-4-31B-it-interleaved": (["<|tool_call>"], ["<|channel>thought"]),
    "ibm-granite-granite-3.3-2B-Instruct": (["<|tool_call|>"], ["<think>"]),
    "llama-cpp-deepseek-r1": ([WIDE], ["<think>"]),
    "llama-cpp-rwkv-world": ([WORDS, TAGGED], ["<think>"]),
    "meetkai-functionary-medium-v3.1": (["<function="], []),
    "meetkai-functionary-medium-v3.2": ([">>>"], []),
    "meta-llama-Llama-3.1-8B-Instruct": (["{"], []),
    "meta-llama-Llama-3.2-3B-Instruct": (["{"], []),
    "meta-llama-Llama-3.3-70B-Instruct": (["{"], []),
    "microsoft-Phi-3.5-mini-instruct": ([WORDS, TAGGED], []),
    "mistralai-Ministral-3-14B-Reasoning-2512": (["[TOOL_CALLS]"], ["[THINK]"]),
    "mistralai-Mistral-Nemo-Instruct-2407": (["[TOOL_CALLS]"], []),
    "moonshotai-Kimi-K2": ([SECTION], []),
    "openai-gpt-oss-120b": (["<|channel|>"], ["<|channel|>"]),
    "stepfun-ai-Step-3.5-Flash": ([PARAMETERS], ["<think>"]),
    "unsloth-Apriel-1.5": (
        ["<tool_calls>", TAGGED],
        ["<thinking>", "Here are my reasoning steps:"],
    ),
    "unsloth-mistral-Devstral-Small-2507": (["[TOOL_CALLS]"], []),
}

CALLS = {
    TAGGED: '<tool_call>\n{"name": "now", "arguments": {"a": "b"}}\n</tool_call>',
    PARAMETERS: "<tool_call>\n<function=now>\n<parameter=a>\nb\n</parameter>\n</function>\n"
    "</tool_call>",
    "<seed:tool_call><function=": "<seed:tool_call>\n<function=now>\n<parameter=a>b</parameter>\n"
    "</function>\n</seed:tool_call>",
    "<tool_call><arg_key>": "<tool_call>now\n<arg_key>a</arg_key>\n<arg_value>b</arg_value>\n"
    "</tool_call>",
    "<|tools_prefix|>": '<|tools_prefix|>[{"now": {"a": "b"}}]<|tools_suffix|>',
    "<tool_calls>": '<tool_calls>[{"name": "now", "arguments": {"a": "b"}}]</tool_calls>',
    "<|START_ACTION|>": '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "now", '
    '"parameters": {"a": "b"}}\n]<|END_ACTION|>',
    "Action:": 'Action:\n```json\n[{"tool_name": "now", "parameters": {"a": "b"}}\n]```\n',
    "function call<|role_sep|>": '<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "now", '
    '"arguments": {"a": "b"}}',
    "<|function_call|>": '<|function_call|>{"name": "now", "arguments": {"a": "b"}}',
    SECTION: "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0"
    '<|tool_call_argument_begin|>{"a": "b"}<|tool_call_end|><|tool_calls_section_end|>',
    WIDE: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n"
    '{"a": "b"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    "<｜DSML｜function_calls>": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="now">\n<｜DSML｜'
    'parameter name="a" string="true">b</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
    "</｜DSML｜function_calls>",
    "<|tool_call_start|>": "<|tool_call_start|>[now(a='b')]<|tool_call_end|>",
    "<use_mcp_tool>": "<use_mcp_tool>\n<server_name>s</server_name>\n<tool_name>now</tool_name>\n"
    '<arguments>\n{"a": "b"}\n</arguments>\n</use_mcp_tool>',
    "[TOOL_CALLS]": '[TOOL_CALLS]now[ARGS]{"a": "b"}',
    "functools": 'functools[{"name": "now", "arguments": {"a": "b"}}]',
    "<|tool_call>": '<|tool_call>call:now{a:<|"|>b<|"|>}<tool_call|>',
    "<|tool_call|>": '<|tool_call|>[{"name": "now", "arguments": {"a": "b"}}]',
    "<function=": '<function=now>{"a": "b"}</function>',
    ">>>": '>>>now\n{"a": "b"}',
    "{": '{"name": "now", "parameters": {"a": "b"}}',
    "<|channel|>": '<|channel|>commentary to=functions.now<|message|>{"a": "b"}<|call|>',
}
"""The same call in each way."""

TOOLS = [{"type": "function", "function": {"name": "now", "parameters": {}}}]


@pytest.fixture(scope="module")
def templates(shared_data: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (shared_data / "chat_templates").glob("*")}


def test_every_template_is_expected(templates: dict[str, str]) -> None:
    assert set(templates) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_template_shows_its_format(templates: dict[str, str], name: str) -> None:
    ways, reasoning = EXPECTED[name]
    found = find_format(templates[name])
    assert found.calls_tools == (WORDS not in ways)
    assert found.thinks == bool(reasoning)
    assert found.has_channels == (ways == ["<|channel|>"])
    if not found.has_channels:
        assert [span.open for span in found.markings.reasoning] == reasoning
    read = set()
    for way, text in CALLS.items():
        parser = found.parser("assistant\n", tools=TOOLS)
        kinds = [type(piece).__name__ for piece in (*parser.push(text), *parser.finish())]
        if kinds == ["CallStart", "CallArguments"]:
            read.add(way)
    # A function's tag alone is read, too, where it stands in another; so is its plain object.
    assert read - {"<function="} == set(ways) - {WORDS, "<function="}
    assert ("<function=" in read) == (ways == ["<function="])


@pytest.mark.parametrize("name", EXPECTED)
def test_markers_that_may_be_special_tokens_are_named(name: str, templates: dict[str, str]) -> None:
    """Every angle-bracketed text of a call that the template itself writes is among them."""
    found = find_format(templates[name])
    ways, reasoning = EXPECTED[name]
    if not found.has_channels:
        assert set(reasoning) <= found.markers
    for way in ways:
        for marker in ("<|tool_call_argument_begin|>", "<|tool_call_end|>", "<｜tool▁sep｜>"):
            if marker in CALLS.get(way, ""):
                assert marker in found.markers
