"""Loads our server, and llama.cpp's beside it, with users who wait for their answers.

    serving.py SHAPE|CHECKPOINT|ARTIFACT [--users 1,4,8,16] [--peer llama.cpp] [--json]
    serving.py MODEL --overhead --arrival --prefix --same

Without a mode it is throughput, first tokens and gaps, by number of users, turn by turn in rounds.
--overhead: the engine alone, in a process of its own, against users through HTTP. --arrival: the
largest gap of those who decode while a prompt of 1,000 tokens is taken in. --prefix: what a shared
prefix saves. --same: a request alone and in company, bytes compared.

Both servers listen on loopback, have the same number of threads and the same prompts of random
token ids; the one that is not asked sleeps. llama.cpp's server is built on first use (loads/).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from loads.arrival import LONG_PROMPT, arrivals
from loads.connection import Disconnected
from loads.llama_server import find_llama_server, system_info
from loads.overhead import engine_alone, overhead
from loads.prefix import PREFIX, shared_prefix
from loads.sameness import sameness
from loads.servers import (
    Server,
    ServerFailed,
    busy_s,
    free_port,
    llama_command,
    our_command,
    started,
)
from loads.side_by_side import Load, compare
from loads.tables import print_record
from loads.users import BadAnswer
from loads.vocabulary import write_tokenizer
from peers import named_checkpoint
from systems.conversions import ConversionFailed, Conversions
from systems.environment import PeersMissing, make_environment, missing_instructions
from systems.worker import BENCHMARKS

from foreknown.report.host import host_threads

OURS, LLAMA = "foreknown", "llama.cpp"
LLAMA_FORMAT = {"int4": "Q4_0", "int4@64": "Q4_0", "int8": "Q8_0"}
ENDLESS = 1600
"""Output tokens of users who must still decode when the last of some prompts has arrived."""
SLOT_STEP = 256
FAILURES = (BadAnswer, ConversionFailed, Disconnected, PeersMissing, ServerFailed, TimeoutError)


def main() -> int:
    arguments = parse()
    try:
        record = measure(arguments)
    except FAILURES as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(record))
    else:
        print_record(record)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="SHAPE|CHECKPOINT|ARTIFACT")
    parser.add_argument("--weights", choices=sorted(LLAMA_FORMAT), default="int4")
    parser.add_argument("--peer", choices=(LLAMA, "none"), default="none")
    parser.add_argument("--users", type=numbers, default="1,4,8,16")
    parser.add_argument("--requests", type=int, default=3, help="of each user in a round")
    parser.add_argument("--prompt", type=int, default=128, help="tokens")
    parser.add_argument("--output", type=int, default=128, help="tokens of an answer, on average")
    parser.add_argument("--rounds", type=int, default=3, help="or repetitions of another mode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--environment", type=Path, default=Path("build/peers"))
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument("--llama-server", type=Path, help="a program that is there already")
    parser.add_argument(
        "--speculation",
        action="store_true",
        help="let our server guess tokens: random weights repeat themselves, which flatters it",
    )
    modes = parser.add_argument_group("modes")
    modes.add_argument("--overhead", action="store_true", help="with the most --users")
    modes.add_argument("--arrival", action="store_true", help="with 8 users, or the most if fewer")
    modes.add_argument("--prefix", action="store_true")
    modes.add_argument("--same", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """1,4,8 → all three."""
    return [int(part) for part in text.split(",")]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that `--json` prints."""
    model = Path(arguments.model)
    conversions = None
    if (model / "manifest.json").exists():
        if arguments.peer != "none":
            raise ConversionFailed("a peer needs a checkpoint, not an artifact of ours")
        artifact, checkpoint = model.absolute(), model / "checkpoint"
    else:
        checkpoint = named_checkpoint(arguments.model, arguments.work)
        give_tokenizer(checkpoint)
        conversions = Conversions(checkpoint, arguments.work.absolute())
        artifact = conversions.ours(arguments.weights)
    config = json.loads((checkpoint / "config.json").read_text())
    load = Load(
        arguments.requests, arguments.prompt, arguments.output, config["vocab_size"], arguments.seed
    )
    with ExitStack() as stack:
        servers = [stack.enter_context(our_server(artifact, arguments))]
        if conversions is not None and arguments.peer == LLAMA:
            servers.append(stack.enter_context(llama_server(conversions, arguments)))
        record: dict[str, Any] = {
            "model": model.name,
            "weights": arguments.weights,
            "threads": arguments.threads,
            "load": vars(load),
            "rounds": arguments.rounds,
            "systems": [{"system": s.system, "settings": s.settings, **s.facts} for s in servers],
        }
        before_s, own_s, start_s = busy_s(), _own_s(servers), time.monotonic()
        record |= run_modes(servers, artifact, load, arguments)
        others_s = busy_s() - before_s - (_own_s(servers) - own_s)
        record["others"] = round(max(0.0, others_s) / (time.monotonic() - start_s), 3)
        return record


def _own_s(servers: Sequence[Server]) -> float:
    """Processor time of the servers, of this process, and of its workers that have ended."""
    ours = os.times()
    own_s = ours.user + ours.system + ours.children_user + ours.children_system
    return own_s + sum(server.processor_s() for server in servers)


def run_modes(
    servers: Sequence[Server], artifact: Path, load: Load, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Each mode that is asked for, or the comparison."""
    most, rounds = max(arguments.users), arguments.rounds
    found: dict[str, Any] = {}
    if arguments.overhead:
        with engine_alone(artifact, arguments.threads, most) as engine:
            found["overhead"] = overhead(servers[0], engine, most, load, rounds, tell)
    if arguments.arrival:
        endless = Load(1, load.n_prompt, ENDLESS, load.vocabulary, load.seed)
        n_users = min(8, most)
        found["arrival"] = {s.system: arrivals(s, n_users, endless, rounds) for s in servers}
    if arguments.prefix:
        found["prefix"] = {s.system: shared_prefix(s, load, rounds) for s in servers}
    if arguments.same:
        found["same"] = {s.system: sameness(s, load, rounds) for s in servers}
    if not found:
        found = compare(servers, arguments.users, load, rounds, tell)
    return found


def tell(what: str) -> None:
    print(what, file=sys.stderr)


def give_tokenizer(checkpoint: Path) -> None:
    """A random checkpoint gets a tokenizer; a server cannot do without one."""
    if not (checkpoint / "tokenizer.json").exists():
        config = json.loads((checkpoint / "config.json").read_text())
        write_tokenizer(checkpoint, config["vocab_size"])


@contextmanager
def our_server(artifact: Path, arguments: argparse.Namespace) -> Iterator[Server]:
    """`foreknown serve` with room for all users."""
    more = ["--sequences", str(max(arguments.users) + 1)]
    more += [] if arguments.speculation else ["--no-speculation"]
    port = free_port()
    command = our_command(artifact, port, arguments.threads, more)
    log = arguments.work.absolute() / "serve-ours.log"
    with started(OURS, command, port, log) as server:
        yield server


@contextmanager
def llama_server(conversions: Conversions, arguments: argparse.Namespace) -> Iterator[Server]:
    """llama-server with as many slots as users, and one for who arrives."""
    python = make_environment(arguments.environment)
    program = find_llama_server(arguments.environment, python, arguments.llama_server)
    slots = max(arguments.users) + 1
    longest = max(arguments.prompt + 2 * arguments.output, PREFIX, LONG_PROMPT, ENDLESS)
    slot_tokens = (longest // SLOT_STEP + 1) * SLOT_STEP
    gguf = with_vocabulary(conversions, python, LLAMA_FORMAT[arguments.weights])
    port = free_port()
    command = llama_command(program, gguf, port, arguments.threads, slots, slot_tokens)
    with started(LLAMA, command, port, conversions.log("serve-llama")) as server:
        server.facts = {"missing_instructions": missing_instructions(system_info(program))}
        yield server


def with_vocabulary(conversions: Conversions, python: Path, kind: str) -> Path:
    """A quantised GGUF file that knows the checkpoint's tokens."""
    made = conversions.directory / f"{kind}-tokens.gguf"
    if not made.exists():
        source = conversions.gguf(python, kind)
        partial = made.with_suffix(".partial")
        command: list[str | Path] = [
            python,
            "-m",
            "loads.gguf_vocabulary",
            source,
            conversions.checkpoint,
            partial,
        ]
        done = subprocess.run(command, cwd=BENCHMARKS, stdout=sys.stderr, check=False)
        if done.returncode:
            raise ConversionFailed(f"{made} could not be made")
        partial.rename(made)
    return made


if __name__ == "__main__":
    sys.exit(main())
