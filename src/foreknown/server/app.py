"""The application: routes inside the middlewares that guard them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from foreknown import __version__
from foreknown.errors import ForeknownError
from foreknown.server.access import Access, refusal_body
from foreknown.server.api import (
    chat,
    completions,
    embeddings,
    forecast,
    messages,
    operation,
    responses,
    tokens,
)
from foreknown.server.connections import Connections
from foreknown.server.errors import INVALID, NOT_FOUND, Refusal, invalid_body, refused
from foreknown.server.keys import Keys
from foreknown.server.objectives import HEADERS
from foreknown.server.service import Service

PROMISED = [f"x-foreknown-promise-{name}-ms" for name in ("ttft", "tpot", "total")]
PAGE = Path(__file__).parent / "page"


def make_app(service: Service, keys: Keys, origins: Sequence[str] = ()) -> FastAPI:
    """The application, whose engines start and stop with it.

    Args:
        keys: that are accepted; none: everybody is.
        origins: web pages of other hosts that may call; none by default.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.thread.start()
        try:
            yield
        finally:
            service.thread.stop()

    middleware = [Middleware(Access, service=service, keys=keys)]
    if origins:
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-api-key", *HEADERS],
                expose_headers=["request-id", "x-request-id", "retry-after", *PROMISED],
            ),
        )
    middleware.append(Middleware(Connections, limits=service.limits, log_bodies=service.log_bodies))
    app = FastAPI(
        title="Foreknown",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        middleware=middleware,
        separate_input_output_schemas=False,
    )
    _answer_errors(app)
    for family in (
        chat, completions, responses, messages, embeddings, forecast, tokens, operation,
    ):  # fmt: skip
        app.include_router(family.router(service))
    _document_errors(app)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error in the form of the path's interface."""

    def reply(request: Request, refusal: Refusal) -> JSONResponse:
        body = refusal_body(refusal, request.url.path, request.state.request_id)
        return JSONResponse(body, refusal.status, refusal.headers)

    @app.exception_handler(ForeknownError)
    async def ours(request: Request, error: ForeknownError) -> JSONResponse:
        return reply(request, refused(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return reply(request, invalid_body(error.errors(), error.body))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == HTTPStatus.NOT_FOUND:
            what, kind = f"there is no {request.url.path[:200]}", NOT_FOUND
        elif isinstance(error.__cause__, RecursionError):
            what, kind = "the body is not JSON that can be read: it is nested too deep", INVALID
        else:
            what, kind = str(error.detail), INVALID
        refusal = Refusal(what, status=error.status_code, kind=kind)
        response = reply(request, refusal)
        response.headers.update(error.headers or {})
        return response


def _document_errors(app: FastAPI) -> None:
    """Take FastAPI's own error out of the OpenAPI document: ours stand in its place."""
    original = app.openapi

    def document() -> dict[str, object]:
        if app.openapi_schema is None:
            found = original()
            for path in found["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                found["components"]["schemas"].pop(name, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
