"""POST /v1/responses: OpenAI's newer interface, without anything kept between requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from foreknown.server.answers import CallArguments, CallStart, Content, Piece, Reasoning
from foreknown.server.api.documented import DOCUMENTED, OBJECTIVE_HEADERS
from foreknown.server.api.fields import stops
from foreknown.server.api.logprobs import chat_logprobs
from foreknown.server.api.responses_form import (
    NAMES,
    NamedFunction,
    ResponsesRequest,
    conversation,
    wishes,
)
from foreknown.server.api.strategy_fields import wish
from foreknown.server.asking import Asked, ask
from foreknown.server.deltas import Delta, deltas
from foreknown.server.errors import Refusal
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service
from foreknown.server.streaming import EventStream, event
from foreknown.server.underway import Underway


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/v1/responses", responses=DOCUMENTED, openapi_extra=OBJECTIVE_HEADERS)
    async def responses(body: ResponsesRequest, http: Request) -> Response:
        """Answer an input."""
        model, named = service.addressed(body.model)
        said = conversation(body)
        wanted = wishes(body, said.tools, http.state.user)
        params = model.params(
            max_tokens=body.max_output_tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            seed=body.seed,
            stop=stops(body.stop),
            ignore_eos=body.ignore_eos,
            logprobs=(body.top_logprobs or 0) if body.wants_logprobs else None,
        )
        asked = await ask(model, said, params, wanted)
        others = {"include": body.wants_logprobs}
        strategy = wish(body, named, service.kit, wanted, said, others, NAMES)
        generation = await service.answer(
            model, asked.request, said, strategy, http, NAMES, body.objectives
        )
        reply = _Reply(body, model, generation)
        if body.stream:
            return EventStream(generation, reply.events(asked))
        try:
            async for group in deltas(generation, asked.new_parser, 1):
                for delta in group:
                    reply.take(delta)
        finally:
            generation.close()
        return JSONResponse(reply.record())

    return routes


@dataclass
class _Item:
    """One item of the output: what it says of itself, and its text so far."""

    kind: Literal["message", "reasoning", "function_call"]
    record: dict[str, Any]
    text: str = ""
    logprobs: list[Any] = field(default_factory=list)

    def whole(self, status: str = "completed") -> dict[str, Any]:
        """The item with what has come."""
        if self.kind == "function_call":
            return {**self.record, "arguments": self.text, "status": status}
        return {**self.record, "content": [self.part()], "status": status}

    def part(self) -> dict[str, Any]:
        """The one part of its content."""
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": self.text}
        return {
            "type": "output_text",
            "text": self.text,
            "annotations": [],
            "logprobs": self.logprobs,
        }


class _Reply:
    """The response to one body: its items as they come, and the events that tell of them."""

    def __init__(self, body: ResponsesRequest, model: ServedModel, generation: Underway) -> None:
        self._body, self._model, self._generation = body, model, generation
        self._name = f"resp_{secrets.token_hex(12)}"
        self._created_s = int(time.time())
        self._items: list[_Item] = []
        self._finish: str | None = None
        self._number = -1
        self._logprobs: list[Any] = []  # of tokens whose text is yet to come

    def take(self, delta: Delta) -> list[bytes]:
        """Take what came; gives the events that tell of it."""
        if self._body.wants_logprobs:
            self._logprobs += chat_logprobs(self._model, delta.outputs)["content"]
        written: list[bytes] = []
        for piece in delta.pieces:
            written += self._write(piece)
        if delta.finish is not None:
            self._finish = delta.finish
            if not self._items:
                written += self._open("message")
            written += self._close()
        return written

    def record(self) -> dict[str, Any]:
        """The response as it stands."""
        body, usage = self._body, self._generation.usage
        incomplete = self._finish == "length"
        status = {None: "in_progress", "length": "incomplete"}.get(self._finish, "completed")
        counted = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        }
        form = body.text.format if body.text else None
        choice = body.tool_choice
        return {
            "id": self._name,
            "object": "response",
            "created_at": self._created_s,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._model.name,
            "output": [item.whole() for item in self._items] if self._finish else [],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": body.temperature,
            "text": {
                "format": form.model_dump(by_alias=True, exclude_none=True)
                if form
                else {"type": "text"}
            },
            "tool_choice": choice.model_dump()
            if isinstance(choice, NamedFunction)
            else choice or "auto",
            "tools": [
                {"parameters": None, "strict": None, **tool.model_dump(exclude_none=True)}
                for tool in body.tools or ()
            ],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": counted if self._finish else None,
            "metadata": body.metadata or {},
            **self._generation.outcome(),
        }

    async def events(self, asked: Asked) -> AsyncGenerator[bytes, None]:
        """The events of a response that is streamed."""
        yield b"".join(
            self._event(f"response.{name}", response=self.record())
            for name in ("created", "in_progress")
        )
        try:
            async for group in deltas(self._generation, asked.new_parser, 1):
                written = b"".join(one for delta in group for one in self.take(delta))
                if written:
                    yield written
        except Refusal as refusal:
            error = {"code": "server_error", "message": refusal.message}
            failed = {**self.record(), "status": "failed", "error": error}
            yield self._event("response.failed", response=failed)
            return
        last = "incomplete" if self._finish == "length" else "completed"
        yield self._event(f"response.{last}", response=self.record())

    def _event(self, kind: str, **more: Any) -> bytes:
        self._number += 1
        return event({"type": kind, "sequence_number": self._number, **more}, kind)

    def _write(self, piece: Piece) -> Iterator[bytes]:
        if isinstance(piece, CallStart):
            yield from self._open("function_call", name=piece.name)
        elif isinstance(piece, CallArguments):
            yield self._grow("response.function_call_arguments.delta", piece.text)
        elif isinstance(piece, Reasoning):
            if not self._items or self._items[-1].kind != "reasoning":
                yield from self._open("reasoning")
            yield self._grow("response.reasoning_text.delta", piece.text, content_index=0)
        elif isinstance(piece, Content):
            if not self._items or self._items[-1].kind != "message":
                yield from self._open("message")
            more = {"content_index": 0, "logprobs": self._logprobs}
            self._items[-1].logprobs += self._logprobs
            self._logprobs = []
            yield self._grow("response.output_text.delta", piece.text, **more)

    def _grow(self, kind: str, text: str, **more: Any) -> bytes:
        item = self._items[-1]
        item.text += text
        return self._event(kind, **self._place(), delta=text, **more)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1].record["id"], "output_index": len(self._items) - 1}

    def _open(
        self, kind: Literal["message", "reasoning", "function_call"], name: str = ""
    ) -> Iterator[bytes]:
        yield from self._close()
        own = secrets.token_hex(12)
        records: dict[str, dict[str, Any]] = {
            "message": {"id": f"msg_{own}", "type": "message", "role": "assistant"},
            "reasoning": {"id": f"rs_{own}", "type": "reasoning", "summary": []},
            "function_call": {
                "id": f"fc_{own}",
                "type": "function_call",
                "call_id": f"call_{own}",
                "name": name,
            },
        }
        item = _Item(kind, records[kind])
        self._items.append(item)
        begun = item.whole("in_progress")
        if kind != "function_call":
            begun["content"] = []
        index = len(self._items) - 1
        yield self._event("response.output_item.added", output_index=index, item=begun)
        if kind == "message":
            part = item.part()
            yield self._event(
                "response.content_part.added", **self._place(), content_index=0, part=part
            )

    def _close(self) -> Iterator[bytes]:
        """The events that end the last item."""
        if not self._items:
            return
        item, place = self._items[-1], self._place()
        if item.kind == "function_call":
            more = {"name": item.record["name"], "arguments": item.text}
            yield self._event("response.function_call_arguments.done", **place, **more)
        elif item.kind == "reasoning":
            yield self._event(
                "response.reasoning_text.done", **place, content_index=0, text=item.text
            )
        else:
            yield self._event(
                "response.output_text.done",
                **place,
                content_index=0,
                text=item.text,
                logprobs=item.logprobs,
            )
            yield self._event(
                "response.content_part.done", **place, content_index=0, part=item.part()
            )
        status = "incomplete" if self._finish == "length" else "completed"
        yield self._event(
            "response.output_item.done", output_index=place["output_index"], item=item.whole(status)
        )
