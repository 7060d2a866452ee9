"""POST /v1/embeddings"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import Field

from foreknown.engine import Request as EngineRequest
from foreknown.server.api.documented import DOCUMENTED, OBJECTIVE_HEADERS
from foreknown.server.api.fields import Foretold, Name
from foreknown.server.api.prompts import Prompt, prompts_of, require_few, token_ids
from foreknown.server.errors import Refusal
from foreknown.server.service import Service


class EmbeddingRequest(Foretold):
    """Texts to be told apart by numbers, as OpenAI's clients send them."""

    model: Name
    input: Prompt
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    # Said by clients for the provider's own sake; it changes nothing here.
    user: str | None = None


def router(service: Service) -> APIRouter:
    """The route."""
    routes = APIRouter()

    @routes.post("/v1/embeddings", responses=DOCUMENTED, openapi_extra=OBJECTIVE_HEADERS)
    async def embeddings(body: EmbeddingRequest, http: Request) -> Response:
        """The last hidden states of texts, pooled as the checkpoint says, else the last token's."""
        model = service.model(body.model)
        width = model.engine.program.hidden_size
        if not width:
            raise Refusal("this model has no hidden state before its head", param="model")
        if body.dimensions not in (None, width):
            raise Refusal(
                f"dimensions is {body.dimensions}, and this model gives {width}", param="dimensions"
            )
        inputs = prompts_of(body.input)
        require_few(inputs, service.limits.prompts, "input")
        pooling = model.checkpoint.pooling
        mode = pooling.mode if pooling else "last"
        normalise = pooling.normalise if pooling else True
        requests = [
            EngineRequest(
                await token_ids(model, one, param="input"),
                user=http.state.user,
                salt=http.state.user,
                embed=mode,
            )
            for one in inputs
        ]
        names = {"prompt": "input"}
        generation = service.generate(model, requests, http, names, body.objectives)
        rows: dict[int, NDArray[np.float32]] = {}
        try:
            async for news in generation:
                rows |= {place: o.embedding for place, o in news if o.embedding is not None}
        finally:
            generation.close()
        data = [
            {
                "object": "embedding",
                "index": place,
                "embedding": _encoded(rows[place], normalise, body.encoding_format),
            }
            for place in range(len(requests))
        ]
        n_tokens = generation.usage.prompt_tokens
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        whole = {"object": "list", "data": data, "model": model.name, "usage": usage}
        return JSONResponse({**whole, **generation.outcome()})

    return routes


def _encoded(row: NDArray[np.float32], normalise: bool, form: str) -> str | list[float]:
    if normalise:
        length = float(np.sqrt(np.sum(np.square(row, dtype=np.float64))))
        row = (row / max(length, 1e-12)).astype(np.float32)
    if form == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    return [float(value) for value in row]
