"""POST /v1/messages and /v1/messages/count_tokens, as Anthropic's clients speak them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator

from foreknown.engine import Request as EngineRequest
from foreknown.engine.sampling import MAX_STOPS
from foreknown.server.answers import CallArguments, CallStart, Content, Piece, Reasoning
from foreknown.server.api.documented import DOCUMENTED_ANTHROPIC, OBJECTIVE_HEADERS
from foreknown.server.api.fields import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Foretold,
    Form,
    FunctionName,
    JsonObject,
    Name,
    Parameters,
    StopText,
    stops,
)
from foreknown.server.api.strategy_fields import StrategyFields, wish
from foreknown.server.asking import Asked, MustCall, Wishes, ask, forced_call
from foreknown.server.conversation import Conversation, Tools, different_names, prompt_text
from foreknown.server.deltas import Answer, deltas, gathered
from foreknown.server.errors import Refusal
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service
from foreknown.server.streaming import EventStream, event
from foreknown.server.underway import Underway

NAMES = {"prompt": "messages", "stop": "stop_sequences"}
"""What the engine's fields are called here."""


class CacheControl(Form):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Block(Form):
    """What all blocks may carry: caching is done by itself, so this changes nothing."""

    cache_control: CacheControl | None = None


class TextBlock(Block):
    type: Literal["text"]
    text: str
    citations: None = None


class ToolUseBlock(Block):
    type: Literal["tool_use"]
    id: str
    name: FunctionName
    input: JsonObject
    caller: JsonObject | None = None


class ToolResultBlock(Block):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[Annotated[TextBlock, Field(discriminator="type")]] | None = None
    is_error: bool | None = None


class ThinkingBlock(Form):
    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ToolUseBlock | ThinkingBlock, Field(discriminator="type")]


class UserMessage(Form):
    role: Literal["user"]
    content: str | Annotated[list[UserBlock], Field(min_length=1)]


class AssistantMessage(Form):
    role: Literal["assistant"]
    content: str | list[AssistantBlock]


Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]


class Tool(Block):
    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: Parameters
    strict: bool | None = None


class ToolChoice(Form):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _named(self) -> ToolChoice:
        if (self.type == "tool") != (self.name is not None):
            raise ValueError("name belongs to the type 'tool'")
        return self


class Thinking(Form):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class Metadata(Form):
    user_id: str | None = None


class JsonOutput(Form):
    type: Literal["json_schema"]
    schema_: Annotated[JsonObject, Field(alias="schema")]


class OutputConfig(Form):
    format: JsonOutput | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class CountRequest(Form):
    """A conversation whose tokens are to be counted."""

    model: Name
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    system: str | list[Annotated[TextBlock, Field(discriminator="type")]] | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest, Foretold, StrategyFields):
    """A conversation to be answered, as Anthropic's clients send it."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)]
    stop_sequences: Annotated[list[StopText], Field(max_length=MAX_STOPS)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    # Said by clients for the provider's own sake; they change nothing here.
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


def conversation(body: CountRequest) -> Conversation:
    """The messages of a body, in the form of OpenAI's chat.

    Raises:
        Refusal: roles do not take turns, or a result has no call.
    """
    plain: list[dict[str, Any]] = []
    if body.system is not None:
        plain.append({"role": "system", "content": _text(body.system)})
    calls: dict[str, str] = {}  # without a result so far, and where they stand
    before = ""
    for place, message in enumerate(body.messages):
        where = f"messages[{place}]"
        if place == 0 and message.role != "user":
            raise Refusal("the first message is the user's", param=f"{where}.role")
        if message.role == before == "assistant":
            raise Refusal("two messages of the assistant follow each other", param=f"{where}.role")
        before = message.role
        if isinstance(message, UserMessage):
            plain += _of_user(message, calls, where)
            _require_none(calls)
        else:
            plain.append(_of_assistant(message))
            if not isinstance(message.content, str):
                calls = {
                    block.id: f"{where}.content[{n}]"
                    for n, block in enumerate(message.content)
                    if isinstance(block, ToolUseBlock)
                }
    _require_none(calls)
    tools = [_tool(tool) for tool in body.tools or ()]
    variables = (
        {} if body.thinking is None else {"enable_thinking": body.thinking.type != "disabled"}
    )
    return Conversation(plain, tools, before == "assistant", variables)


def _require_none(calls: dict[str, str]) -> None:
    """Refuse calls that the user's next message has no result for."""
    for where in calls.values():
        raise Refusal("the call has no tool_result in the message after it", param=where)


def _of_user(message: UserMessage, calls: dict[str, str], where: str) -> Iterator[dict[str, Any]]:
    if isinstance(message.content, str):
        yield {"role": "user", "content": message.content}
        return
    texts = []
    for place, block in enumerate(message.content):
        if isinstance(block, TextBlock):
            texts.append(block.text)
            continue
        if calls.pop(block.tool_use_id, None) is None:
            raise Refusal(
                f"the call {block.tool_use_id!r} is not in the assistant's message before",
                param=f"{where}.content[{place}].tool_use_id",
            )
        yield {
            "role": "tool",
            "tool_call_id": block.tool_use_id,
            "content": _text(block.content or ""),
        }
    if texts:
        yield {"role": "user", "content": "".join(texts)}


def _of_assistant(message: AssistantMessage) -> dict[str, Any]:
    if isinstance(message.content, str):
        return {"role": "assistant", "content": message.content}
    blocks = message.content
    one: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(block.text for block in blocks if isinstance(block, TextBlock)),
    }
    thought = "".join(block.thinking for block in blocks if isinstance(block, ThinkingBlock))
    if thought:
        one["reasoning_content"] = thought
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": block.input},
        }
        for block in blocks
        if isinstance(block, ToolUseBlock)
    ]
    if calls:
        one["tool_calls"] = calls
    return one


def _tool(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _text(content: str | list[TextBlock]) -> str:
    return content if isinstance(content, str) else "".join(block.text for block in content)


def wishes(body: MessagesRequest, tools: Tools, user: str) -> Wishes:
    """What a body asks of the answer.

    Raises:
        Refusal: its choice of tools makes no sense.
    """
    names = different_names(tools)
    choice = body.tool_choice
    must_call: MustCall = None
    if choice is not None and choice.type in ("any", "tool"):
        must_call = forced_call(names, choice.name)
    schema = body.output_config.format if body.output_config else None
    return Wishes(
        grammar=None if schema is None else ("json_schema", schema.schema_),
        grammar_param="output_config.format.schema",
        tools=[] if choice is not None and choice.type == "none" else tools,
        must_call=must_call,
        parallel=False if choice is not None and choice.disable_parallel_tool_use else None,
        user=user,
    )


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.post("/v1/messages", responses=DOCUMENTED_ANTHROPIC, openapi_extra=OBJECTIVE_HEADERS)
    async def messages(body: MessagesRequest, http: Request) -> Response:
        """Answer a conversation."""
        model, named = service.addressed(body.model)
        said = conversation(body)
        wanted = wishes(body, said.tools, http.state.user)
        params = model.params(
            max_tokens=body.max_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            top_k=body.top_k,
            stop=stops(body.stop_sequences),
        )
        asked = await ask(model, said, params, wanted)
        request, fitted = _fitted(asked.request, model.context)
        strategy = wish(body, named, service.kit, wanted, said, {}, NAMES)
        if strategy is not None and fitted:  # drafts are followed by others
            request = replace(request, params=replace(params, max_tokens=None))
        generation = await service.answer(
            model, request, said, strategy, http, NAMES, body.objectives
        )
        name = f"msg_{secrets.token_hex(12)}"
        if body.stream:
            return EventStream(generation, _events(name, model, generation, asked, fitted))
        try:
            (answer,) = await gathered(generation, asked.new_parser, 1)
        finally:
            generation.close()
        return JSONResponse(_message(name, model, generation, answer, fitted))

    @routes.post("/v1/messages/count_tokens", responses=DOCUMENTED_ANTHROPIC)
    async def count_tokens(body: CountRequest) -> dict[str, int]:
        """The tokens of a conversation as the model would read it."""
        model = service.model(body.model)
        text = await prompt_text(model, conversation(body))
        return {"input_tokens": len(await model.encode(text, special=False, param="messages"))}

    return routes


def _fitted(request: EngineRequest, context: int) -> tuple[EngineRequest, bool]:
    """A request that asks for no more tokens than there is room for; whether it did.

    Every client of this interface must say how many it wants, and most say far too many.
    """
    room = context - len(request.prompt)
    if room < 1 or (request.params.max_tokens or 0) <= room:
        return request, False
    return replace(request, params=replace(request.params, max_tokens=room)), True


def _usage(generation: Underway) -> dict[str, int]:
    usage = generation.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }


def _head(name: str, model: ServedModel, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "message", "role": "assistant", "model": model.name, **more}


def _message(
    name: str, model: ServedModel, generation: Underway, answer: Answer, fitted: bool
) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": ""})
    if answer.content or not answer.calls:
        blocks.append({"type": "text", "text": answer.content})
    blocks += [_tool_use(call.name, call.arguments_object()) for call in answer.calls]
    ending = _ending(answer.finish, answer.stopped_by, fitted)
    return _head(
        name, model, content=blocks, **ending, usage=_usage(generation), **generation.outcome()
    )


def _tool_use(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": f"toolu_{secrets.token_hex(12)}",
        "name": name,
        "input": arguments,
    }


def _ending(finish: str, stopped_by: str | int | None, fitted: bool) -> dict[str, str | None]:
    """Why there is no more.

    Args:
        fitted: there was room for fewer tokens than were asked for.
    """
    longest = "model_context_window_exceeded" if fitted else "max_tokens"
    reason = {"stop": "end_turn", "length": longest, "tool_calls": "tool_use"}[finish]
    sequence = stopped_by if isinstance(stopped_by, str) and finish == "stop" else None
    return {
        "stop_reason": "stop_sequence" if sequence is not None else reason,
        "stop_sequence": sequence,
    }


class _Blocks:
    """The blocks of a streamed answer: each is opened before its deltas and closed after them."""

    def __init__(self) -> None:
        self._index = -1
        self._kind = ""

    def write(self, piece: Piece) -> Iterator[bytes]:
        if isinstance(piece, CallStart):
            yield from self._open("tool_use", _tool_use(piece.name, {}))
        elif isinstance(piece, CallArguments):
            yield self._delta({"type": "input_json_delta", "partial_json": piece.text})
        elif isinstance(piece, Reasoning):
            if self._kind != "thinking":
                block = {"type": "thinking", "thinking": "", "signature": ""}
                yield from self._open("thinking", block)
            yield self._delta({"type": "thinking_delta", "thinking": piece.text})
        elif isinstance(piece, Content):
            if self._kind != "text":
                yield from self._open("text", {"type": "text", "text": ""})
            yield self._delta({"type": "text_delta", "text": piece.text})

    def close(self) -> Iterator[bytes]:
        if self._kind:
            self._kind = ""
            stop = {"type": "content_block_stop", "index": self._index}
            yield event(stop, "content_block_stop")

    def _open(self, kind: str, block: dict[str, Any]) -> Iterator[bytes]:
        yield from self.close()
        self._index, self._kind = self._index + 1, kind
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        yield event(start, "content_block_start")

    def _delta(self, delta: dict[str, str]) -> bytes:
        body = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return event(body, "content_block_delta")


async def _events(
    name: str, model: ServedModel, generation: Underway, asked: Asked, fitted: bool
) -> AsyncGenerator[bytes, None]:
    nothing: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    head = _head(name, model, **nothing, usage=_usage(generation), **generation.told())
    yield event({"type": "message_start", "message": head}, "message_start")
    blocks = _Blocks()
    try:
        async for group in deltas(generation, asked.new_parser, 1):
            for delta in group:
                written = b"".join(b for piece in delta.pieces for b in blocks.write(piece))
                if written:
                    yield written
                if delta.finish is not None:
                    body = {
                        "type": "message_delta",
                        "delta": _ending(delta.finish, delta.stopped_by, fitted),
                        "usage": _usage(generation),
                        **generation.outcome(),
                    }
                    yield b"".join(blocks.close()) + event(body, "message_delta")
    except Refusal as refusal:
        yield event(refusal.anthropic(name), "error")
        return
    yield event({"type": "message_stop"}, "message_stop")
