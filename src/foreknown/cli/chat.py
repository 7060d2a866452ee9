"""foreknown chat [MODEL]"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from foreknown.cli.arguments import add_model, add_threads
from foreknown.cli.models import Model, open_model
from foreknown.cli.sampling import add_sampling, sampling_params
from foreknown.cli.strategy import add_strategy, print_line, strategy_answer, strategy_wishes
from foreknown.errors import RequestError

PROMPT, HELP = "you> ", "/reset forgets the conversation, /quit ends, Ctrl-C stops an answer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    add_sampling(parser)
    add_strategy(parser, is_recorded=False)
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        import readline  # noqa: F401  (gives `input` its line editing)
    with open_model(args) as model:
        model.warm_up()
        if model.checkpoint.chat_template is None:
            raise RequestError(
                "this model has no chat template",
                where=str(model.artifact.directory),
                remedy="foreknown run continues a text",
            )
        sampling_params(args, model.checkpoint.generation)  # refused now, not mid-way
        if args.strategy is not None:
            strategy_wishes(args)
        beginning = [{"role": "system", "content": args.system}] if args.system else []
        history = list(beginning)
        if at_terminal:
            print(HELP, file=sys.stderr)
        for line in _lines(at_terminal):
            if line == "/quit":
                break
            if line == "/reset":
                history = list(beginning)
            elif line == "/help":
                print(HELP, file=sys.stderr)
            elif line:
                _turn(model, args, history, line)
    return 0


def _lines(at_terminal: bool) -> Iterator[str]:
    """What is typed, or piped, until its end."""
    while True:
        try:
            yield input(PROMPT if at_terminal else "").strip()
        except EOFError:
            return


def _turn(model: Model, args: argparse.Namespace, history: list[dict[str, str]], line: str) -> None:
    """Answer one line; what the answer was, even if stopped, becomes part of the conversation."""
    asked = [*history, {"role": "user", "content": line}]
    try:
        answer = (_answer if args.strategy is None else _best_answer)(model, args, asked)
    except RequestError as error:
        # the conversation has become too long, or the template refuses it: the program goes on
        print(f"error: {error}\n  /reset begins a new conversation", file=sys.stderr)
        return
    history[:] = [*asked, {"role": "assistant", "content": answer}]


def _answer(model: Model, args: argparse.Namespace, messages: list[dict[str, str]]) -> str:
    from foreknown.engine import Request

    params = sampling_params(args, model.checkpoint.generation)
    request = Request(model.prompt_ids(messages), params)
    pieces: list[str] = []
    with _interruptible() as stopped:
        for output in model.engine.generate([request]):
            pieces.append(output.text)
            sys.stdout.write(output.text)
            sys.stdout.flush()
            if stopped():
                break
    sys.stdout.write("\n")
    sys.stdout.flush()
    return "".join(pieces)


def _best_answer(model: Model, args: argparse.Namespace, messages: list[dict[str, str]]) -> str:
    """By a strategy; if it is stopped, the best so far."""
    with _interruptible() as stopped:
        came = strategy_answer(args, model, messages, is_stopped=stopped)
    print(came.choice.text, flush=True)
    if sys.stderr.isatty():
        print_line(came)
    return came.choice.text


class _Stopped:
    """Whether Ctrl-C was pressed since."""

    def __init__(self) -> None:
        self._pressed = False

    def press(self, number: int, frame: FrameType | None) -> None:
        self._pressed = True

    def __call__(self) -> bool:
        return self._pressed


@contextmanager
def _interruptible() -> Iterator[_Stopped]:
    """In the block, Ctrl-C stops the answer between two tokens, and not the program."""
    stopped = _Stopped()
    before = signal.signal(signal.SIGINT, stopped.press)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
