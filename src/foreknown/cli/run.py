"""foreknown run [MODEL] --prompt TEXT"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from foreknown.cli.arguments import add_json, add_model, add_threads
from foreknown.cli.models import Model, open_model
from foreknown.cli.sampling import add_sampling, sampling_params
from foreknown.cli.strategy import add_strategy, run_strategy
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.report.forecast import Forecast
    from foreknown.report.generation import Generation

PROMPT_LIMIT_BYTES = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--prompt", required=True, metavar="TEXT", help="what to continue; - reads standard input"
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="continue the text itself, even if the model has a chat template",
    )
    add_sampling(parser)
    parser.add_argument(
        "--logprobs",
        type=int,
        metavar="N",
        help="with --json: also the N likeliest tokens at each place",
    )
    add_strategy(parser)
    add_threads(parser)
    parser.add_argument(
        "--stats",
        action="store_true",
        help="show forecast and measured on standard error, even if that is no terminal",
    )
    add_json(parser, "print one JSON object when done")


def run(args: argparse.Namespace) -> int:
    from foreknown.engine import Request
    from foreknown.report.generation import Generation, print_stats
    from foreknown.report.host import known_host
    from foreknown.report.resident import resident_bytes

    prompt = _prompt(args.prompt)
    with open_model(args) as model:
        if args.strategy is not None:
            model.warm_up()
            run_strategy(args, model, prompt)
            return 0
        ids = _ids(model, prompt, raw=args.raw)
        params = sampling_params(
            args, model.checkpoint.generation, logprobs=args.logprobs or 0 if args.json else None
        )
        model.warm_up()
        generation = Generation(len(ids), model.load_ms, model.engine.clock.now_ns())
        for output in model.engine.generate([Request(ids, params)]):
            generation.add(output)
            if not args.json:
                sys.stdout.write(output.text)
                sys.stdout.flush()
        is_shown = args.stats or (not args.json and sys.stderr.isatty())
        told = _forecast(model, generation) if args.json or is_shown else None
        if args.json:
            print(json.dumps(generation.record(told, top=args.logprobs is not None)))
        elif not generation.text.endswith("\n"):
            print(flush=True)
        if is_shown:
            grown = resident_bytes() - model.resident_before
            print_stats(generation, told, model.loaded.memory, grown, sys.stderr)
        if model.phase_times is not None:
            model.phase_times.print(known_host(model.threads), sys.stderr)
    return 0


def _prompt(given: str) -> str:
    if given != "-":
        return given
    raw = sys.stdin.buffer.read(PROMPT_LIMIT_BYTES + 1)
    if len(raw) > PROMPT_LIMIT_BYTES:
        raise RequestError(
            f"the prompt on standard input is longer than {PROMPT_LIMIT_BYTES >> 20} MiB",
            remedy="no context holds it: give less",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"the prompt on standard input is not UTF-8: byte {error.start}",
            remedy="convert it to UTF-8",
        ) from None


def _ids(model: Model, prompt: str, *, raw: bool) -> list[int]:
    if not raw and model.checkpoint.chat_template is not None:
        return model.prompt_ids([{"role": "user", "content": prompt}])
    return model.checkpoint.tokenizer.encode(prompt)


def _forecast(model: Model, generation: Generation) -> Forecast:
    """Of a prompt and as many tokens as came."""
    from foreknown.artifact.planned import planned_artifact
    from foreknown.report.forecast import Case, forecast
    from foreknown.report.host import known_host

    case = Case(generation.prompt_tokens, max(1, len(generation.token_ids)))
    return forecast(planned_artifact(model.artifact), known_host(model.threads), case)
