"""Conversations as a model's template wants them, and models whose template knows no tools.

Every interface brings its messages into one form, that of OpenAI's chat completions with texts as
contents; this turns them into a prompt.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.errors import ForeknownError
from foreknown.server.errors import Refusal, refused
from foreknown.server.served_model import THREAD_CHARACTERS, ServedModel
from foreknown.strategies.strategy import Problem

Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]
"""Definitions of functions, in OpenAI's form."""

_TOOLS_TOLD = """\
You may call these functions, described as JSON:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON, as many times as you need:
<tool_call>
{{"name": "function", "arguments": {{…}}}}
</tool_call>"""


@dataclass(frozen=True)
class Conversation:
    """What a model is to answer.

    Attributes:
        messages: role, content (a text or None), and of assistants tool_calls with arguments as
            objects and reasoning_content, of tools tool_call_id.
        tools: definitions of functions, in OpenAI's form.
        continues: the last message is the beginning of the answer.
        template_variables: more that the template may read.
    """

    messages: Sequence[Message]
    tools: Tools = ()
    continues: bool = False
    template_variables: Mapping[str, Any] = field(default_factory=dict)


def different_names(tools: Tools) -> list[str]:
    """The tools' names.

    Raises:
        Refusal: two are the same.
    """
    names = [tool["function"]["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise Refusal("two of the tools have the same name", param="tools", code="invalid_value")
    return names


async def prompt_text(model: ServedModel, conversation: Conversation) -> str:
    """The text of a prompt.

    Raises:
        Refusal: the model has no template, or its template refuses the conversation.
    """
    if model.checkpoint.chat_template is None:
        raise Refusal(
            f"the model {model.name!r} has no chat template",
            param="model",
            remedy="send a prompt to /v1/completions",
        )
    size = sum(len(message.get("content") or "") for message in conversation.messages)
    if size < THREAD_CHARACTERS:
        return rendered(model, conversation)
    return await asyncio.to_thread(rendered, model, conversation)


def problem_ids(model: ServedModel, said: Conversation, problem: Problem) -> list[int]:
    """The tokens of a problem that came of a conversation, with what its answer begins with.

    Raises:
        Refusal: the template refuses it.
    """
    encode = model.checkpoint.tokenizer.encode
    text = rendered(model, replace(said, messages=problem.messages))
    return encode(text, False) + encode(problem.begun, False)


def rendered(model: ServedModel, conversation: Conversation) -> str:
    """The same on this thread, whatever its length."""
    template = model.checkpoint.chat_template
    assert template is not None
    messages, tools = conversation.messages, conversation.tools or None
    if not model.answer_format.calls_tools:
        messages, tools = _told_in_words(messages, tools), None
    try:
        text = template.render(
            messages,
            tools=tools,
            add_generation_prompt=not conversation.continues,
            **conversation.template_variables,
        )
    except ForeknownError as error:
        raise refused(error, "messages") from None
    return _cut_after(text, messages[-1]) if conversation.continues else text


def _cut_after(text: str, last: Message) -> str:
    """A prompt up to the end of its last message's own words, for the model to go on there."""
    content = (last.get("content") or "").strip()
    place = text.rfind(content)
    if not content or place < 0:
        raise Refusal("this model's template does not let an answer be begun", param="messages")
    return text[: place + len(content)]


def _told_in_words(messages: Sequence[Message], tools: Tools | None) -> list[Message]:
    """The same conversation for a template that has no place for tools, calls and their results."""
    told = [_in_words(message) for message in messages]
    if tools:
        described = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
        words = _TOOLS_TOLD.format(tools=described)
        if told[0]["role"] == "system":
            words = f"{told[0]['content']}\n\n{words}"
            told = told[1:]
        told.insert(0, {"role": "system", "content": words})
    return told


def _in_words(message: Message) -> Message:
    content = message.get("content") or ""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{content}\n</tool_response>"}
    parts = [content] if content else []
    for call in message.get("tool_calls") or ():
        function = {key: call["function"][key] for key in ("name", "arguments")}
        parts.append(f"<tool_call>\n{json.dumps(function)}\n</tool_call>")
    return {"role": message["role"], "content": "\n".join(parts)}
