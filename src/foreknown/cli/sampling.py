"""How tokens are chosen, as options of `run` and `chat`; the checkpoint decides the rest."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from foreknown.cli.arguments import add_speculation, whole

if TYPE_CHECKING:
    from foreknown.checkpoint import GenerationDefaults
    from foreknown.engine import SamplingParams


def add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("choosing tokens (else as the checkpoint says, else greedy)")
    group.add_argument("--max-tokens", type=whole(1), metavar="N", help="tokens of the answer")
    group.add_argument("--temperature", type=float, metavar="X", help="0 is greedy")
    group.add_argument("--top-k", type=int, metavar="N", help="only the N best tokens; 0 is off")
    group.add_argument("--top-p", type=float, metavar="X", help="only the best that reach X")
    group.add_argument(
        "--min-p", type=float, metavar="X", help="only those with X of the best one's probability"
    )
    group.add_argument("--repetition-penalty", type=float, metavar="X", help="1 is off")
    group.add_argument("--presence-penalty", type=float, metavar="X", help="0 is off")
    group.add_argument("--frequency-penalty", type=float, metavar="X", help="0 is off")
    group.add_argument("--seed", type=int, metavar="N", help="the same seed draws the same tokens")
    group.add_argument(
        "--stop", action="append", metavar="TEXT", help="ends the answer; may be given again"
    )
    group.add_argument(
        "--ignore-eos", action="store_true", help="go on after the model's end of sequence"
    )
    add_speculation(group)


def sampling_params(
    args: argparse.Namespace, defaults: GenerationDefaults, **more: Any
) -> SamplingParams:
    """The parameters of a request.

    Raises:
        RequestError: a value outside its range.
    """
    from foreknown.engine.defaults import with_defaults

    return with_defaults(
        defaults,
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
        presence_penalty=args.presence_penalty,
        frequency_penalty=args.frequency_penalty,
        seed=args.seed,
        stop=tuple(args.stop) if args.stop else None,
        ignore_eos=args.ignore_eos or None,
        **more,
    )
