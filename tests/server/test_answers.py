# ruff: noqa: RUF001 - some formats spell their markers with wide bars
"""Answers in every format: the same pieces however they are cut, and no text lost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknown.server.answers import (
    AnswerParser,
    CallArguments,
    CallStart,
    Content,
    Piece,
    Reasoning,
    calls_parser,
    find_format,
    text_parser,
)

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer"},
                    "exact": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
]

ARGUMENTS = {"city": 'Zürich </x> "{', "days": 3, "exact": True, "tags": ["a", "b}"]}
JSON = json.dumps(ARGUMENTS, ensure_ascii=False)
CALLED: list[Any] = [("get_weather", ARGUMENTS)]
TWICE: list[Any] = [*CALLED, ("now", {})]


@dataclass(frozen=True)
class Case:
    """An answer and what it is made of.

    Attributes:
        template: what of a chat template shows the format.
        parts: contents and reasoning in order, and calls as (name, arguments).
    """

    template: str
    answer: str
    parts: Sequence[Any]
    prompt_end: str = "assistant\n"


def r(text: str) -> Reasoning:
    return Reasoning(text)


TAGGED = '<tool_call>\n{"name": ...}\n</tool_call>'
PARAMETERS = "<tool_call>\n<function=f>\n<parameter=p>\nv\n</parameter>\n</function>\n</tool_call>"
VALUES = 'Zürich </x> "{'
WITH_PARAMETERS = (
    f"<function=get_weather>\n<parameter=city>\n{VALUES}\n</parameter>\n<parameter=days>\n3\n"
    '</parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=tags>\n["a", "b}"]\n'
    "</parameter>\n</function>"
)
DSML = '<｜DSML｜function_calls> invoke name="'
CHANNELS = "<|start|>assistant<|channel|>final<|message|>"
BARE = 'Respond in the format {"name": function name, "parameters": dictionary}.'

CASES = {
    "tagged json": Case(
        TAGGED + "<think>",
        f'<think>\nhm\n</think>\n\nWell.\n<tool_call>\n{{"name": "get_weather", "arguments": {JSON}'
        '}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        [r("hm"), "Well.", *TWICE],
    ),
    "tagged json, ends early": Case(
        TAGGED, f'<tool_call>{{"name": "get_weather", "arguments": {JSON}}}', CALLED
    ),
    "tagged json, arguments in a string": Case(
        TAGGED,
        f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(JSON)}}}</tool_call>',
        CALLED,
    ),
    "tagged json, text after": Case(
        TAGGED,
        'A\n\n<tool_call>{"name": "now"}</tool_call>\n\nB  c\n',
        ["A", ("now", {}), "B  c\n"],
    ),
    "begun in reasoning": Case(
        TAGGED + "<think>",
        'hm\n\nhm\n</think>\n\n<tool_call>{"name": "now", "arguments": {}}</tool_call>',
        [r("hm\n\nhm"), ("now", {})],
        "assistant\n<think>\n",
    ),
    "begun in reasoning, said again": Case(
        TAGGED + "<think>", "<think>\nhm</think>yes", [r("hm"), "yes"], "<think>\n"
    ),
    "reasoning closed by the prompt": Case(
        TAGGED + "<think>", "\n\nyes <think>", ["yes <think>"], "<think>\n\n</think>"
    ),
    "reasoning never closed": Case(
        TAGGED + "<think>", "<think>a <tool_call> b\n", [r("a <tool_call> b\n")]
    ),
    "empty reasoning": Case(TAGGED + "<think>", "<think>\n\n</think>\n\nyes", ["yes"]),
    "marked parameters": Case(
        PARAMETERS + "<think>",
        f"hm</think>\n\nSo:\n\n<tool_call>\n{WITH_PARAMETERS}\n</tool_call>\n<tool_call>\n"
        "<function=now>\n</function>\n</tool_call>",
        [r("hm"), "So:", *TWICE],
        "<think>\n",
    ),
    "marked parameters without a tag": Case(PARAMETERS, WITH_PARAMETERS, CALLED),
    "a value with the end of a value": Case(
        PARAMETERS,
        "<tool_call><function=get_weather><parameter=city>a</parameter> b</parameter></function>"
        "</tool_call>",
        [("get_weather", {"city": "a</parameter> b"})],
    ),
    "prefixed tags": Case(
        PARAMETERS.replace("tool_call", "seed:tool_call") + "<seed:think>",
        f"<seed:think>hm</seed:think>\n<seed:tool_call>\n{WITH_PARAMETERS}\n</seed:tool_call>",
        [r("hm"), *CALLED],
    ),
    "prefixed invocations": Case(
        '<some:tool_call>\n<invoke name="f">\n<parameter name="p">v</parameter>',
        '<some:tool_call>\n<invoke name="now">\n</invoke>\n<invoke name="get_weather">\n'
        f'<parameter name="city">{VALUES}</parameter>\n</invoke>\n</some:tool_call>',
        [("now", {}), ("get_weather", {"city": VALUES})],
    ),
    "keys and values": Case(
        "<tool_call>{name}\n<arg_key>k</arg_key>\n<arg_value>v</arg_value>\n</tool_call><think>",
        "\n<think>hm</think>\nYes.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
        f"<arg_value>{VALUES}</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n"
        "<arg_key>exact</arg_key>\n<arg_value>true</arg_value>\n<arg_key>tags</arg_key>\n"
        '<arg_value>["a", "b}"]</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>',
        [r("hm"), "Yes.", *TWICE],
    ),
    "keys and values on one line": Case(
        "<tool_call>{name}<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>",
        "<tool_call>get_weather<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>"
        "<tool_call>now</tool_call>",
        [("get_weather", {"days": 3}), ("now", {})],
    ),
    "typed invocations": Case(
        DSML + "<think>",
        'hm</think>ok\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜'
        f'parameter name="city" string="true">{VALUES}</｜DSML｜parameter>\n<｜DSML｜parameter '
        'name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke '
        'name="now">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
        [r("hm"), "ok", ("get_weather", {"city": VALUES, "days": 3}), ("now", {})],
        "<｜Assistant｜><think>",
    ),
    "a list behind a marker": Case(
        "[TOOL_CALLS][{",
        f'Ok.[TOOL_CALLS][{{"name": "get_weather", "arguments": {JSON}, "id": "123456789"}}, '
        '{"name": "now", "arguments": {}, "id": "123456780"}]',
        ["Ok.", *TWICE],
    ),
    "names and arguments": Case(
        "[TOOL_CALLS]name[ARGS]{} [THINK]",
        f"[THINK]hm[/THINK]Ok.[TOOL_CALLS]get_weather[ARGS]{JSON}[TOOL_CALLS]now[ARGS]{{}}",
        [r("hm"), "Ok.", *TWICE],
    ),
    "names, ids and arguments": Case(
        "[TOOL_CALLS]name[CALL_ID]x[ARGS]{}",
        f"[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{JSON}[TOOL_CALLS]now{{}}",
        TWICE,
    ),
    "bare json": Case(BARE, f'\n{{"name": "get_weather", "parameters": {JSON}}}', CALLED),
    "bare json in a row": Case(
        BARE,
        f'{{"type": "function", "name": "get_weather", "parameters": {JSON}}}; '
        '{"name": "now", "parameters": {}}',
        TWICE,
    ),
    "bare json behind a marker": Case(
        BARE, f'<|python_tag|>{{"name": "get_weather", "parameters": {JSON}}}', CALLED
    ),
    "a call of a built-in function": Case(
        BARE, '<|python_tag|>search.call(query="a, b)")', [("search.call", {"query": "a, b)"})]
    ),
    "other json": Case(BARE, '{"name": "x", "age": 3}', ['{"name": "x", "age": 3}']),
    "functools": Case(
        "functools[{",
        f' functools[{{"name": "get_weather", "arguments": {JSON}}}, {{"name": "now", '
        '"arguments": {}}]',
        TWICE,
    ),
    "a list behind a tag": Case(
        "<|tool_call|>", f'<|tool_call|>[{{"name": "get_weather", "arguments": {JSON}}}]', CALLED
    ),
    "actions": Case(
        "<|START_THINKING|> <|START_ACTION|> <|START_RESPONSE|>",
        "<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[\n    "
        f'{{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {JSON}}},\n    '
        '{"tool_call_id": "1", "tool_name": "now", "parameters": {}}\n]<|END_ACTION|>',
        [r("hm"), *TWICE],
    ),
    "a framed response": Case(
        "<|START_THINKING|> <|START_ACTION|> <|START_RESPONSE|>",
        "<|START_RESPONSE|>\nyes\n<|END_RESPONSE|>",
        ["yes"],
        "<|START_THINKING|><|END_THINKING|>",
    ),
    "a framed text after reasoning": Case(
        "<|START_THINKING|> <|START_ACTION|> <|START_TEXT|>",
        "hm<|END_THINKING|><|START_TEXT|>yes<|END_TEXT|>",
        [r("hm"), "yes"],
        "<|START_THINKING|>",
    ),
    "a fenced action": Case(
        "'\\nAction:\\n```json\\n[\\n'",
        f'I will.\nAction:\n```json\n[\n    {{\n        "tool_name": "get_weather",\n        '
        f'"parameters": {JSON}\n    }}\n]```\n',
        ["I will.", *CALLED],
    ),
    "a section": Case(
        "<|tool_calls_section_begin|> <think>",
        "hm</think>ok<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
        f"<|tool_call_argument_begin|>{JSON}<|tool_call_end|><|tool_call_begin|>functions.now:1"
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
        [r("hm"), "ok", *TWICE],
        "<think>",
    ),
    "a section within reasoning": Case(
        "<|tool_calls_section_begin|> <think>",
        "<think>hm <|tool_calls_section_begin|><|tool_call_begin|>functions.now:0"
        "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
        [r("hm"), ("now", {})],
    ),
    "wide bars and fences": Case(
        "<｜tool▁calls▁begin｜> <think>",
        "hm\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
        f"```json\n{JSON}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n"
        "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        [r("hm"), *TWICE],
        "<think>\n",
    ),
    "wide bars": Case(
        "<｜tool▁calls▁begin｜> <think>",
        "Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        f"{JSON}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{{}}<｜tool▁call▁end｜>"
        "<｜tool▁calls▁end｜>",
        ["Ok.", *TWICE],
        "<think></think>",
    ),
    "named functions": Case(
        "<function=name>{}</function>",
        f"<function=get_weather>{JSON}</function><function=now>{{}}</function>",
        TWICE,
    ),
    "addressees": Case(
        ">>>all",
        f"all\nHello >>> there\n>>>get_weather\n{JSON}\n>>>now\n{{}}",
        ["Hello >>> there", *TWICE],
        "assistant<|end_header_id|>\n\n>>>",
    ),
    "channels": Case(
        CHANNELS,
        "<|channel|>analysis<|message|>hm\n<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>I will.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
        f"<|constrain|>json<|message|>{JSON}<|call|>",
        [r("hm"), "I will.", *CALLED],
        "<|end|><|start|>assistant",
    ),
    "channels, recipient first": Case(
        CHANNELS,
        f" to=functions.get_weather<|channel|>commentary json<|message|>{JSON}<|call|><|start|>"
        "assistant to=functions.now<|channel|>commentary json<|message|>{}<|call|>",
        TWICE,
        "<|start|>assistant",
    ),
    "channels, final": Case(
        CHANNELS,
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes\n",
        [r("hm"), "yes\n"],
        "<|start|>assistant",
    ),
    "no channels": Case(CHANNELS, "Hello, you.", ["Hello, you."], "<|start|>assistant"),
    "python-like": Case(
        "<|tool_call_start|>",
        "Ok.<|tool_call_start|>[get_weather(city='Zürich </x> \"{', days=3, exact=True, "
        "tags=[\"a\", 'b}']), now()]<|tool_call_end|>",
        ["Ok.", *TWICE],
    ),
    "python-like, but json": Case(
        "<|tool_call_start|>",
        f'<|tool_call_start|>[{{"name": "get_weather", "arguments": {JSON}}}]<|tool_call_end|>',
        CALLED,
    ),
    "bare python-like": Case(
        "[func_name1(params_name1=params_value1)]",
        "[get_weather(city=\"Zürich </x> \\\"{\", days=3, exact=true, tags=['a', 'b}']), now()]",
        TWICE,
    ),
    "other quotes": Case(
        "<|tool_call>call:f{}<tool_call|> <|channel>thought",
        '<|channel>thought\nhm\n<channel|>Ok.<|tool_call>call:get_weather{city:<|"|>Zürich </x> '
        '"{<|"|>,days:3,exact:true,tags:[<|"|>a<|"|>,<|"|>b}<|"|>]}<tool_call|><|tool_call>call:'
        "now{}<tool_call|>",
        [r("hm"), "Ok.", *TWICE],
        "<|turn>model\n",
    ),
    "keyed by name": Case(
        "<|inner_prefix|> <|tools_prefix|>",
        f'<|inner_prefix|>hm<|tools_prefix|>[{{"get_weather": {JSON}}}, {{"now": {{}}}}]'
        "<|tools_suffix|>",
        [r("hm"), *TWICE],
    ),
    "lists between tags": Case(
        '<tool_calls>[{"name"...}]</tool_calls> <thinking>',
        'I think.<thinking>hm</thinking>\n<tool_calls>[{"name": "get_weather", "arguments": '
        f'{JSON}}}, {{"name": "now", "arguments": {{}}, "id": "x"}}]</tool_calls>',
        ["I think.", r("hm"), *TWICE],
    ),
    "a final response": Case(
        "[BEGIN FINAL RESPONSE]",
        "hm\nhm\n[BEGIN FINAL RESPONSE]\nyes",
        [r("hm\nhm"), "yes"],
        "<|begin_assistant|>\nHere are my reasoning steps:\n",
    ),
    "servers": Case(
        "<use_mcp_tool>\n<server_name>s</server_name>\n<tool_name>",
        "So\n<use_mcp_tool>\n<server_name>s</server_name>\n<tool_name>get_weather</tool_name>\n"
        f"<arguments>\n{JSON}\n</arguments>\n</use_mcp_tool>",
        ["So", *CALLED],
    ),
    "a role of its own": Case(
        "'function call' <|role_sep|>",
        'Ok.<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "get_weather", "arguments": '
        f"{JSON}}}",
        ["Ok.", *CALLED],
    ),
    "a function call": Case(
        "<|function_call|>",
        f'Ok.<|function_call|>{{"name": "get_weather", "arguments": {JSON}}}',
        ["Ok.", *CALLED],
    ),
    "framed in words": Case(
        "<think> <response>",
        "<think>hm</think>\n<response>yes</response>",
        [r("hm"), "yes"],
    ),
}


def parser(case: Case, **wishes: Any) -> AnswerParser:
    return find_format(case.template).parser(case.prompt_end, **{"tools": TOOLS, **wishes})


def read(parser: AnswerParser, texts: Iterable[str]) -> list[Piece]:
    pieces = [piece for text in texts for piece in parser.push(text)]
    return joined([*pieces, *parser.finish()])


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces with neighbours of a kind put together."""
    found: list[Piece] = []
    for piece in pieces:
        last = found[-1] if found else None
        if isinstance(piece, Content | Reasoning) and type(last) is type(piece):
            assert isinstance(last, Content | Reasoning)
            found[-1] = type(piece)(last.text + piece.text)
        else:
            found.append(piece)
    return found


def parts(pieces: Iterable[Piece]) -> list[Any]:
    """Pieces as a case has them."""
    found: list[Any] = []
    for piece in pieces:
        if isinstance(piece, CallStart):
            assert piece.index == sum(isinstance(part, list) for part in found)
            found.append([piece.name, ""])
        elif isinstance(piece, CallArguments):
            found[-1][1] += piece.text
        else:
            found.append(piece.text if isinstance(piece, Content) else piece)
    return [(p[0], json.loads(p[1])) if isinstance(p, list) else p for p in found]


def content(text: str) -> list[Piece]:
    return [Content(text)] if text else []


def cut(text: str, places: Iterable[int]) -> list[str]:
    marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(marks)]


every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
def test_an_answer_is_read(case: Case) -> None:
    assert parts(read(parser(case), [case.answer])) == list(case.parts)


@every_case
def test_one_cut_anywhere_does_not_matter(case: Case) -> None:
    whole = read(parser(case), [case.answer])
    for place in range(1, len(case.answer)):
        assert read(parser(case), cut(case.answer, [place])) == whole
    assert read(parser(case), case.answer) == whole


@every_case
@pytest.mark.parametrize("wishes", [{"tools": None}, {"reasoning": False}], ids=str)
def test_cuts_do_not_matter_with_other_wishes(case: Case, wishes: dict[str, Any]) -> None:
    whole = read(parser(case, **wishes), [case.answer])
    assert read(parser(case, **wishes), case.answer) == whole
    if wishes.get("tools", TOOLS) is None:
        assert not any(isinstance(piece, CallStart | CallArguments) for piece in whole)
    else:
        assert not any(isinstance(piece, Reasoning) for piece in whole)


MARKERS = sorted({m for case in CASES.values() for m in find_format(case.template).markers})
NOISE = (*MARKERS, "{", "[", '"', "\n")


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_text_may_be_cut_anywhere(data: st.DataObject) -> None:
    """Answers that were damaged: with parts left out, doubled, and markers put in."""
    case = data.draw(st.sampled_from(list(CASES.values())))
    places = st.lists(st.integers(0, 2000), max_size=4)
    kept = [p for p in cut(case.answer, data.draw(places)) if data.draw(st.integers(0, 3))]
    noise = data.draw(st.lists(st.sampled_from(NOISE) | st.text(max_size=3), max_size=3))
    answer = "".join(data.draw(st.permutations([*kept, *noise])))
    whole = read(parser(case), [answer])
    assert read(parser(case), cut(answer, data.draw(places))) == whole
    assert read(parser(case), answer) == whole
    for piece in whole:
        if isinstance(piece, CallArguments):
            assert isinstance(json.loads(piece.text), dict)
        elif isinstance(piece, CallStart):
            assert piece.name.isprintable()
    shown = "".join(p.text for p in whole if isinstance(p, Content | Reasoning)).split()
    left = iter(answer)
    assert all(character in left for character in "".join(shown)), "text that is not the answer's"


MALFORMED = {
    "tagged json": [
        "<tool_call>",
        "<tool_call>\nno\n</tool_call>",
        '<tool_call>\n{"name": "now", "arguments": {}\n</tool_call>',
        '<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "now", "arguments": {"a": NaN}}</tool_call>',
        '<tool_call>{"name": "now", "arguments": {"a" 1}}</tool_call>',
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "a b", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "a\\ud800", "arguments": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        '<tool_call>{"name": "now", "arguments": {"a": ' + "1" * 5000 + "}}</tool_call>",
        '<tool_call>{"name": "now", "arguments": ' + '{"a":' * 2000 + "1" + "}" * 2000 + "}",
        '<tool_call>[]</tool_call>',
        'One <tool_call> and another <tool_call>, see?',
    ],
    "marked parameters without a tag": [
        "<function=now>",
        "<tool_call><function=now><parameter=a>\nb",
        "<tool_call><function=now><parameter=a>b</parameter>",
        "<tool_call><function=now>text</function></tool_call>",
        "<tool_call>\nno</tool_call>",
        "<function=" + "a" * 5000 + ">",
    ],
    "keys and values": [
        "<tool_call>now<arg_key>a</arg_key>b<arg_value>c</arg_value></tool_call>",
        "<tool_call>no\nname at all</tool_call>",
        "<tool_call>now<arg_key>a</arg_key><arg_value>c",
    ],
    "names and arguments": [
        "[TOOL_CALLS]",
        "[TOOL_CALLS]two words[ARGS]{}",
        "[TOOL_CALLS]now[ARGS]{",
    ],
    "functools": ["functools is a module", "functools[1, 2]", "functools[reduce]"],
    "a section": ["<|tool_calls_section_begin|>x<|tool_calls_section_end|>"],
    "wide bars": ["<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{}", "<｜tool▁calls▁begin｜>no"],
    "bare json": [
        '{"name": "unknown", "parameters": {}}',
        '{"name": "now", "parameters": {}}; then',
        "{a: 1}",
        "{",
        "<|python_tag|>print(1)",
    ],
    "bare python-like": ["[now() and text]", "[1, 2]", "[unknown(a=1)]", "[now(1)]", "[now(a=b)]"],
    "python-like": ["<|tool_call_start|>[now(a=[1)]<|tool_call_end|>", "<|tool_call_start|>now"],
    "other quotes": ["<|tool_call>call:now{a:b}<tool_call|>", '<|tool_call>call:now{a:<|"|>b}'],
    "keyed by name": ['<|tools_prefix|>[{"a": {}, "b": {}}]<|tools_suffix|>'],
    "named functions": ["<function=now>3</function>", "<function=now"],
    "channels": [
        "<|channel|>commentary to=functions.now<|message|>no json",
        "<|channel|>commentary" + " x" * 200,
    ],
    "actions": ["<|START_ACTION|>[]<|END_ACTION|>"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer"),
    [(name, answer) for name, answers in MALFORMED.items() for answer in answers],
)
def test_what_is_no_call_comes_back_unchanged(name: str, answer: str) -> None:
    case = CASES[name]
    prompt_end = "<|start|>assistant" if name == "channels" else "assistant\n"
    for text in (answer, f"\nLook:  {answer} .\n") if name != "channels" else (answer,):
        for texts in ([text], text):
            reader = find_format(case.template).parser(prompt_end, tools=TOOLS)
            assert read(reader, texts) == content(text)


def test_a_call_after_a_malformed_one_is_read() -> None:
    case = CASES["tagged json"]
    text = '<tool_call>\n{"name": "now", "arguments": {}\n</tool_call>\n'
    good = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
    assert parts(read(parser(case), [text + good])) == [text.rstrip(), ("now", {})]


@pytest.mark.parametrize("name", [name for name in CASES if name != "channels"])
def test_what_follows_too_long_a_beginning_is_read(name: str) -> None:
    """An opener takes no more with it than a name may have, even if far more came at once."""
    case = CASES[name]
    for opener in find_format(case.template).markings.later:
        text = "A " + opener + "x " * 1500 + case.answer
        whole = read(parser(case), [text])
        assert read(parser(case), text) == whole
        assert read(parser(case), [text[i : i + 700] for i in range(0, len(text), 700)]) == whole


@every_case
def test_without_tools_and_reasoning_nothing_is_lost(case: Case) -> None:
    if case.template in (CHANNELS, ">>>all") or find_format(case.template).markings.frames:
        return
    found = read(parser(case, tools=None, reasoning=False), [case.answer])
    assert found == content(case.answer)


@settings(deadline=None)
@given(texts=st.lists(st.text(), max_size=8))
def test_plain_text_is_passed_on_at_once(texts: list[str]) -> None:
    reader = text_parser()
    for text in texts:
        assert joined(reader.push(text)) == content(text)
    assert reader.finish() == []


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="<{[ \t\r\n"), min_size=1))
def test_nothing_is_held_needlessly(text: str) -> None:
    """Where no marker can begin and no whitespace stands, every character is passed on."""
    reader = parser(CASES["tagged json"])
    for character in text:
        assert reader.push(character) == content(character)


def test_reasoning_comes_as_it_grows() -> None:
    reader = parser(CASES["tagged json"])
    assert reader.push("<think>\n") == []
    assert reader.push("one") == [Reasoning("one")]
    assert reader.push(" two</thi") == [Reasoning(" two")]
    assert reader.push("s") == [Reasoning("</this")]
    assert reader.push("</think>") == []
    assert reader.push("\n\nthree") == [Content("three")]


def test_arguments_are_passed_on_as_they_were_written() -> None:
    arguments = '{ "a":1.50, "b" : [1e3,\n 2], "a2": "\\u00e9\\ud83d" }'
    text = f'<tool_call>{{"name":"f", "arguments":{arguments}}}</tool_call>'
    found = read(parser(CASES["tagged json"]), [text])
    assert found == [CallStart(0, "f"), CallArguments(0, arguments)]


def test_raw_line_ends_in_strings_are_mended() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": "x\ny"}}</tool_call>'
    assert parts(read(parser(CASES["tagged json"]), [text])) == [("f", {"a": "x\ny"})]


@settings(deadline=None)
@given(
    calls=st.lists(
        st.tuples(
            st.from_regex(r"[a-zA-Z_][\w-]{0,20}", fullmatch=True),
            st.dictionaries(
                st.text(max_size=5),
                st.recursive(
                    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda inner: (
                        st.lists(inner, max_size=3)
                        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
                    ),
                    max_leaves=8,
                ),
                max_size=4,
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    places=st.lists(st.integers(0, 2000), max_size=6),
    ascii_only=st.booleans(),
)
def test_calls_that_had_to_come_are_read(
    calls: list[tuple[str, Any]], places: list[int], ascii_only: bool
) -> None:
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    text = json.dumps(listed, ensure_ascii=ascii_only)
    assert parts(read(calls_parser(), cut(text, places))) == calls
    assert parts(read(calls_parser(), [text[:-1]])) == calls
    cut_off = read(calls_parser(), [text[:-2]])
    whole = [piece for piece in cut_off if not isinstance(piece, Content)]
    assert parts(whole) == calls[:-1], "calls that are whole count, whatever becomes of the last"
    last = json.dumps(listed[-1], ensure_ascii=ascii_only)[:-1]
    said = "".join(piece.text for piece in cut_off if isinstance(piece, Content))
    assert said.strip().removeprefix("[") == last


def test_long_answers_take_linear_work() -> None:
    """Counted in characters that the reader copies, not in seconds."""
    case = CASES["tagged json"]
    arguments = json.dumps({"text": "x" * 200_000})
    text = f'<tool_call>{{"name": "now", "arguments": {arguments}}}</tool_call>'
    reader = parser(case)
    copied = 0
    add = reader._reader.add

    def counted(more: str) -> None:
        nonlocal copied
        add(more)
        copied += len(reader._reader._text)

    reader._reader.add = counted  # type: ignore[method-assign]
    found = read(reader, (text[i : i + 5] for i in range(0, len(text), 5)))
    assert parts(found) == [("now", {"text": "x" * 200_000})]
    assert copied < 3 * len(text)


def test_no_marker_begins_another() -> None:
    """Else the shorter would be taken where the longer stands."""
    for case in CASES.values():
        markings = find_format(case.template).markings
        openers = [*markings.later]
        for one in openers:
            assert not any(one != other and other.startswith(one) for other in openers)
