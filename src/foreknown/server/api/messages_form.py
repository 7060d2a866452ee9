"""Messages of a chat, as OpenAI's clients send them, and as templates read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from foreknown.server.api.fields import Form, FunctionName
from foreknown.server.errors import Refusal


class TextPart(Form):
    type: Literal["text"]
    text: str


class RefusalPart(Form):
    type: Literal["refusal"]
    refusal: str


Text = str | Annotated[list[Annotated[TextPart, Field(discriminator="type")]], Field(min_length=1)]
AnswerPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class SystemMessage(Form):
    role: Literal["system", "developer"]
    content: Text
    name: str | None = None


class UserMessage(Form):
    role: Literal["user"]
    content: Text
    name: str | None = None


class CalledFunction(Form):
    name: FunctionName
    arguments: str


class ToolCall(Form):
    id: str
    type: Literal["function"]
    function: CalledFunction
    index: int | None = None


class AssistantMessage(Form):
    role: Literal["assistant"]
    content: str | list[AnswerPart] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None


class ToolMessage(Form):
    role: Literal["tool"]
    content: Text
    tool_call_id: str
    name: str | None = None


ChatMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def plain_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Messages with texts as contents and arguments as objects.

    Raises:
        Refusal: a tool's result that nobody called for, a call without a result before the next
            turn, or arguments that are not an object.
    """
    plain: list[dict[str, Any]] = []
    open_calls: dict[str, str] = {}
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if isinstance(message, ToolMessage):
            plain.append(_result(message, open_calls, where))
            continue
        if open_calls:
            raise Refusal(
                f"{where} follows calls whose results are missing: {', '.join(open_calls)}",
                param=where,
                code="invalid_value",
                remedy="answer each call with a message of role tool",
            )
        role = "system" if message.role == "developer" else message.role
        one: dict[str, Any] = {"role": role, "content": _text(message.content)}
        if message.name is not None:
            one["name"] = message.name
        if isinstance(message, AssistantMessage):
            one |= _of_assistant(message, where)
            open_calls = {c.id: c.function.name for c in message.tool_calls or ()}
        plain.append(one)
    if open_calls:
        raise Refusal(
            f"{where} makes calls whose results are missing: {', '.join(open_calls)}",
            param=where,
            code="invalid_value",
            remedy="answer each call with a message of role tool",
        )
    return plain


def _result(message: ToolMessage, open_calls: dict[str, str], where: str) -> dict[str, Any]:
    name = open_calls.pop(message.tool_call_id, None)
    if name is None:
        raise Refusal(
            f"{where} answers the call {message.tool_call_id!r}, which the assistant's message "
            "before it does not make",
            param=f"{where}.tool_call_id",
            code="invalid_value",
        )
    return {
        "role": "tool",
        "content": _text(message.content),
        "tool_call_id": message.tool_call_id,
        "name": message.name or name,
    }


def _of_assistant(message: AssistantMessage, where: str) -> dict[str, Any]:
    if message.content is None and not message.tool_calls and message.refusal is None:
        raise Refusal(
            f"{where} has neither content nor tool_calls",
            param=f"{where}.content",
            code="invalid_value",
        )
    more: dict[str, Any] = {}
    if message.content is None and message.refusal is not None:
        more["content"] = message.refusal
    reasoning = message.reasoning_content or message.reasoning
    if reasoning:
        more["reasoning_content"] = reasoning
    if message.tool_calls:
        more["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": arguments_object(
                        call.function.arguments, f"{where}.tool_calls[{n}].function.arguments"
                    ),
                },
            }
            for n, call in enumerate(message.tool_calls)
        ]
    return more


def arguments_object(text: str, where: str) -> dict[str, Any]:
    """The arguments of a call, from their JSON text.

    Raises:
        Refusal: it is no JSON object.
    """
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise Refusal(
            f"{where} is not the text of a JSON object", param=where, code="invalid_value"
        )
    return arguments


def _text(content: str | Sequence[TextPart | RefusalPart] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)
