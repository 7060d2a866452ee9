"""Everything that routes need: the models that are served, their engines' thread, and the books."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from starlette.requests import Request as HttpRequest

from foreknown.engine import Request
from foreknown.engine.drift import Worst
from foreknown.errors import RequestError
from foreknown.server.addressing import addressed
from foreknown.server.conversation import Conversation, problem_ids
from foreknown.server.deliberation import Deliberation, Wish
from foreknown.server.engine_thread import EngineThread
from foreknown.server.errors import NOT_FOUND, OVERLOADED, Refusal, refused
from foreknown.server.generation import Generation
from foreknown.server.limits import Limits
from foreknown.server.metrics import Metrics
from foreknown.server.objectives import Wanted, wanted
from foreknown.server.served_model import ServedModel
from foreknown.server.underway import Underway
from foreknown.strategies.answer import new_problem
from foreknown.strategies.compose import Kit


@dataclass
class Service:
    """What is being served.

    Attributes:
        models: by name.
        log_bodies: whether the text of requests is logged.
        promises: whether objectives are taken; else they are refused.
        kit: what strategies use where a request names nothing else.
        lateness: see `Deliberation`.
        draining: the server is told to stop: what runs may finish, nothing new begins.
    """

    models: dict[str, ServedModel]
    thread: EngineThread
    metrics: Metrics
    limits: Limits
    log_bodies: bool = False
    promises: bool = True
    kit: Kit = field(default_factory=Kit)
    lateness: Worst = field(default_factory=Worst)
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

    def addressed(self, name: str | None) -> tuple[ServedModel, str]:
        """The model that a request names, and the strategy in that name; see `addressed`.

        Raises:
            Refusal: there is no such model, or no such approach.
        """
        if name is None:
            return self.model(None), ""
        alone, strategy = addressed(name, self.models)
        return self.model(alone), strategy

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
        self._require_room(model, len(requests))
        generation = Generation(model, self.thread, self.metrics, requests, asked)
        http.state.generation = generation
        try:
            return generation.start()
        except RequestError as error:
            raise refused(error, names=names) from None

    async def answer(
        self,
        model: ServedModel,
        asked: Request,
        said: Conversation,
        wish: Wish | None,
        http: HttpRequest,
        names: Mapping[str, str],
        given: Mapping[str, Any],
    ) -> Underway:
        """An answer to a conversation on its way, by a strategy if one is wished for.

        Raises:
            Refusal: see `generate` and `deliberate`.
        """
        if wish is None:
            return self.generate(model, [asked], http, names, given)
        return await self.deliberate(model, wish, said, asked, http, names, given)

    async def deliberate(
        self,
        model: ServedModel,
        wish: Wish,
        said: Conversation,
        asked: Request,
        http: HttpRequest,
        names: Mapping[str, str],
        given: Mapping[str, Any],
    ) -> Deliberation:
        """An answer by a strategy on its way, to be logged with the HTTP request it came in.

        Args:
            asked: the same without a strategy: its settings are those of each draft.
            given: what the body says of objectives; see `objectives.wanted`.

        Raises:
            Refusal: as for `generate`, or the strategy makes no sense.
        """
        kept = wanted(given, http, promises=self.promises)
        deliberation = self.deliberation(model, wish, said, asked, kept, names)
        self._require_room(model, 1)
        http.state.generation = deliberation
        return await deliberation.start()

    def deliberation(
        self,
        model: ServedModel,
        wish: Wish,
        said: Conversation,
        asked: Request,
        kept: Wanted,
        names: Mapping[str, str],
    ) -> Deliberation:
        """An answer by a strategy that has not begun; see `deliberate`."""
        for time_field in kept.named.keys() - {"deadline_ms"}:
            raise Refusal(
                "an answer by a strategy comes whole, so only deadline_ms can be promised",
                param=kept.named[time_field],
            )
        try:
            model.engine.check(asked)
        except RequestError as error:
            raise refused(error, names=names) from None
        return Deliberation(
            model,
            self.thread,
            self.metrics,
            wish,
            new_problem(said.messages, asked.params, model.context),
            partial(problem_ids, model, said),
            replace(asked, prompt=(0,), samples=1),
            kept,
            self.lateness,
        )

    def _require_room(self, model: ServedModel, n_requests: int) -> None:
        waiting = model.engine.stats().waiting + self.thread.n_queued(model.index)
        if waiting + n_requests > self.limits.waiting:
            raise Refusal(
                "too many requests are waiting",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                kind=OVERLOADED,
                code="queue_full",
                retry_after_s=1,
            )
