"""Every shared chat template renders as transformers renders it, or both refuse."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from foreknown.checkpoint.template import ChatTemplate, read_chat_template
from foreknown.errors import CheckpointError, RequestError

TOKENS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather in a <place> — today's",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "a town"},
                "unit": {"type": "string", "enum": ["c", "f"]},
            },
            "required": ["place"],
        },
    },
}
CALL = {
    "id": "call_0001",
    "type": "function",
    "function": {"name": "weather", "arguments": {"place": "Zürich & Ürgüp"}},
}

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "user": {"messages": [{"role": "user", "content": "Hello <b>'you'</b>"}]},
    "system": {
        "messages": [
            {"role": "system", "content": "Be brief.\n"},
            {"role": "user", "content": "  two  spaces\n\n"},
        ]
    },
    "turns": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nOne."},
            {"role": "user", "content": "漢字 😀?"},
        ]
    },
    "answered": {
        "messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "One.", "reasoning_content": "easy"},
        ]
    },
    "thinking": {
        "messages": [
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "One.", "thinking": "easy"},
            {"role": "user", "content": "Two?"},
        ],
        "enable_thinking": True,
    },
    "tools": {
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [WEATHER],
    },
    "call": {
        "messages": [
            {"role": "system", "content": "Use tools."},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {
                "role": "tool",
                "name": "weather",
                "tool_call_id": "call_0001",
                "content": '{"t": 21}',
            },
            {"role": "assistant", "content": "It is 21 degrees."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [WEATHER],
    },
    "parts": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    },
    "wrong order": {
        "messages": [
            {"role": "assistant", "content": "I first"},
            {"role": "assistant", "content": "and again"},
        ]
    },
    "no content": {"messages": [{"role": "user"}]},
    "documents": {
        "messages": [{"role": "user", "content": "Hello"}],
        "documents": [{"title": "T", "text": "D"}],
    },
}


def chat(source: str, **tokens: str) -> ChatTemplate:
    return ChatTemplate({"default": source}, {"default": Path("chat_template.jinja")}, tokens)


def say(source: str, **variables: Any) -> str:
    return chat(source).render([{"role": "user", "content": "hello"}], **variables)


@pytest.fixture(scope="session")
def templates(shared: Path) -> list[Path]:
    found = sorted((shared / "chat_templates").glob("*.jinja"))
    assert len(found) >= 55
    return found


PARTS = 4
"""Of the shared templates: each is compiled once for all conversations."""


@pytest.mark.parametrize("part", range(PARTS))
def test_equals_transformers(templates: list[Path], part: int) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered = set()
    for path in templates[part::PARTS]:
        source = path.read_text(encoding="utf-8")
        ours = chat(source, **TOKENS)
        for conversation, prompt in product(CONVERSATIONS, (False, True)):
            given = dict(CONVERSATIONS[conversation])
            messages = given.pop("messages")
            try:
                [expected], _ = render_jinja_template(
                    conversations=[messages],
                    chat_template=source,
                    add_generation_prompt=prompt,
                    **given,
                    **TOKENS,
                )
            except Exception:
                with pytest.raises((CheckpointError, RequestError), match="template line"):
                    ours.render(messages, add_generation_prompt=prompt, **given)
                continue
            rendered.add(conversation)
            found = ours.render(messages, add_generation_prompt=prompt, **given)
            assert found == expected, (path.name, conversation, prompt)
    assert rendered >= CONVERSATIONS.keys() - {"no content"}


def test_jinja_as_transformers_sets_it_up() -> None:
    assert say("{% if true %}\n  yes\n  {% endif %}\nend") == "  yes\nend"
    assert (
        say("{% for i in range(5) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}")
        == "01"
    )
    assert say("{{ {'a': '<é>'} | tojson }}") == '{"a": "<é>"}'
    assert say("{{ {'a': 1} | tojson(indent=1) }}") == '{\n "a": 1\n}'
    assert say("a{% generation %}b{{ messages[0].content }}{% endgeneration %}c") == "abhelloc"
    assert say("{{ strftime_now('%d %b %Y') }}", now=datetime(2026, 7, 26)) == "26 Jul 2026"
    assert say("{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a ~ '-' ~ 1.5 }}") == "2-1.5"
    assert say("{% for m in messages %}{{ loop.last }}{{ loop.length }}{% endfor %}") == "True1"
    assert say("{{ dict(a=1).a }}{{ x }}{{ bos_token }}", x=3) == "13"


def test_none_entries_are_left_out() -> None:
    source = "{{ 'tool_calls' in messages[0] }}"
    message = {"role": "assistant", "content": "a", "tool_calls": None}
    assert chat(source).render([message]) == "False"


def test_caller_keeps_its_messages() -> None:
    message = {"role": "user", "content": "a", "thinking": "b"}
    chat("{{ messages[0].reasoning_content }}").render([message])
    assert message == {"role": "user", "content": "a", "thinking": "b"}


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{{ 'x' * 1000000000000 }}",
        "{{ 1000000000000 * 'x' }}",
        "{{ [1] * 1000000000000 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ ''.center(1000000000000) }}",
        "{{ '' | center(1000000000000) }}",
        "{{ '{:>1000000000000}'.format(1) }}",
        "{{ '%1000000000000d' % 1 }}",
        "{{ '%1000000000000d' | format(1) }}",
        "{% set n = namespace(x='xxxxxxxx') %}"
        "{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='xxxxxxxx') %}"
        "{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='xxxxxxxx') %}"
        "{% for i in range(99) %}{% set n.x = n.x.replace('x', n.x) %}{% endfor %}",
        "{% set x = 'x' * 9999 %}{% for i in range(9999) %}{{ x }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{{ m(60) }}",
    ],
)
def test_endless_template_is_stopped(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foreknown.checkpoint.sandbox.TIME_LIMIT_S", 1.0)
    with pytest.raises((CheckpointError, RequestError), match=r"chat_template\.jinja"):
        say(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ namespace(__class__=1) }}",
        "{{ ().__class__.__bases__[0].__subclasses__() }}",
        "{{ range.__globals__.os }}",
    ],
)
def test_sandbox_holds(source: str) -> None:
    with pytest.raises(CheckpointError, match="may not do this"):
        say(source)


def test_other_objects_are_only_named() -> None:
    assert (
        say("{{ x }}{{ y }}", x=Path("a"), y={"k": (1, object())})
        == "<PosixPath>{'k': (1, '<object>')}"
    )


def test_errors_tell_the_line() -> None:
    with pytest.raises(CheckpointError, match=r"does not parse.*\n.*template line 2"):
        say("a\n{% if %}")
    with pytest.raises(RequestError, match=r"no system!\n.*template line 3"):
        say("a\nb\n{{ raise_exception('no system!') }}")
    with pytest.raises(RequestError, match=r"cannot render.*\n.*template line 2"):
        say("a\n{{ messages[0].missing.more }}")
    with pytest.raises(RequestError, match="is empty"):
        chat("a").render([])
    with pytest.raises(RequestError, match="message 0 is a str"):
        chat("a").render(["hello"])  # type: ignore[list-item]


def test_where_templates_are_found(make: Any) -> None:
    assert read_chat_template(make.directory) is None
    make.json("tokenizer_config.json", {"chat_template": "config"})
    say = [{"role": "user", "content": "hello"}]

    def rendered(**options: Any) -> str:
        template = read_chat_template(make.directory)
        assert template is not None
        return template.render(say, **options)

    assert rendered() == "config"
    named = [{"name": "default", "template": "one"}, {"name": "tool_use", "template": "two"}]
    make.json("tokenizer_config.json", {"chat_template": named})
    assert rendered() == "one"
    assert rendered(tools=[WEATHER]) == "two"
    assert rendered(name="tool_use") == "two"
    with pytest.raises(RequestError, match="named 'rag'"):
        rendered(name="rag")
    make.text("chat_template.jinja", "file\n")
    assert rendered(tools=[WEATHER]) == "file"
    make.text("chat_templates/rag.jinja", "{{ eos_token }}rag")
    assert rendered(name="rag") == "rag"
    template = read_chat_template(make.directory, {"eos_token": "</s>"})
    assert template is not None
    assert template.render(say, name="rag") == "</s>rag"


def test_template_of_the_wrong_kind(make: Any) -> None:
    make.json("tokenizer_config.json", {"chat_template": 3})
    with pytest.raises(CheckpointError, match="neither a text nor a list"):
        read_chat_template(make.directory)
