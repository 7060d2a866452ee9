"""foreknown serve [MODEL ...]"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foreknown.cli.arguments import (
    add_compile_options,
    add_sequences,
    add_speculation,
    add_threads,
    whole,
)
from foreknown.errors import RequestError

if TYPE_CHECKING:
    from foreknown.server.hosting import Wanted
    from foreknown.server.limits import Limits
    from foreknown.server.served_model import ServedModel

LOOPBACK = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="artifacts or checkpoint directories, each as PATH or NAME=PATH; the bundled model "
        "if left out",
    )
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="address to listen on (default: loopback, this machine alone)",
    )
    parser.add_argument(
        "--port", type=whole(0, 65535), default=8000, metavar="N", help="default 8000; 0: any"
    )
    add_sequences(parser)
    add_threads(parser)
    add_speculation(parser)
    guard = parser.add_argument_group("who may ask for what")
    guard.add_argument(
        "--api-keys",
        type=Path,
        metavar="FILE",
        help="file of keys, one `NAME KEY` a line; else FOREKNOWN_API_KEYS; else nobody needs one",
    )
    guard.add_argument(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages of this origin may call; may be given again",
    )
    guard.add_argument(
        "--max-body", type=whole(1024), metavar="BYTES", help="of a request (default 4 MiB)"
    )
    guard.add_argument(
        "--max-samples", type=whole(1), metavar="N", help="n and best_of at most (default 32)"
    )
    guard.add_argument(
        "--max-waiting",
        type=whole(1),
        metavar="N",
        help="requests that may wait; more are refused with 429 (default 1024)",
    )
    guard.add_argument(
        "--no-promises",
        dest="promises",
        action="store_false",
        help="refuse requests with a deadline or another objective: all take what is left",
    )
    better = parser.add_argument_group("better answers, where a request names a strategy")
    better.add_argument(
        "--verifier", metavar="TEXT", help="what says how good an answer is; see `run --verifier`"
    )
    better.add_argument(
        "--allow-code", action="store_true", help="verifiers may run code that the model wrote"
    )
    better.add_argument(
        "--templates", type=Path, metavar="FILE", help="TOML: what models are asked"
    )
    operation = parser.add_argument_group("operation")
    operation.add_argument(
        "--shutdown-seconds",
        type=whole(0),
        metavar="N",
        help="what running requests have once the server is told to stop (default 30)",
    )
    operation.add_argument(
        "--log", choices=("json", "text"), default="text", help="form of the log (default: text)"
    )
    operation.add_argument(
        "--log-bodies", action="store_true", help="log the text of requests, which may be private"
    )
    operation.add_argument("--quiet", action="store_true", help="log only what went wrong")
    add_compile_options(parser.add_argument_group("if a MODEL is a checkpoint"))


def run(args: argparse.Namespace) -> int:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise RequestError(
            f"serving needs the package {error.name}", remedy="pip install 'foreknown[serve]'"
        ) from None
    from foreknown.api import new_kit
    from foreknown.engine.neighbours import Turns
    from foreknown.server.app import make_app
    from foreknown.server.engine_thread import EngineThread
    from foreknown.server.hosting import load_models
    from foreknown.server.keys import read_keys
    from foreknown.server.logs import set_up_logs
    from foreknown.server.metrics import Metrics
    from foreknown.server.service import Service
    from foreknown.server.serving import listen, serve
    from foreknown.server.watching import DriftLog

    keys = read_keys(args.api_keys)
    listening = listen(args.host, args.port)
    models = load_models([_wanted(args, text) for text in _names(args.models)], args.threads)
    if len({model.name for model in models}) < len(models):
        raise RequestError("two models have the same name", remedy="give each as NAME=PATH")
    set_up_logs(args.log, quiet=args.quiet)
    engines = [model.engine for model in models]
    log = DriftLog([model.name for model in models])
    service = Service(
        models={model.name: model for model in models},
        thread=EngineThread(engines, log, Turns(engines).may_step),
        metrics=Metrics([(model.name, model.engine) for model in models]),
        limits=_limits(args),
        log_bodies=args.log_bodies,
        promises=args.promises,
        kit=new_kit(args.verifier, args.templates, allow_code=args.allow_code),
    )
    host, port = listening.getsockname()[:2]
    open_to_all = args.host not in (LOOPBACK, "::1", "localhost") and not keys
    names = ", ".join(service.models)
    print(f"serving {names} at http://{host}:{port}", file=sys.stderr, flush=True)
    for line in _estimates(models, args.threads):
        print(line, file=sys.stderr)
    if open_to_all:
        print(
            "warning: everybody who reaches this address may use it: see --api-keys",
            file=sys.stderr,
        )
    serve(make_app(service, keys, args.cors), service, [listening])
    for model in models:
        model.loaded.program.close()
    return 0


def _estimates(models: Sequence[ServedModel], threads: int | None) -> list[str]:
    """What of all that will be promised rests on no measurement."""
    from foreknown.plan.price import decode_shape
    from foreknown.report.instructions import OtherInstructions
    from foreknown.report.provenance import estimate_texts

    found = []
    for model in models:
        price = model.price
        if price is None:
            continue
        machine = price.machine
        if isinstance(machine, OtherInstructions):
            found.append(
                f"promises and forecasts of {model.name} rest on an estimate for "
                f"{machine.instructions}: compiled for this machine, {machine.own}, it is faster "
                "and they are sharp"
            )
        elif machine.estimated:
            command = f"foreknown calibrate{f' --threads {threads}' if threads else ''}"
            found.append(
                f"promises and forecasts rest on an estimate of this machine: {command} makes "
                "them sharp"
            )
        token = decode_shape(1, model.context / 2)
        shares = price.estimated_shares([(token, 1)])
        for text in estimate_texts([*shares.items()]):
            found.append(f"promises and forecasts of {model.name} rest in part on an {text}")
    return list(dict.fromkeys(found))


def _names(given: list[str]) -> list[str | None]:
    return list(given) or [None]


def _wanted(args: argparse.Namespace, text: str | None) -> Wanted:
    """A model as the command line names it, compiled if need be."""
    from foreknown.cli.models import one_of_several, told_price
    from foreknown.server.hosting import Wanted

    name, path = "", text
    if text is not None and "=" in text and not Path(text).exists():
        name, _, path = text.partition("=")
    artifact, again = one_of_several(args, None if path is None else Path(path))
    if not name:
        name = "bundled" if path is None else Path(path).resolve().name.removesuffix(".fk")
    threads = args.threads or len(os.sched_getaffinity(0))
    told = told_price(artifact, threads)
    return Wanted(name, artifact, args.sequences, args.speculation, told, again)


def _limits(args: argparse.Namespace) -> Limits:
    from foreknown.server.limits import Limits

    given = {
        "body_bytes": args.max_body,
        "samples": args.max_samples,
        "waiting": args.max_waiting,
        "shutdown_s": args.shutdown_seconds,
    }
    return Limits(**{name: value for name, value in given.items() if value is not None})
