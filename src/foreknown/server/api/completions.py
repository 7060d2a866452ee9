"""POST /v1/completions"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, field_validator, model_validator

from foreknown.engine import Output
from foreknown.engine.output import TokenLogprob
from foreknown.server.api.documented import DOCUMENTED, OBJECTIVE_HEADERS
from foreknown.server.api.fields import (
    Name,
    OpenAIRequest,
    StreamOptions,
    contradiction,
)
from foreknown.server.api.logprobs import finite, shown
from foreknown.server.api.prompts import Prompt, prompts_of, require_few, token_ids
from foreknown.server.api.usage import usage_in_chunk, usage_record
from foreknown.server.asking import Wishes, constrained, request
from foreknown.server.errors import Refusal
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service
from foreknown.server.streaming import DONE, EventStream, event
from foreknown.server.underway import Underway

MAX_LOGPROBS = 20


class CompletionRequest(OpenAIRequest):
    """Texts to be continued, as OpenAI's clients send them."""

    model: Name
    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    suffix: None = None
    add_special_tokens: bool = True
    # Said by clients for the provider's own sake; it changes nothing here.
    user: str | None = None

    @field_validator("suffix", mode="before")
    @classmethod
    def _no_suffix(cls, value: object) -> None:
        if value is not None:
            raise ValueError("suffix is not supported: text is only continued at its end")

    @model_validator(mode="after")
    def _agree(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of < (self.n or 1):
            raise contradiction("best_of", "best_of is smaller than n")
        if self.stream and self.best_of is not None and self.best_of > (self.n or 1):
            raise contradiction("best_of", "best_of larger than n cannot be streamed")
        if self.max_tokens == 0 and not self.echo:
            raise contradiction("max_tokens", "max_tokens is 0, which needs echo")
        if self.beam_width is not None and self.best_of is not None:
            raise contradiction("beam_width", "beam_width and best_of exclude each other")
        return self

    @property
    def samples(self) -> int:
        """Samples to be made for each prompt."""
        return self.best_of or self.wanted


@dataclass(frozen=True)
class Choice:
    """One sample of one prompt, whole."""

    text: str
    outputs: Sequence[Output]

    @property
    def mean_logprob(self) -> float:
        """Of its tokens: by this the best are told."""
        logprobs = [o.logprob for o in self.outputs if o.logprob is not None]
        return sum(logprobs) / len(logprobs) if logprobs else 0.0


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/v1/completions", responses=DOCUMENTED, openapi_extra=OBJECTIVE_HEADERS)
    async def completions(body: CompletionRequest, http: Request) -> Response:
        """Continue texts."""
        model = service.model(body.model)
        prompts = prompts_of(body.prompt)
        for name, value in (("n", body.n), ("best_of", body.best_of)):
            if value is not None and value > service.limits.samples:
                raise Refusal(f"{name} is larger than {service.limits.samples}", param=name)
        require_few(prompts, service.limits.prompts, "prompt")
        wanted = wishes(body, http.state.user)
        logprobs = body.logprobs if body.samples == body.wanted else body.logprobs or 0
        params = body.params(
            model,
            max_tokens=1 if body.max_tokens == 0 else body.max_tokens,
            logprobs=logprobs,
            searches=wanted.beams is not None,
        )
        constraint = await constrained(model, wanted)
        ids = [
            await token_ids(model, prompt, special=body.add_special_tokens) for prompt in prompts
        ]
        scored = body.logprobs if body.echo else None
        requests = [request(one, params, wanted, constraint, prompt_logprobs=scored) for one in ids]
        names = {"beams": "beam_width"}
        generation = service.generate(model, requests, http, names, body.objectives)
        reply = _Reply(body, model, ids)
        if body.stream:
            return EventStream(generation, reply.events(generation))
        try:
            return JSONResponse(await reply.whole(generation))
        finally:
            generation.close()

    return routes


def wishes(body: CompletionRequest, user: str) -> Wishes:
    beams, given = body.beams, body.structured_outputs
    return Wishes(
        grammar=None if given is None else given.chosen,
        grammar_param="structured_outputs",
        samples=1 if beams else body.samples,
        beams=beams,
        user=user,
    )


class _Reply:
    """The answer to one body, whole or in events."""

    def __init__(
        self, body: CompletionRequest, model: ServedModel, prompts: Sequence[Sequence[int]]
    ) -> None:
        self._body, self._model, self._prompts = body, model, prompts
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.name,
            "system_fingerprint": model.fingerprint,
        }
        self._offsets = [0] * (len(prompts) * body.samples)

    async def whole(self, generation: Underway) -> dict[str, Any]:
        """The body of a response that is not streamed."""
        body, n = self._body, len(self._prompts) * self._body.samples
        outputs: list[list[Output]] = [[] for _ in range(n)]
        async for news in generation:
            for place, output in news:
                outputs[place].append(output)
        choices: list[dict[str, Any]] = []
        for prompt in range(len(self._prompts)):
            own = outputs[prompt * body.samples : (prompt + 1) * body.samples]
            made = [Choice("".join(o.text for o in one), one) for one in own]
            if body.samples > body.wanted:
                made.sort(key=lambda choice: choice.mean_logprob, reverse=True)
            for choice in made[: body.wanted]:
                choices.append(self._choice(len(choices), prompt, choice))
        usage = usage_record(generation.usage)
        if body.max_tokens == 0:
            usage["completion_tokens"], usage["total_tokens"] = 0, usage["prompt_tokens"]
        return {**self._head, "choices": choices, "usage": usage, **generation.outcome()}

    def _choice(self, index: int, prompt: int, choice: Choice) -> dict[str, Any]:
        body, outputs, text = self._body, choice.outputs, choice.text
        nothing = body.max_tokens == 0
        if nothing:
            outputs, text = [], ""
        logprobs = None
        if body.logprobs is not None:
            entries = _sampled(outputs)
            if body.echo:
                entries = [*choice.outputs[0].prompt_logprobs, *entries]
            logprobs = self._logprobs(entries, 0)
        return {
            "index": index,
            "text": self._prompt_text(prompt) + text if body.echo else text,
            "logprobs": logprobs,
            "finish_reason": "length" if nothing else choice.outputs[-1].finish_reason,
        }

    async def events(self, generation: Underway) -> AsyncGenerator[bytes, None]:
        """The events of a response that is streamed."""
        body = self._body
        options = body.stream_options or StreamOptions()
        begun = [False] * len(self._offsets)
        told = generation.told()
        try:
            async for news in generation:
                chunks = []
                for place, output in news:
                    text, entries = output.text, _sampled([output])
                    if body.max_tokens == 0:
                        text, entries = "", []
                    if body.echo and not begun[place]:
                        text = self._prompt_text(place // body.samples) + text
                        entries = [*output.prompt_logprobs, *entries]
                    begun[place] = True
                    if not (text or output.finish_reason or body.logprobs is not None):
                        continue
                    choice = {
                        "index": place,
                        "text": text,
                        "logprobs": None,
                        "finish_reason": output.finish_reason,
                    }
                    if body.logprobs is not None:
                        choice["logprobs"] = self._logprobs(entries, self._offsets[place])
                        self._offsets[place] += len(text)
                    more = usage_in_chunk(options, generation.usage) | told
                    told = {}
                    # Where usage follows, that is the last chunk.
                    if generation.is_over and output is news[-1][1] and not options.include_usage:
                        more |= generation.outcome()
                    chunks.append(event({**self._head, "choices": [choice], **more}))
                if chunks:
                    yield b"".join(chunks)
        except Refusal as refusal:
            yield event(refusal.openai())
            return
        if options.include_usage:
            more = {"usage": usage_record(generation.usage), **generation.outcome()}
            yield event({**self._head, "choices": [], **more})
        yield DONE

    def _prompt_text(self, prompt: int) -> str:
        given = prompts_of(self._body.prompt)[prompt]
        if isinstance(given, str):
            return given
        if not self._model.checkpoint.has_tokenizer:
            raise Refusal("this model has no tokenizer, so no text to echo", param="echo")
        return self._model.checkpoint.tokenizer.decode(given, skip_special_tokens=False)

    def _logprobs(self, entries: Sequence[TokenLogprob], offset: int) -> dict[str, Any]:
        tokens = [self._model.token_text(token) for token, _, _ in entries]
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        tops: list[dict[str, float] | None] = [
            None
            if logprob is None
            else {self._model.token_text(t): finite(value) for t, value in [*top, (token, logprob)]}
            for token, logprob, top in entries
        ]
        return {
            "tokens": tokens,
            "token_logprobs": [None if p is None else finite(p) for _, p, _ in entries],
            "top_logprobs": tops if self._body.logprobs else None,
            "text_offset": offsets,
        }


def _sampled(outputs: Sequence[Output]) -> list[TokenLogprob]:
    return [TokenLogprob(o.token or 0, o.logprob, o.top_logprobs) for o in shown(outputs)]
