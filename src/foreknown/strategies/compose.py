"""Makes a strategy from its text form: `reflect(vote(8), rounds=2)`.

A strategy among the arguments, given first or as `of`, is what gives each of its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from foreknown.errors import RequestError
from foreknown.strategies.beam import StepBeams, TokenBeams
from foreknown.strategies.best_of import BestOf
from foreknown.strategies.direct import direct
from foreknown.strategies.expression import Call, Parameter, bind, parse
from foreknown.strategies.reflect import Reflect
from foreknown.strategies.search import Search
from foreknown.strategies.strategy import Strategy
from foreknown.strategies.templates import Templates
from foreknown.strategies.verifiers import Verdict, Verifier, guarded, parse_verifier
from foreknown.strategies.verify_and_retry import VerifyAndRetry
from foreknown.strategies.vote import Vote

VERIFIER_S = 5.0
"""A verdict that takes longer is none."""
MOST_ANSWERS = 256
MOST_DRAFTS = 4096
"""That a strategy writes, with all in it."""


@dataclass(frozen=True)
class Kit:
    """What strategies use beside their arguments.

    Attributes:
        verifier: where an expression names none.
        templates: what models are asked.
        allow_code: whether verifiers may run what a model wrote.
        rehearses: nothing is verified: what drafts would be is not known yet, so none is right.
    """

    verifier: Verifier | None = None
    templates: Templates = field(default_factory=Templates)
    allow_code: bool = False
    rehearses: bool = False

    def verifier_if(self, wanted: bool, call: Call, given: Mapping[str, Any]) -> Verifier | None:
        """The verifier that a call's arguments name, or the user's own, where one is wanted.

        Raises:
            RequestError: one is named that nothing asks, or wanted and not there.
        """
        if given["verifier"] and not wanted:
            raise RequestError(
                f"{call.name} names a verifier and does not ask it",
                remedy="write by=verifier, for a vote weight=verifier, or leave it out",
                field="strategy",
            )
        return self.verifier_of(call, given["verifier"]) if wanted else None

    def verifier_of(self, call: Call, text: str) -> Verifier:
        """The verifier that a call names, or the user's own.

        Raises:
            RequestError: there is none.
        """
        named = parse_verifier(text, allow_code=self.allow_code) if text else self.verifier
        if named is None:
            raise RequestError(
                f"{call.name} needs a verifier",
                remedy=f'name one, as in {call.name}(verifier="arithmetic")',
                field="strategy",
            )
        return _Unmoved() if self.rehearses else guarded(named, seconds=VERIFIER_S)


class _Unmoved:
    """Finds everything wrong."""

    def verify(self, question: str, answer: str) -> Verdict:
        return Verdict(0.0, "not looked at")


Make = Callable[[Call, Strategy, Mapping[str, Any], Kit], Strategy]


@dataclass(frozen=True)
class Known:
    """A strategy that can be composed.

    Attributes:
        signature: its parameters, beside the strategy in it.
        make: from its call, the strategy in it, its arguments, and the kit.
        effort: which parameter says how much it does; "": none.
        drafts: how many times what is in it is done, at most, or a draft is written.
    """

    signature: Sequence[Parameter]
    make: Make
    effort: str = ""
    drafts: Callable[[Mapping[str, Any]], int] = lambda given: 1


_VERIFIER = Parameter("verifier", str, "")


def _vote(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    verifier = kit.verifier_if(given["weight"] == "verifier", call, given)
    return Vote(given["n"], inner, given["weight"], verifier)


def _best_of(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    verifier = kit.verifier_if(given["by"] == "verifier", call, given)
    return BestOf(given["n"], inner, given["by"], verifier, kit.templates)


def _reflect(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    verifier = kit.verifier_if(given["by"] == "verifier", call, given)
    sizes = given["rounds"], given["ideas"]
    return Reflect(inner, *sizes, given["by"], given["enough"], verifier, kit.templates)


def _retry(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    verifier = kit.verifier_of(call, given["verifier"])
    return VerifyAndRetry(verifier, inner, given["tries"], given["enough"])


def _beam(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    _refuse_inner(call, inner)
    verifier = kit.verifier_if(given["by"] == "verifier", call, given)
    scoring = (given["by"], verifier, kit.templates)
    if given["over"] == "tokens":
        return TokenBeams(given["width"], *scoring)
    return StepBeams(given["width"], given["depth"], *scoring, kit.rehearses)


def _search(call: Call, inner: Strategy, given: Mapping[str, Any], kit: Kit) -> Strategy:
    _refuse_inner(call, inner)
    verifier = kit.verifier_if(given["by"] == "verifier", call, given)
    sizes = (given["expansions"], given["width"], given["depth"], given["enough"])
    return Search(*sizes, given["by"], verifier, kit.templates)


def _refuse_inner(call: Call, inner: Strategy) -> None:
    if inner is not direct:
        raise RequestError(
            f"{call.name} draws its answers itself",
            remedy="leave the strategy in it out",
            field="strategy",
        )


def _n(given: Mapping[str, Any]) -> int:
    return int(given["n"])


_N = Parameter("n", int, 8, 1, MOST_ANSWERS)
STRATEGIES: Mapping[str, Known] = {
    "direct": Known((), lambda call, inner, given, kit: direct),
    "vote": Known(
        (
            _N,
            Parameter("weight", str, "count", choices=("count", "confidence", "verifier")),
            _VERIFIER,
        ),
        _vote,
        "n",
        _n,
    ),
    "best_of": Known(
        (_N, Parameter("by", str, "logprob", choices=("logprob", "verifier", "judge")), _VERIFIER),
        _best_of,
        "n",
        _n,
    ),
    "reflect": Known(
        (
            Parameter("rounds", int, 2, 1, 16),
            Parameter("ideas", int, 3, 1, 20),
            Parameter("by", str, "last", choices=("last", "verifier", "judge", "logprob")),
            Parameter("enough", float, 1.0, 0, 1),
            _VERIFIER,
        ),
        _reflect,
        "rounds",
    ),
    "beam": Known(
        (
            Parameter("width", int, 4, 1, 64),
            Parameter("over", str, "tokens", choices=("tokens", "steps")),
            Parameter("depth", int, 16, 1, 256),
            Parameter("by", str, "logprob", choices=("logprob", "verifier", "judge")),
            _VERIFIER,
        ),
        _beam,
        "width",
        lambda given: given["width"] ** 2 * (given["depth"] if given["over"] == "steps" else 1),
    ),
    "search": Known(
        (
            Parameter("expansions", int, 8, 1, 256),
            Parameter("width", int, 4, 1, 64),
            Parameter("depth", int, 16, 1, 256),
            Parameter("enough", float, 1.0, 0, 1),
            Parameter("by", str, "verifier", choices=("verifier", "judge", "logprob")),
            _VERIFIER,
        ),
        _search,
        "expansions",
        lambda given: int(given["expansions"] * given["width"]),
    ),
    "verify_and_retry": Known(
        (Parameter("tries", int, 4, 1, 64), Parameter("enough", float, 1.0, 0, 1), _VERIFIER),
        _retry,
        "tries",
        lambda given: int(given["tries"]),
    ),
}


def compose(text: str, kit: Kit) -> Strategy:
    """The strategy of a text.

    Raises:
        RequestError: it cannot be read, names no strategy, or gives one what it does not take.
    """
    return built(parse(text), kit)


def built(call: Call, kit: Kit) -> Strategy:
    """The strategy of a call; see `compose`."""
    known = STRATEGIES.get(call.name)
    if known is None:
        raise RequestError(
            f"there is no strategy {call.name!r}",
            remedy=f"choose one of {', '.join(STRATEGIES)}",
            field="strategy",
        )
    inner, rest = _without_inner(call)
    given = bind(rest, known.signature)
    strategy = known.make(call, direct if inner is None else built(inner, kit), given, kit)
    if (n_drafts := _n_drafts(call)) > MOST_DRAFTS:
        raise RequestError(
            f"{call.name} writes up to {n_drafts:,} drafts, where {MOST_DRAFTS:,} are the most",
            remedy="have it do less, or what is in it",
            field="strategy",
        )
    return strategy


def _n_drafts(call: Call) -> int:
    """How many a strategy writes at most, with all in it; what only follows a draft aside."""
    inner, rest = _without_inner(call)
    known = STRATEGIES[call.name]
    return known.drafts(bind(rest, known.signature)) * (1 if inner is None else _n_drafts(inner))


def with_effort(call: Call, share: float) -> Call:
    """The same, doing about that share of what it would; everything in it, too, at least once."""
    known = STRATEGIES[call.name]
    inner, rest = _without_inner(call)
    given = bind(rest, known.signature)
    changed = {p.name: given[p.name] for p in known.signature if given[p.name] != p.default}
    if known.effort:
        whole = given[known.effort]
        assert isinstance(whole, int)
        changed[known.effort] = max(1, int(whole * share))
    args = () if inner is None else (with_effort(inner, share),)
    return replace(call, args=args, kwargs=changed)


def _without_inner(call: Call) -> tuple[Call | None, Call]:
    """The strategy in a call, and the call without it."""
    kwargs = dict(call.kwargs)
    inner = kwargs.pop("of", None)
    args = call.args
    if args and isinstance(args[0], Call):
        if inner is not None:
            raise RequestError(
                f"{call.name} is given two strategies", remedy="leave one out", field="strategy"
            )
        inner, args = args[0], args[1:]
    if inner is not None and not isinstance(inner, Call):
        raise RequestError(
            f"{call.name}: of is {inner!r}, where a strategy is expected",
            remedy=f"choose one of {', '.join(STRATEGIES)}",
            field="strategy",
        )
    return inner, replace(call, args=args, kwargs=kwargs)
