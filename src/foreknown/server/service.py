"""Everything that routes need: the models that are served, their engines' thread, and the books."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from starlette.requests import Request as HttpRequest

from foreknown.engine import Request
from foreknown.errors import RequestError
from foreknown.server.engine_thread import EngineThread
from foreknown.server.errors import NOT_FOUND, OVERLOADED, Refusal, refused
from foreknown.server.generation import Generation
from foreknown.server.limits import Limits
from foreknown.server.metrics import Metrics
from foreknown.server.objectives import wanted
from foreknown.server.served_model import ServedModel


@dataclass
class Service:
    """What is being served.

    Attributes:
        models: by name.
        log_bodies: whether the text of requests is logged.
        promises: whether objectives are taken; else they are refused.
        draining: the server is told to stop: what runs may finish, nothing new begins.
    """

    models: dict[str, ServedModel]
    thread: EngineThread
    metrics: Metrics
    limits: Limits
    log_bodies: bool = False
    promises: bool = True
    started_s: float = field(default_factory=time.monotonic)
    draining: bool = False

    def model(self, name: str | None) -> ServedModel:
        """The model that a request names; the only one if it names none.

        Raises:
            Refusal: there is no such model.
        """
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name is None:
            raise Refusal("model is missing", param="model", code="missing_required_parameter")
        model = self.models.get(name)
        if model is None:
            raise Refusal(
                f"the model {name[:200]!r} does not exist",
                param="model",
                status=HTTPStatus.NOT_FOUND,
                kind=NOT_FOUND,
                code="model_not_found",
                remedy=f"name one of {', '.join(self.models)}",
            )
        return model

    def generate(
        self,
        model: ServedModel,
        requests: Sequence[Request],
        http: HttpRequest,
        names: Mapping[str, str] = MappingProxyType({}),
        given: Mapping[str, Any] = MappingProxyType({}),
    ) -> Generation:
        """Requests on their way, to be logged with the HTTP request they came in.

        Args:
            names: of fields, where the interface has others than the engine.
            given: what the body says of objectives and forecasts; see `objectives.wanted`.

        Raises:
            Refusal: the engine does not take them, too many wait already, or their objective
                cannot be kept.
        """
        asked = wanted(given, http, promises=self.promises)
        if asked.forecast and len(requests) > 1:
            raise Refusal("forecast is of one prompt, not of several", param="forecast")
        waiting = model.engine.stats().waiting + self.thread.n_queued(model.index)
        if waiting + len(requests) > self.limits.waiting:
            raise Refusal(
                "too many requests are waiting",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                kind=OVERLOADED,
                code="queue_full",
                retry_after_s=1,
            )
        generation = Generation(model, self.thread, self.metrics, requests, asked)
        http.state.generation = generation
        try:
            return generation.start()
        except RequestError as error:
            raise refused(error, names=names) from None
