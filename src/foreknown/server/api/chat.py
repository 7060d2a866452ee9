"""POST /v1/chat/completions"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator

from foreknown.server.answers import CallArguments, CallStart, Content, Piece, Reasoning
from foreknown.server.api.documented import DOCUMENTED, OBJECTIVE_HEADERS
from foreknown.server.api.fields import (
    MAX_MESSAGES,
    MAX_TOOLS,
    Form,
    FunctionName,
    FunctionTool,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    Name,
    OpenAIRequest,
    ResponseFormat,
    StreamOptions,
    contradiction,
)
from foreknown.server.api.logprobs import chat_logprobs
from foreknown.server.api.messages_form import ChatMessage, plain_messages
from foreknown.server.api.strategy_fields import StrategyFields, wish
from foreknown.server.api.usage import usage_in_chunk, usage_record
from foreknown.server.asking import Asked, Grammar, MustCall, Wishes, ask
from foreknown.server.conversation import Conversation, different_names
from foreknown.server.deltas import Answer, Delta, deltas, gathered
from foreknown.server.errors import Refusal
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service
from foreknown.server.streaming import DONE, EventStream, event
from foreknown.server.underway import Underway

MAX_TOP_LOGPROBS = 20
RESERVED = {"messages", "tools", "documents", "name", "now", "add_generation_prompt"}
"""What a template is given by the server itself."""


class NamedFunction(Form):
    name: FunctionName


class NamedTool(Form):
    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Form):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedToolsChoice(Form):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoice = (
    Literal["none", "auto", "required"]
    | Annotated[NamedTool | AllowedToolsChoice, Field(discriminator="type")]
)


class ChatRequest(OpenAIRequest, StrategyFields):
    """A conversation to be answered, as OpenAI's clients send it."""

    model: Name
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    include_reasoning: bool = True
    continue_final_message: bool = False
    chat_template_kwargs: JsonObject | None = None
    # Said by clients for the provider's own sake; they change nothing here.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    modalities: list[Literal["text"]] | None = None

    @model_validator(mode="after")
    def _agree(self) -> ChatRequest:
        if self.top_logprobs is not None and not self.logprobs:
            raise contradiction("top_logprobs", "top_logprobs needs logprobs to be true")
        if self.max_tokens and self.max_completion_tokens not in (None, self.max_tokens):
            raise contradiction("max_tokens", "max_tokens and max_completion_tokens differ")
        return self


def wishes(body: ChatRequest, user: str) -> Wishes:
    """What a body asks of the answer.

    Raises:
        Refusal: its wishes contradict each other.
    """
    grammar, param = _grammar(body)
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()]
    must_call, tools = _choice(body, tools)
    if must_call is not None and grammar is not None:
        raise Refusal(f"{param} excludes a tool_choice that forces a call", param=param)
    beams = body.beams
    return Wishes(
        grammar=grammar,
        grammar_param=param,
        tools=tools,
        must_call=must_call,
        parallel=body.parallel_tool_calls,
        samples=1 if beams else body.wanted,
        beams=beams,
        user=user,
    )


def _grammar(body: ChatRequest) -> tuple[Grammar | None, str]:
    if body.structured_outputs is not None:
        if not (body.response_format is None or body.response_format.type == "text"):
            raise Refusal(
                "response_format and structured_outputs exclude each other",
                param="structured_outputs",
            )
        return body.structured_outputs.chosen, "structured_outputs"
    if isinstance(body.response_format, JsonSchemaFormat):
        schema = body.response_format.json_schema.schema_ or {}
        return ("json_schema", schema), "response_format.json_schema.schema"
    if isinstance(body.response_format, JsonObjectFormat):
        return ("json_object", None), "response_format"
    return None, "response_format"


def _choice(
    body: ChatRequest, tools: list[dict[str, Any]]
) -> tuple[MustCall, list[dict[str, Any]]]:
    """Whether a call is forced, and the tools that may be called."""
    names = different_names(tools)
    choice = body.tool_choice
    if choice is None or choice == "auto":
        return None, tools
    if not tools and choice != "none":
        raise Refusal("tool_choice is given without tools", param="tool_choice")
    if choice == "none":
        return None, []
    if choice == "required":
        return True, tools
    forced: MustCall
    if isinstance(choice, NamedTool):
        wanted, forced = [choice.function.name], choice.function.name
    else:
        assert isinstance(choice, AllowedToolsChoice)
        wanted = [tool.function.name for tool in choice.allowed_tools.tools]
        forced = True if choice.allowed_tools.mode == "required" else None
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise Refusal(
            f"tool_choice names {', '.join(missing)}, which tools does not define",
            param="tool_choice",
            code="invalid_value",
        )
    return forced, [tool for tool in tools if tool["function"]["name"] in wanted]


def conversation(body: ChatRequest) -> Conversation:
    """The messages of a body, as templates read them."""
    messages = plain_messages(body.messages)
    if body.continue_final_message and messages[-1]["role"] != "assistant":
        raise Refusal(
            "continue_final_message needs a last message of the assistant",
            param="continue_final_message",
        )
    variables = dict(body.chat_template_kwargs or {})
    reserved = sorted(variables.keys() & RESERVED)
    if reserved:
        param = f"chat_template_kwargs.{reserved[0]}"
        raise Refusal(f"{param} is not for a request to set", param=param)
    if body.reasoning_effort is not None:
        variables.setdefault("reasoning_effort", body.reasoning_effort)
        variables.setdefault("enable_thinking", body.reasoning_effort != "none")
    return Conversation(messages, (), body.continue_final_message, variables)


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions", responses=DOCUMENTED, openapi_extra=OBJECTIVE_HEADERS)
    async def chat_completions(body: ChatRequest, http: Request) -> Response:
        """Answer a conversation."""
        model, named = service.addressed(body.model)
        if body.wanted > service.limits.samples:
            raise Refusal(f"n is larger than {service.limits.samples}", param="n")
        wanted = wishes(body, http.state.user)
        params = body.params(
            model,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            searches=wanted.beams is not None,
        )
        said = conversation(body)
        asked = await ask(model, said, params, wanted)
        others = {
            "logprobs": body.logprobs,
            "continue_final_message": body.continue_final_message,
        }
        strategy = wish(body, named, service.kit, wanted, said, others, _names(body))
        generation = await service.answer(
            model, asked.request, said, strategy, http, _names(body), body.objectives
        )
        head = _Head(f"chatcmpl-{secrets.token_hex(12)}", int(time.time()), model)
        if body.stream:
            return EventStream(generation, _events(body, head, generation, asked))
        try:
            answers = await gathered(generation, asked.new_parser, body.wanted)
        finally:
            generation.close()
        return JSONResponse(_whole(body, head, answers, generation))

    return routes


def _names(body: ChatRequest) -> dict[str, str]:
    """What the engine's fields are called here."""
    longest = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    return {"prompt": "messages", "max_tokens": longest, "beams": "beam_width"}


class _Head:
    """What every object of one answer says of itself."""

    def __init__(self, name: str, created_s: int, model: ServedModel) -> None:
        self.model = model
        self._shared = {
            "created": created_s,
            "model": model.name,
            "system_fingerprint": model.fingerprint,
        }
        self._name = name

    def object(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"id": self._name, "object": kind, **self._shared, **more}


def _whole(
    body: ChatRequest, head: _Head, answers: Sequence[Answer], generation: Underway
) -> dict[str, Any]:
    choices = []
    for index, answer in enumerate(answers):
        message: dict[str, Any] = {"role": "assistant", "content": answer.content, "refusal": None}
        if answer.calls:
            message["content"] = answer.content or None
            message["tool_calls"] = [
                _call(f"call_{secrets.token_hex(12)}", call.name, call.arguments)
                for call in answer.calls
            ]
        if answer.reasoning and body.include_reasoning:
            message["reasoning_content"] = answer.reasoning
        logprobs = chat_logprobs(head.model, answer.outputs) if body.logprobs else None
        choices.append(
            {
                "index": index,
                "message": message,
                "logprobs": logprobs,
                "finish_reason": answer.finish,
            }
        )
    usage = usage_record(generation.usage)
    return head.object("chat.completion", choices=choices, usage=usage, **generation.outcome())


def _call(name: str, function: str, arguments: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}}


async def _events(
    body: ChatRequest, head: _Head, generation: Underway, asked: Asked
) -> AsyncGenerator[bytes, None]:
    options = body.stream_options or StreamOptions()

    def chunk(
        index: int,
        delta: dict[str, Any],
        finish: str | None = None,
        *,
        told: dict[str, Any] | None = None,
        **also: Any,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish, **also}
        more = usage_in_chunk(options, generation.usage) | (told or {})
        return event(head.object("chat.completion.chunk", choices=[choice], **more))

    begun, told = {"role": "assistant", "content": ""}, generation.told()
    yield b"".join(chunk(i, begun, told=told if i == 0 else None) for i in range(body.wanted))
    try:
        async for group in deltas(generation, asked.new_parser, body.wanted):
            # Where usage follows, that is the last chunk.
            ends = generation.is_over and not options.include_usage
            last = group[-1] if ends else None
            yield b"".join(
                part
                for delta in group
                for part in _chunks(
                    body, head, delta, chunk, generation.outcome() if delta is last else None
                )
            )
    except Refusal as refusal:
        yield event(refusal.openai())
        return
    if options.include_usage:
        usage = usage_record(generation.usage)
        last_words = generation.outcome()
        yield event(head.object("chat.completion.chunk", choices=[], usage=usage, **last_words))
    yield DONE


def _chunks(
    body: ChatRequest, head: _Head, delta: Delta, chunk: Any, outcome: dict[str, Any] | None
) -> list[bytes]:
    """The chunks of one delta: one for each piece, and one for the end, with the outcome."""
    hidden = () if body.include_reasoning else Reasoning
    parts = [_delta(piece) for piece in delta.pieces if not isinstance(piece, hidden)]
    also: dict[str, Any] = {}
    if body.logprobs:
        also["logprobs"] = chat_logprobs(head.model, delta.outputs)
        parts = parts or [{"content": ""}]
    made = []
    for part in parts:
        made.append(chunk(delta.place, part, **also))
        also = {}
    if delta.finish is not None:
        made.append(chunk(delta.place, {}, delta.finish, told=outcome))
    return made


def _delta(piece: Piece) -> dict[str, Any]:
    if isinstance(piece, Content):
        return {"content": piece.text}
    if isinstance(piece, Reasoning):
        return {"reasoning_content": piece.text}
    if isinstance(piece, CallStart):
        call = _call(f"call_{secrets.token_hex(12)}", piece.name, "")
        return {"tool_calls": [{"index": piece.index, **call}]}
    assert isinstance(piece, CallArguments)
    return {"tool_calls": [{"index": piece.index, "function": {"arguments": piece.text}}]}
