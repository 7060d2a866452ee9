"""Requests of OpenAI's responses, and the conversations that they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from foreknown.server.api.fields import (
    MAX_TOOLS,
    Foretold,
    Form,
    FunctionName,
    JsonObject,
    Name,
    Parameters,
    Seed,
    Stop,
    contradiction,
)
from foreknown.server.api.messages_form import arguments_object
from foreknown.server.api.strategy_fields import StrategyFields
from foreknown.server.asking import Grammar, MustCall, Wishes, forced_call
from foreknown.server.conversation import Conversation, Tools, different_names
from foreknown.server.errors import Refusal

MAX_ITEMS = 4096
NAMES = {"prompt": "input", "max_tokens": "max_output_tokens"}
"""What the engine's fields are called here."""


class InputText(Form):
    type: Literal["input_text", "text"]
    text: str


class OutputText(Form):
    type: Literal["output_text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class RefusalText(Form):
    type: Literal["refusal"]
    refusal: str


TextPart = Annotated[InputText | OutputText | RefusalText, Field(discriminator="type")]
Status = Literal["in_progress", "completed", "incomplete"]


class MessageItem(Form):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    id: str | None = None
    status: Status | None = None
    phase: str | None = None


class CallItem(Form):
    type: Literal["function_call"]
    call_id: str
    name: FunctionName
    arguments: str
    id: str | None = None
    status: Status | None = None


class CallResultItem(Form):
    type: Literal["function_call_output"]
    call_id: str
    output: str | list[TextPart]
    id: str | None = None
    status: Status | None = None


class ReasoningText(Form):
    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(Form):
    type: Literal["reasoning"]
    id: str | None = None
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: None = None
    status: Status | None = None


def _kind(item: Any) -> str:
    """An item's type; a message need not say that it is one."""
    kind = item.get("type", "message") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else ""


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[CallResultItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_kind),
]


class FunctionDefinition(Form):
    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: Parameters | None = None
    strict: bool | None = None


class NamedFunction(Form):
    type: Literal["function"]
    name: FunctionName


class PlainText(Form):
    type: Literal["text"]


class JsonObjectText(Form):
    type: Literal["json_object"]


class JsonSchemaText(Form):
    type: Literal["json_schema"]
    name: Name
    description: str | None = None
    schema_: Annotated[JsonObject, Field(alias="schema")]
    strict: bool | None = None


class TextConfig(Form):
    format: (
        Annotated[PlainText | JsonObjectText | JsonSchemaText, Field(discriminator="type")] | None
    ) = None
    verbosity: Literal["medium"] | None = None


class ReasoningConfig(Form):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: None = None


class ResponseStreamOptions(Form):
    include_obfuscation: bool = False


class ResponsesRequest(Foretold, StrategyFields):
    """Something to be answered, as OpenAI's clients send it."""

    model: Name
    input: str | Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    ignore_eos: bool = False
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    text: TextConfig | None = None
    tools: Annotated[list[FunctionDefinition], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningConfig | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = (
        None
    )
    # Nothing is kept between requests, so these can only say so.
    store: bool | None = None
    previous_response_id: None = None
    conversation: None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None
    # Said by clients for the provider's own sake; they change nothing here.
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _stateless(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name in ("previous_response_id", "conversation"):
                if given.get(name) is not None:
                    why = f"{name} is not supported: nothing is stored; send the whole input"
                    raise contradiction(name, why)
        return given

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.top_logprobs) or "message.output_text.logprobs" in (self.include or ())


def conversation(body: ResponsesRequest) -> Conversation:
    """The items of a body, in the form of OpenAI's chat.

    Raises:
        Refusal: a result without its call.
    """
    plain: list[dict[str, Any]] = []
    if body.instructions:
        plain.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        plain.append({"role": "user", "content": body.input})
        return Conversation(plain, _tools(body), False, _variables(body))
    calls: dict[str, str] = {}
    unanswered: dict[str, str] = {}
    thought = ""
    for place, item in enumerate(body.input):
        where = f"input[{place}]"
        if isinstance(item, ReasoningItem):
            thought = "".join(part.text for part in item.content or item.summary or ())
        elif isinstance(item, CallResultItem):
            if item.call_id not in calls:
                raise Refusal(
                    f"no call before has the id {item.call_id!r}", param=f"{where}.call_id"
                )
            unanswered.pop(item.call_id, None)
            plain.append(
                {
                    "role": "tool",
                    "tool_call_id": item.call_id,
                    "name": calls[item.call_id],
                    "content": _text(item.output),
                }
            )
        elif isinstance(item, CallItem):
            calls[item.call_id] = item.name
            unanswered[item.call_id] = where
            arguments = arguments_object(item.arguments, f"{where}.arguments")
            function = {"name": item.name, "arguments": arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            last = plain[-1] if plain else {}
            if last.get("role") != "assistant":
                last = {"role": "assistant", "content": ""}
                plain.append(last)
            last.setdefault("tool_calls", []).append(call)
            if thought:
                last["reasoning_content"], thought = thought, ""
        else:
            role = "system" if item.role == "developer" else item.role
            one: dict[str, Any] = {"role": role, "content": _text(item.content)}
            if role == "assistant" and thought:
                one["reasoning_content"], thought = thought, ""
            plain.append(one)
    for call_id, where in unanswered.items():
        raise Refusal(f"{where} has no result: none has the call_id {call_id!r}", param=where)
    return Conversation(plain, _tools(body), False, _variables(body))


def _text(content: str | list[TextPart]) -> str:
    if isinstance(content, str):
        return content
    return "".join(p.refusal if isinstance(p, RefusalText) else p.text for p in content)


def _tools(body: ResponsesRequest) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}
        for tool in body.tools or ()
    ]


def _variables(body: ResponsesRequest) -> dict[str, Any]:
    if body.reasoning is None or body.reasoning.effort is None:
        return {}
    effort = body.reasoning.effort
    return {"reasoning_effort": effort, "enable_thinking": effort != "none"}


def wishes(body: ResponsesRequest, tools: Tools, user: str) -> Wishes:
    """What a body asks of the answer.

    Raises:
        Refusal: its choice of tools makes no sense.
    """
    names = different_names(tools)
    choice = body.tool_choice
    must_call: MustCall = None
    if choice is not None and choice not in ("none", "auto"):
        must_call = forced_call(names, choice.name if isinstance(choice, NamedFunction) else None)
    grammar: Grammar | None = None
    form = body.text.format if body.text else None
    if isinstance(form, JsonSchemaText):
        grammar = ("json_schema", form.schema_)
    elif isinstance(form, JsonObjectText):
        grammar = ("json_object", None)
    return Wishes(
        grammar=grammar,
        grammar_param="text.format.schema",
        tools=[] if choice == "none" else tools,
        must_call=must_call,
        parallel=body.parallel_tool_calls,
        user=user,
    )
