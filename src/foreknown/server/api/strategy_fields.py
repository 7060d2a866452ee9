"""Fields that say how an answer is to be made, and what of a server's strategies they wish for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from foreknown.errors import ForeknownError, RequestError
from foreknown.server.addressing import approach_strategy
from foreknown.server.api.fields import Form, Ms
from foreknown.server.asking import Wishes
from foreknown.server.conversation import Conversation
from foreknown.server.deliberation import Wish
from foreknown.server.errors import Refusal, refused
from foreknown.strategies.auto import require_made
from foreknown.strategies.budget import Budget
from foreknown.strategies.compose import Kit
from foreknown.strategies.course import LONGEST_REACH, parse_reach
from foreknown.strategies.expression import Call, Value, parse
from foreknown.strategies.verifiers import parse_verifier

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]

HARMLESS = ("arithmetic", "regex")
"""Verifiers that a request may name: they read no files and run nobody's code."""


class BudgetFields(Form):
    """What an answer may take; when it is used up the best so far is given.

    Attributes:
        deadline_ms: after the request's arrival. Unlike the field beside `strategy` it is no
            promise, so it is never refused.
        max_tokens: of all drafts together.
        max_joules: drawn by the machine meanwhile.
        max_usd: paid for it meanwhile.
    """

    deadline_ms: Ms | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    max_joules: Amount | None = None
    max_usd: Amount | None = None


class StrategyFields(Form):
    """How an answer is made.

    Attributes:
        strategy: as in "reflect(vote(4), rounds=2)".
        verifier: what says how good an answer is, where the strategy names none.
        budget: what it may take.
        trace: the answer says how it came about.
        reach: as an answer before had it, to have that one again.
        optillm_approach: the same as a strategy, in optillm's words.
    """

    strategy: Text | None = None
    verifier: Text | None = None
    budget: BudgetFields | None = None
    trace: bool = False
    reach: Annotated[str, Field(min_length=1, max_length=LONGEST_REACH)] | None = None
    optillm_approach: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def wish(
    body: StrategyFields,
    named: str,
    kit: Kit,
    wishes: Wishes,
    said: Conversation,
    others: Mapping[str, Any],
    names: Mapping[str, str],
) -> Wish | None:
    """What a body wishes for; None: a plain answer.

    Args:
        named: the strategy that the model's name says, or "".
        kit: what strategies of this server use.
        wishes, said, others: the rest of the body; others by the names of their fields.
        names: what the engine's fields are called in this interface.

    Raises:
        Refusal: it makes no sense, asks for what requests may not have, or for more than text,
            one and whole.
    """
    param, text = _strategy(body, named)
    if not text:
        _require_strategy(body)
        return None
    _require_plain(wishes, said, others, names["prompt"])
    try:
        budget = Budget(**body.budget.model_dump()) if body.budget else Budget()
        reach = None if body.reach is None else parse_reach(body.reach)
    except ForeknownError as error:
        raise refused(error) from None
    try:
        if body.verifier is not None:
            _require_harmless_text(body.verifier)
            kit = replace(kit, verifier=parse_verifier(body.verifier))
    except RequestError as error:
        what = f"the verifier cannot be had: {error.what}"
        raise Refusal(what, param="verifier", remedy=error.remedy) from None
    try:
        call = parse(text)
        _require_harmless(call)
        require_made(call, kit)
    except RequestError as error:
        raise Refusal(error.what, param=param, remedy=error.remedy) from None
    return Wish(call, kit, budget, body.verifier or "", body.trace, reach)


def _strategy(body: StrategyFields, named: str) -> tuple[str, str]:
    """The field that names a strategy, and its text; "" without one."""
    texts = {"strategy": body.strategy, "model": named}
    if body.optillm_approach is not None:
        texts["optillm_approach"] = approach_strategy(body.optillm_approach, "optillm_approach")
    (param, text), *others = [pair for pair in texts.items() if pair[1]] or [("strategy", "")]
    for other, its in others:
        if its != text:
            raise Refusal(f"{other} names another strategy than {param}", param=other)
    return param, text or ""


def _require_plain(
    wishes: Wishes, said: Conversation, others: Mapping[str, Any], prompt: str
) -> None:
    """A strategy's answer is text, one and whole."""
    excluded = {
        **others,
        wishes.grammar_param: wishes.grammar,
        "tools": wishes.tools,
        "n": wishes.samples > 1,
        "beam_width": wishes.beams,
    }
    for param, value in excluded.items():
        if value:
            raise Refusal(
                f"{param} and a strategy exclude each other", param=param, code="invalid_value"
            )
    if not said.messages or said.messages[-1]["role"] != "user":
        raise Refusal(f"{prompt}: a strategy answers a last message of the user", param=prompt)


def _require_strategy(body: StrategyFields) -> None:
    for param in ("verifier", "budget", "reach"):
        if getattr(body, param) is not None:
            raise Refusal(f"{param} is given without a strategy", param=param)


def _require_harmless(call: Call) -> None:
    """Nothing in a strategy names a verifier that reads files or runs code."""
    values: list[Value] = [*call.args, *call.kwargs.values()]
    for value in values:
        if isinstance(value, Call):
            _require_harmless(value)
        elif isinstance(value, str) and ":" in value:
            _require_harmless_text(value)


def _require_harmless_text(text: str) -> None:
    name = text.partition(":")[0].strip()
    if name not in HARMLESS:
        raise Refusal(
            f"a request may not name the verifier {name[:40]!r}",
            param="verifier",
            code="invalid_value",
            remedy=f"name {' or '.join(HARMLESS)}, or have the server started with --verifier",
        )
