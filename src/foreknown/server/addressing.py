"""Names by which requests ask for a model, some of which also say how it is to answer.

MODEL                       the model
MODEL:reflect(rounds=2)     the same, by a strategy
mcts-MODEL                  the same, by the prefix that optillm has for it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from foreknown.server.errors import Refusal

APPROACHES: Mapping[str, str] = {
    "none": "direct",
    "bon": "best_of(3, by=judge)",
    "cot_reflection": "reflect(rounds=1)",
    "majority_voting": "vote(6)",
    "mcts": "search(by=judge)",
    "self_consistency": "vote(5)",
}
"""What optillm's approaches are here, with as many samples as they draw there."""
_OTHERS = frozenset(
    "cepo cot_decoding deepthink entropy_decoding leap mars moa plansearch pvg re2 rstar rto "
    "spl thinkdeeper z3".split()
)
"""Approaches of optillm that there are none of here: named so that the error can say so."""


def addressed(name: str, models: Collection[str]) -> tuple[str, str]:
    """The model that a name means, and the text of the strategy in it; "" for none.

    Raises:
        Refusal: it names an approach that there is none of.
    """
    if name in models:
        return name, ""
    model, colon, strategy = name.partition(":")
    if colon and model in models:
        if not strategy.strip():
            raise Refusal("the model's name ends where a strategy begins", param="model")
        return model, strategy
    approach, dash, model = name.partition("-")
    while dash:
        if model in models and _is_approach(approach):
            return model, approach_strategy(approach, "model")
        more, dash, model = model.partition("-")
        approach += f"-{more}"
    return name, ""


def approach_strategy(approach: str, param: str) -> str:
    """The strategy of one of optillm's approaches.

    Raises:
        Refusal: there is none.
    """
    if approach not in APPROACHES:
        raise Refusal(
            f"there is no approach {approach[:60]!r} here",
            param=param,
            code="invalid_value",
            remedy=f"use one of {', '.join(APPROACHES)}; a strategy in another is written "
            '"strategy": "reflect(vote(4))"',
        )
    return APPROACHES[approach]


def _is_approach(text: str) -> bool:
    """Whether it is one, or several as optillm joins them."""
    parts = text.replace("|", "&").replace("-", "&").split("&")
    return all(part in APPROACHES or part in _OTHERS for part in parts)
