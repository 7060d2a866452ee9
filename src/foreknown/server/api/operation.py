"""What is served and how it fares: /v1/models, /health, /metrics, /engine."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from foreknown.server.api.documented import DOCUMENTED
from foreknown.server.served_model import ServedModel
from foreknown.server.service import Service

RATE_NS = 2_000_000_000
"""Tokens a second are those of so many nanoseconds."""


def router(service: Service) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get("/v1/models", responses=DOCUMENTED)
    async def models() -> dict[str, Any]:
        """The models that are served."""
        return {"object": "list", "data": [_described(m) for m in service.models.values()]}

    @routes.get("/v1/models/{name:path}", responses=DOCUMENTED)
    async def model(name: str) -> dict[str, Any]:
        """One of the models that are served."""
        return _described(service.model(name))

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the server answers at all."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "Not, or no longer."}})
    @routes.get("/health", responses={503: {"description": "Not, or no longer."}})
    async def ready() -> Response:
        """Whether requests are taken; and the models whose steps are not as forecast, if any."""
        if service.draining:
            state, status = "draining", HTTPStatus.SERVICE_UNAVAILABLE
        elif service.thread.failure:
            state, status = "failed", HTTPStatus.SERVICE_UNAVAILABLE
        else:
            state, status = "ready", HTTPStatus.OK
        drifted = [m.name for m in service.models.values() if m.engine.drift.has_drifted]
        return JSONResponse({"status": state, **({"drift": drifted} if drifted else {})}, status)

    @routes.get("/metrics", response_class=PlainTextResponse, responses=DOCUMENTED)
    async def metrics() -> Response:
        """Counts and times in Prometheus' form."""
        text, kind = service.metrics.text()
        return Response(text, media_type=kind)

    @routes.get("/engine", responses=DOCUMENTED)
    async def engine() -> dict[str, Any]:
        """What the engines are doing now."""
        return {
            "models": [_busy(service, m) for m in service.models.values()],
            "uptime_s": round(time.monotonic() - service.started_s, 3),
        }

    return routes


def _described(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created_s,
        "owned_by": "foreknown",
        "context_length": model.context,
        "max_model_len": model.context,
        "chat": model.chats,
    }


def _busy(service: Service, model: ServedModel) -> dict[str, Any]:
    stats, drift = model.engine.stats(), model.engine.drift
    recent = list(service.thread.recent[model.index])
    now_ns = model.engine.clock.now_ns()
    latest = [step for step in recent if step[0] > now_ns - RATE_NS]
    span_ns = now_ns - (latest[0][0] - latest[0][1]) if latest else 1
    return {
        "id": model.name,
        "running": stats.running,
        "waiting": stats.waiting,
        "blocks": {
            "total": stats.total_blocks,
            "held": stats.held_blocks,
            "cached": stats.cached_blocks,
        },
        "prefix": {"asked_tokens": stats.prefix_asked, "found_tokens": stats.prefix_found},
        "preemptions": stats.preemptions,
        "promises": service.metrics.promises(model.name),
        "drift": {
            "ratio": round(drift.ratio, 3),
            "has_drifted": drift.has_drifted,
            "margin": round(drift.margin, 3),
            "clock_jumps": drift.clock_jumps,
        },
        "step_ms": round(recent[-1][1] / 1e6, 3) if recent else 0.0,
        "recent_step_ms": [round(took_ns / 1e6, 3) for _, took_ns, _ in recent],
        "tokens_per_second": round(sum(n for _, _, n in latest) / span_ns * 1e9, 2),
    }
