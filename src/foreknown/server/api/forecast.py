"""POST /v1/forecast: what a request would take now, without running anything."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, model_validator

from foreknown.engine import Request as EngineRequest
from foreknown.engine.block_manager import blocks_for
from foreknown.engine.promises import NotPromised
from foreknown.errors import RequestError
from foreknown.server.accounts import earliest_record, later, rounded
from foreknown.server.api.documented import DOCUMENTED, OBJECTIVE_HEADERS, Earliest
from foreknown.server.api.fields import (
    MAX_MESSAGES,
    MAX_TOOLS,
    FunctionTool,
    Name,
    Objectives,
    TokenId,
    contradiction,
)
from foreknown.server.api.messages_form import ChatMessage, plain_messages
from foreknown.server.api.prompts import MAX_PROMPT_TOKENS
from foreknown.server.api.strategy_fields import StrategyFields, wish
from foreknown.server.asking import Wishes
from foreknown.server.conversation import Conversation, prompt_text
from foreknown.server.deliberation import Deliberation
from foreknown.server.errors import Refusal, refused
from foreknown.server.objectives import Wanted, not_promised, wanted
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service
from foreknown.server.shares import share


class ForecastRequest(Objectives, StrategyFields):
    """A request as completions or chat take it, or only how long its prompt is.

    The only model may be left out.
    """

    model: Name | None = None
    prompt: (
        str | Annotated[list[TokenId], Field(min_length=1, max_length=MAX_PROMPT_TOKENS)] | None
    ) = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)] | None = (
        None
    )
    prompt_tokens: Annotated[int, Field(ge=1, le=MAX_PROMPT_TOKENS)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MAX_TOOLS)] | None = None
    add_special_tokens: bool = True
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None

    @property
    def source(self) -> str:
        """The field that says what the prompt is."""
        names = ("prompt", "messages", "prompt_tokens")
        return next((name for name in names if getattr(self, name) is not None), "prompt")

    @property
    def conversation(self) -> Conversation:
        """Its messages; none if the prompt is given otherwise."""
        tools = [tool.model_dump(exclude_none=True) for tool in self.tools or ()]
        return Conversation(plain_messages(self.messages or ()), tools)

    @model_validator(mode="after")
    def _one(self) -> ForecastRequest:
        given = [self.prompt, self.messages, self.prompt_tokens]
        if sum(value is not None for value in given) != 1:
            raise contradiction("prompt", "give one of prompt, messages and prompt_tokens")
        return self


class Interval(BaseModel):
    """From the best to the worst that is to be expected, in milliseconds."""

    low_ms: float
    high_ms: float


class Possible(BaseModel):
    """Whether an objective could be promised now.

    Attributes:
        never: not even if nothing else ran.
        earliest: what could be promised instead, now or when it may be possible.
        retry_after_s: when that is.
    """

    possible: bool
    never: bool = False
    earliest: Earliest | None = None
    retry_after_s: int | None = None


class Queue(BaseModel):
    """Who is there already."""

    running: int
    waiting: int


class Memory(BaseModel):
    """Blocks of state, each of 16 tokens, that it will hold in the end, and that are free now."""

    blocks: int
    free_blocks: int
    total_blocks: int
    bytes: int


class Basis(BaseModel):
    """What the figures rest on.

    Attributes:
        machine: its name; null if nobody knows it.
        estimated: it was never calibrated.
        drift: what steps took lately, in times their forecast.
        margin: share that promises add.
    """

    machine: str | None
    estimated: bool
    drift: float
    margin: float


class Forecast(BaseModel):
    """What a request would take if it came now, at its greatest length.

    Attributes:
        joules, usd: its part of what the machine draws and costs meanwhile; 0 USD if nobody said
            what that is, null if nothing is known of the machine.
    """

    object: Literal["forecast"] = "forecast"
    model: str
    prompt_tokens: int
    max_tokens: int
    ttft_ms: float | None
    tpot_ms: float | None
    total_ms: float | None
    interval: Interval
    promise: Possible | None
    queue: Queue
    memory: Memory
    joules: float | None
    usd: float | None
    basis: Basis


class Planned(BaseModel):
    """What of a strategy its budget and its deadline have room for.

    Attributes:
        fits: whether that is done by then; if not, the best so far is the answer.
    """

    asked: str
    done: str
    fits: bool


class StrategyForecast(BaseModel):
    """What an answer by a strategy would take at most if it began now.

    Attributes:
        max_tokens: of each draft; `tokens` are those of all of them.
        joules, usd: as of an answer without a strategy.
    """

    object: Literal["forecast"] = "forecast"
    model: str
    strategy: Planned
    max_tokens: int
    total_ms: float
    tokens: int
    joules: float | None
    usd: float | None
    promise: Possible | None
    basis: Basis


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/v1/forecast", responses=DOCUMENTED, openapi_extra=OBJECTIVE_HEADERS)
    async def forecast(body: ForecastRequest, http: Request) -> Forecast | StrategyForecast:
        """What a request would take now; nothing is run."""
        model, named = service.addressed(body.model)
        samples = body.n or 1
        if samples > service.limits.samples:
            raise Refusal(f"n is larger than {service.limits.samples}", param="n")
        asked = wanted(body.objectives, http, promises=service.promises)
        said = body.conversation
        prompt = await _prompt(model, body, said)
        user = http.state.user
        request = EngineRequest(
            prompt,
            model.params(max_tokens=body.max_tokens),
            id=f"forecast-{secrets.token_hex(8)}",
            user=user,
            # A prompt of which only the length is known has nothing in common with others.
            salt=user if body.prompt_tokens is None else secrets.token_hex(8),
            samples=samples,
        )
        names = {"prompt": body.source}
        wishes = Wishes(tools=said.tools, samples=samples)
        strategy = wish(body, named, service.kit, wishes, said, {}, names)
        if strategy is not None:
            deliberation = service.deliberation(model, strategy, said, request, asked, names)
            return await _strategy_forecast(model, deliberation, asked)
        try:
            model.engine.check(request)
            return _forecast(service, model, request, asked)
        except RequestError as error:
            raise refused(error, names=names) from None

    return routes


async def _prompt(model: ServedModel, body: ForecastRequest, said: Conversation) -> list[int]:
    if body.prompt_tokens is not None:
        if body.prompt_tokens > model.context:
            # Said before a list of so many is made.
            raise Refusal(
                f"prompt_tokens is {body.prompt_tokens}, and the model's context length is "
                f"{model.context}",
                param="prompt_tokens",
                code="context_length_exceeded",
            )
        return [0] * body.prompt_tokens
    if body.messages is not None:
        text = await prompt_text(model, said)
        return await model.encode(text, special=False, param="messages")
    if isinstance(body.prompt, str):
        return await model.encode(body.prompt, special=body.add_special_tokens)
    assert body.prompt is not None
    return body.prompt


def _forecast(
    service: Service, model: ServedModel, request: EngineRequest, asked: Wanted
) -> Forecast:
    engine, n_prompt = model.engine, len(request.prompt)
    now_ns = time.monotonic_ns()
    foreseen = later(engine.foresee(request), asked.gone_ms(now_ns))
    stats = engine.stats()
    n_output = request.params.max_tokens or model.context - n_prompt
    blocks = blocks_for(n_prompt + n_output) * request.samples
    joules = usd = None
    if model.price is not None:
        part = share(
            model.price,
            n_prompt,
            n_output,
            stats.running,
            max_tokens=engine.program.max_tokens,
            max_rows=engine.program.max_rows,
            samples=request.samples,
            slower=engine.drift.ratio,
        )
        joules, usd = round(part.joules, 6), part.usd
    return Forecast(
        model=model.name,
        prompt_tokens=n_prompt,
        max_tokens=n_output,
        ttft_ms=rounded(foreseen.ttft_ms),
        tpot_ms=rounded(foreseen.tpot_ms),
        total_ms=rounded(foreseen.total_ms),
        interval=Interval(
            low_ms=rounded(foreseen.low_ms) or 0.0, high_ms=rounded(foreseen.high_ms) or 0.0
        ),
        promise=_possible(model, request, asked, now_ns),
        queue=Queue(
            running=stats.running, waiting=stats.waiting + service.thread.n_queued(model.index)
        ),
        memory=Memory(
            blocks=blocks,
            free_blocks=stats.total_blocks - stats.held_blocks,
            total_blocks=stats.total_blocks,
            bytes=blocks * model.artifact.manifest.sizes.block_bytes,
        ),
        joules=joules,
        usd=usd,
        basis=_basis(model),
    )


async def _strategy_forecast(
    model: ServedModel, deliberation: Deliberation, asked: Wanted
) -> StrategyForecast:
    error = await deliberation.foresee()
    promise = None if asked.objective is None else Possible(possible=True)
    if error is not None:
        promise = _impossible(error, asked, time.monotonic_ns())
    told = deliberation.told()["foreknown"]
    foreseen = told["forecast"]
    if model.price is not None:
        foreseen = {**foreseen, "usd": foreseen["usd"] or 0.0}
    return StrategyForecast(
        model=model.name,
        strategy=told["strategy"],
        max_tokens=deliberation.draft_tokens,
        promise=promise,
        basis=_basis(model),
        **foreseen,
    )


def _basis(model: ServedModel) -> Basis:
    price, drift = model.price, model.engine.drift
    return Basis(
        machine=None if price is None else price.machine.name,
        estimated=price is None or price.machine.estimated,
        drift=round(drift.ratio, 3),
        margin=round(drift.margin, 3),
    )


def _possible(
    model: ServedModel, request: EngineRequest, asked: Wanted, now_ns: int
) -> Possible | None:
    """Whether the objective could be promised; None: there is none."""
    if asked.objective is None:
        return None
    engine, objective = model.engine, asked.from_now(now_ns)
    try:
        engine.check_promise(replace(request, objective=objective))
    except NotPromised as error:
        return _impossible(error, asked, now_ns)
    return Possible(possible=True)


def _impossible(error: NotPromised, asked: Wanted, now_ns: int) -> Possible:
    """Why not, and what could be promised instead."""
    assert asked.objective is not None
    gone_ms = asked.gone_ms(now_ns)
    return Possible(
        possible=False,
        never=error.is_beyond(asked.objective),
        earliest=Earliest(**earliest_record(later(error.earliest, gone_ms))),
        retry_after_s=not_promised(error, asked.objective, gone_ms).retry_after_s,
    )
