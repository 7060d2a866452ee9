# ruff: noqa: RUF001 - some formats spell their markers with wide bars
"""Known markings, each with the texts in a chat template that show it."""

from __future__ import annotations

import re

from foreknown.server.answers.marked import Span
from foreknown.server.answers.parameters import MarkedParameters
from foreknown.server.answers.reader import Lexis
from foreknown.server.answers.syntaxes import (
    AddressedCalls,
    ListCalls,
    NamedCalls,
    Syntax,
)

TAGGED_JSON = ListCalls("<tool_call>", "</tool_call>")
"""Also what models are asked for whose template knows no tools."""

BARE_JSON = ListCalls("<|python_tag|>", bare=("{",), python=True)
BARE_PYTHON = ListCalls(bare=("[",), python=True)

NAMED = NamedCalls("<function=", re.compile(r"(?P<name>[^>]+)>\s*"), item_close=("</function>",))
KEYS_AND_VALUES = MarkedParameters(
    "<tool_call>", "</tool_call>", "", "", "", "<arg_key>", "</arg_key>", "<arg_value>",
    "</arg_value>",
)  # fmt: skip
PARAMETERS = MarkedParameters(
    "<tool_call>", "</tool_call>", "<function=", ">", "</function>", "<parameter=", ">", "",
    "</parameter>", also_open=("<function=",),
)  # fmt: skip
INVOKED = MarkedParameters(
    "<function_calls>", "</function_calls>", '<invoke name="', '">', "</invoke>",
    '<parameter name="', ">", "", "</parameter>",
)  # fmt: skip
DSML = MarkedParameters(
    "<｜DSML｜function_calls>", "</｜DSML｜function_calls>", '<｜DSML｜invoke name="', '">',
    "</｜DSML｜invoke>", '<｜DSML｜parameter name="', ">", "", "</｜DSML｜parameter>",
    also_open=("<｜DSML｜tool_calls>",), also_close=("</｜DSML｜tool_calls>",),
    parts=("｜DSML｜",), breaks_reasoning=True,
)  # fmt: skip

_OTHER_QUOTES = '<|"|>'

SYNTAXES: tuple[tuple[tuple[str, ...], Syntax], ...] = (
    (("<arg_key>", "<arg_value>"), KEYS_AND_VALUES),
    (("<tool_call>", "<function=", "<parameter="), PARAMETERS),
    (("｜DSML｜", 'invoke name="'), DSML),
    (("<use_mcp_tool>", "<tool_name>"), NamedCalls(
        "<use_mcp_tool>",
        re.compile(r"[^<]*</server_name>\s*<tool_name>(?P<name>[^<]+)</tool_name>\s*<arguments>\s*"),
        item="<server_name>",
        item_close=("</arguments>",),
        close="</use_mcp_tool>",
    )),
    (("<tool_calls>[",), ListCalls("<tool_calls>", "</tool_calls>")),
    (("<|tool_calls_section_begin|>",), NamedCalls(
        "<|tool_calls_section_begin|>",
        re.compile(r"\s*(?:functions\.)?(?P<name>.+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>\s*"),
        item="<|tool_call_begin|>",
        item_close=("<|tool_call_end|>",),
        close="<|tool_calls_section_end|>",
        parts=("<|tool_call_argument_begin|>",),
        breaks_reasoning=True,
    )),
    (("<｜tool▁calls▁begin｜>",), NamedCalls(
        "<｜tool▁calls▁begin｜>",
        re.compile(
            r"\s*(?:function<｜tool▁sep｜>)?(?P<name>[^\n<]+)(?:\n```json|<｜tool▁sep｜>)\s*"
        ),
        item="<｜tool▁call▁begin｜>",
        item_close=("```", "<｜tool▁call▁end｜>"),
        close="<｜tool▁calls▁end｜>",
        parts=("<｜tool▁sep｜>",),
        breaks_reasoning=True,
    )),
    (("[TOOL_CALLS]",), NamedCalls(
        "[TOOL_CALLS]",
        re.compile(r"(?P<name>[^\s\[\]{}]+)(?:\[CALL_ID\][^\[]*)?(?:\[ARGS\])?\s*"),
        parts=("[CALL_ID]", "[ARGS]"),
        breaks_reasoning=True,
    )),
    (("<|START_ACTION|>",), ListCalls(
        "<|START_ACTION|>", "<|END_ACTION|>", breaks_reasoning=True
    )),
    (("<|tools_prefix|>",), ListCalls(
        "<|tools_prefix|>", "<|tools_suffix|>", keyed=True, breaks_reasoning=True
    )),
    (("<|tool_call|>",), ListCalls("<|tool_call|>", "<|/tool_call|>")),
    (("<|tool_call>", "<tool_call|>", "call:"), NamedCalls(
        "<|tool_call>",
        re.compile(r"\s*call:(?P<name>[^\s{]+)\s*"),
        item_close=("<tool_call|>",),
        lexis=Lexis("{[", "}]", (_OTHER_QUOTES,), False, re.compile(r"[^{}\[\]<]*")),
        parts=(_OTHER_QUOTES,),
        breaks_reasoning=True,
    )),
    (("functools[",), ListCalls("functools")),
    (("<|function_call|>",), ListCalls("<|function_call|>")),
    (("'function call'", "<|role_sep|>"), ListCalls(
        "<|message_sep|>\n\nfunction call<|role_sep|>\n",
        also_open=("function call<|role_sep|>\n",),
        parts=("<|message_sep|>", "<|role_sep|>"),
    )),
    (("Action:\\n```json",), ListCalls("Action:")),
    (("<|tool_call_start|>",), ListCalls("<|tool_call_start|>", "<|tool_call_end|>", python=True)),
    (("List of tools: ",), ListCalls("<|tool_call_start|>", "<|tool_call_end|>", python=True)),
    ((">>>all",), AddressedCalls(">>>", "all")),
    (("<function=",), NAMED),
    (('{"name": function name, "parameters"',), BARE_JSON),
    (("[func_name",), BARE_PYTHON),
    (("<function_calls>", '<invoke name="'), INVOKED),
    (("<TOOLCALL>",), ListCalls("<TOOLCALL>", "</TOOLCALL>")),
    (("<tool_call>",), TAGGED_JSON),
)  # fmt: skip
"""Texts that all stand in a template, and the syntax that they show."""

REASONING: tuple[tuple[str, Span], ...] = (
    ("<thinking>", Span("<thinking>", "</thinking>", anywhere=True)),
    ("[THINK]", Span("[THINK]", "[/THINK]", anywhere=True)),
    ("<|START_THINKING|>", Span("<|START_THINKING|>", "<|END_THINKING|>", anywhere=True)),
    ("<|inner_prefix|>", Span("<|inner_prefix|>", "<|inner_suffix|>", anywhere=True)),
    ("<|channel>thought", Span("<|channel>thought", "<channel|>", anywhere=True)),
    (
        "[BEGIN FINAL RESPONSE]",
        Span("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
    ),
)
"""A text in a template, and the reasoning that it shows."""

FRAMES: tuple[tuple[str, Span], ...] = (
    ("<|START_RESPONSE|>", Span("<|START_RESPONSE|>", "<|END_RESPONSE|>")),
    ("<|START_TEXT|>", Span("<|START_TEXT|>", "<|END_TEXT|>")),
    ("<response>", Span("<response>", "</response>")),
)
"""A text in a template, and what content may stand in."""
