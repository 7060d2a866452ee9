"""Loads a server with callers who all want something kept, from half to four times what it can do.

    promises.py [SHAPE|CHECKPOINT|ARTIFACT] [--loads 0.5,1,2,4] [--seconds 30] [--peer llama.cpp]
    promises.py [MODEL] --decision

Without a model it is the bundled one. A trace gives the lengths of prompts and answers, scaled
down to the model's context; callers come as a Poisson process and wait for nobody. What the server
can do is measured before, with as many users as it has sequences, who ask again and again. Every
caller has an objective: either a deadline, 1.5 to 6 times what its request takes alone as
/v1/forecast tells it, or a time to first token and a pace, likewise.

All loads are put on our server with promises; then on the same server by callers who do not say
what they want, so that nobody is refused and all are served in fair turns; and, with --peer, on
llama.cpp's. Goodput is what came as it was wanted, by the callers' own clocks, for each second in
which callers came. --decision: what it takes to decide, with 64 active requests.

It fails (exit status 1) if fewer than 99.9 % of the promises of a load were kept, or if goodput at
the highest load is less than 90 % of that at 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from loads.callers import Caller, closed_loop, figures, open_loop, poisson_s
from loads.connection import Disconnected, ask, post
from loads.servers import Server, ServerFailed, free_port, our_command, started
from loads.tables import markdown
from loads.users import Question, random_prompt
from peers import named_checkpoint
from serving import LLAMA, give_tokenizer, llama_server
from systems.conversions import ConversionFailed, Conversions
from systems.environment import PeersMissing
from systems.worker import BENCHMARKS, worker_environment

from foreknown.report.host import host_threads
from foreknown.report.traces import read_trace

OURS, FIRST_COME = "promises", "first come"
TRACE = Path("../shared/data/traces/azure_conv_2023.csv")
KEPT_SHARE, GOODPUT_SHARE = 0.999, 0.9
LEAST, MOST = 1.5, 6.0
"""An objective is so many times what the request takes alone."""
PATIENCE = 2.0
"""After the last arrival who waits leaves, when the longest objective has passed so many times."""
FULL = 0.9
"""Share of the context that the longest requests fill."""
WARM_UP_S = 5.0
ACTIVE, DECISIONS = 64, 400
FAILURES = (ConversionFailed, Disconnected, PeersMissing, ServerFailed)


def main() -> int:
    arguments = parse()
    try:
        record = measure(arguments)
    except FAILURES as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(record))
    else:
        print_record(record)
    return 0 if all(record.get("claims", {}).values()) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="SHAPE|CHECKPOINT|ARTIFACT", nargs="?")
    parser.add_argument("--weights", default="int4")
    parser.add_argument("--loads", type=loads, default="0.5,1,2,4", metavar="X,…")
    parser.add_argument("--seconds", type=float, default=30.0, help="in which callers come")
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--length", type=float, help="of the trace's, times X; else as fits")
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--peer", choices=(LLAMA, "none"), default="none")
    parser.add_argument("--alone", action="store_true", help="our promises only, nothing beside")
    parser.add_argument("--environment", type=Path, default=Path("build/peers"))
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument("--llama-server", type=Path, help="a program that is there already")
    parser.add_argument("--decision", action="store_true", help="only what it takes to decide")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def loads(text: str) -> list[float]:
    """0.5,1,2,4 → all four."""
    return [float(part) for part in text.split(",")]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that `--json` prints."""
    artifact, conversions = found_model(arguments)
    record: dict[str, Any] = {
        "model": arguments.model or "bundled",
        "threads": arguments.threads,
        "sequences": arguments.sequences,
    }
    if arguments.decision:
        return {**record, "decision": decision(artifact, arguments)}
    with ExitStack() as stack:
        ours = stack.enter_context(our_server(artifact, arguments))
        servers = [(OURS, ours)]
        if not arguments.alone:
            servers.append((FIRST_COME, ours))
        if conversions is not None and arguments.peer == LLAMA:
            servers.append((LLAMA, stack.enter_context(llama_beside(conversions, arguments))))
        return {**record, **under_loads(servers, arguments)}


def found_model(arguments: argparse.Namespace) -> tuple[Path, Conversions | None]:
    """An artifact, and what a peer's form can be made from."""
    name = arguments.model
    if name is not None and (Path(name) / "manifest.json").exists():
        if arguments.peer != "none":
            raise ConversionFailed("a peer needs a checkpoint, not an artifact of ours")
        return Path(name).absolute(), None
    bundled = BENCHMARKS.parent / "src" / "foreknown" / "bundled"
    checkpoint = bundled if name is None else named_checkpoint(name, arguments.work)
    give_tokenizer(checkpoint)
    conversions = Conversions(checkpoint, arguments.work.absolute())
    return conversions.ours(arguments.weights), conversions


@contextmanager
def our_server(artifact: Path, arguments: argparse.Namespace) -> Iterator[Server]:
    """`foreknown serve`; random prompts repeat nothing, so nothing is guessed ahead."""
    more = ["--sequences", str(arguments.sequences), "--no-speculation", "--max-waiting", "100000"]
    port = free_port()
    command = our_command(artifact, port, arguments.threads, more)
    log = arguments.work.absolute() / "serve-promises.log"
    with started(OURS, command, port, log) as server:
        yield server


@contextmanager
def llama_beside(conversions: Conversions, arguments: argparse.Namespace) -> Iterator[Server]:
    """llama.cpp's server with a slot for each sequence."""
    told = argparse.Namespace(**vars(arguments))
    context = json.loads((conversions.checkpoint / "config.json").read_text())
    told.users, told.prompt = [arguments.sequences - 1], context["max_position_embeddings"]
    told.output = 0
    with llama_server(conversions, told) as server:
        yield server


def under_loads(
    servers: Sequence[tuple[str, Server]], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Figures of every load and system."""
    ours = servers[0][1]
    described = ours.get("/v1/models")["data"][0]
    lengths, factor = scaled_lengths(arguments, described["context_length"])
    chance = random.Random(arguments.seed)
    vocabulary = vocabulary_of(ours)
    some = [Question(random_prompt(chance, n, vocabulary), m) for n, m in lengths[:400]]
    asyncio.run(closed_loop(ours, some, arguments.sequences, WARM_UP_S))
    requests_s, tok_s = asyncio.run(
        closed_loop(ours, some[::-1], arguments.sequences, arguments.seconds / 2)
    )
    tell(f"capacity: {requests_s:.2f} requests and {tok_s:.0f} tokens a second")
    crowds = [
        (load, *crowd(ours, load, load * requests_s, lengths, vocabulary, arguments))
        for load in arguments.loads
    ]
    rows = []
    for name, server in servers:  # a peer goes on with what nobody waits for: it comes last
        for load, callers, times_s in crowds:
            longest_s = max(max(c.objective.values()) for c in callers if c.objective) / 1e3
            patience_s = PATIENCE * longest_s + 1
            seen = asyncio.run(
                open_loop(server, callers, times_s, patience_s, says_so=name == OURS)
            )
            row = {"load": load, "system": name, **figures(seen, arguments.seconds)}
            if name != LLAMA:
                row["drift"] = ours.get("/engine")["models"][0]["drift"]
            rows.append(row)
            tell(f"load {load:g}, {name}: {row['met']} of {row['offered']} as they were wanted")
            for one in row["latest"]:
                tell(f"  broken by {one['late_ms']:.1f} ms: {json.dumps(one)}")
            asyncio.run(until_idle(ours))
            if name == LLAMA and not asyncio.run(rests(server)):
                tell(f"  {name} is still busy a minute after everybody left")
    return {
        "trace": str(arguments.trace),
        "length_factor": round(factor, 4),
        "capacity": {"requests_s": round(requests_s, 3), "tok_s": round(tok_s, 1)},
        "seconds": arguments.seconds,
        "rows": rows,
        "claims": claims(rows),
        "settings": {name: server.settings for name, server in servers},
    }


def scaled_lengths(
    arguments: argparse.Namespace, context: int
) -> tuple[list[tuple[int, int]], float]:
    """Prompts and answers of the trace, in tokens, so that 98 in 100 fit; the others are cut."""
    requests = read_trace(arguments.trace).requests
    whole = sorted(one.n_prompt + one.n_output for one in requests)
    fits = FULL * context / whole[len(whole) * 98 // 100]
    factor = min(1.0, fits) if arguments.length is None else arguments.length
    found = []
    for one in requests:
        n_output = min(max(2, round(one.n_output * factor)), context // 2)
        n_prompt = min(max(1, round(one.n_prompt * factor)), context - n_output - 1)
        found.append((n_prompt, n_output))
    random.Random(arguments.seed).shuffle(found)
    return found, factor


def vocabulary_of(server: Server) -> int:
    """Token ids that prompts may have: the server says which it has none of."""
    body = {"model": server.model, "prompt": [2**31 - 1], "max_tokens": 1}
    response = asyncio.run(ask(server.port, post("/v1/completions", body)))
    message: str = response.json()["error"]["message"]
    return int(message.split("(0 to ")[1].split(")")[0]) + 1


def crowd(
    server: Server,
    load: float,
    rate: float,
    lengths: Sequence[tuple[int, int]],
    vocabulary: int,
    arguments: argparse.Namespace,
) -> tuple[list[Caller], list[float]]:
    """Who comes at a load, and when: so many a second in the mean."""
    chance = random.Random(f"{arguments.seed} {load}")
    times_s = poisson_s(chance, rate, arguments.seconds)
    drawn = [lengths[chance.randrange(len(lengths))] for _ in times_s]
    alone = asyncio.run(forecasts(server, sorted(set(drawn))))
    callers = [
        Caller(Question(random_prompt(chance, n, vocabulary), m), wish(chance, alone[n, m], m))
        for n, m in drawn
    ]
    return callers, times_s


async def forecasts(
    server: Server, lengths: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], dict[str, float]]:
    """What requests of these lengths take alone, as the idle server tells."""
    found = {}
    for n_prompt, n_output in lengths:
        body = {"model": server.model, "prompt_tokens": n_prompt, "max_tokens": n_output}
        response = await ask(server.port, post("/v1/forecast", body))
        if response.status != 200:
            raise ServerFailed(f"no forecast: {bytes(response.body)!r}")
        found[n_prompt, n_output] = response.json()
    return found


def wish(chance: random.Random, alone: dict[str, float], n_output: int) -> dict[str, float]:
    """What a caller wants kept."""
    times = chance.uniform(LEAST, MOST)
    if chance.random() < 0.5:
        return {"deadline_ms": round(times * alone["total_ms"], 3)}
    pace = {"tpot_ms": round(chance.uniform(LEAST, MOST) * alone["tpot_ms"], 3)}
    first = {"ttft_ms": round(times * alone["ttft_ms"], 3)}
    return first | (pace if n_output > 1 else {})


async def until_idle(server: Server) -> None:
    """Wait until nothing runs: those who left are gone from its blocks soon."""
    for _ in range(3000):
        response = await ask(server.port, b"GET /engine HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        model = response.json()["models"][0]
        if model["running"] == model["waiting"] == 0:
            return
        await asyncio.sleep(0.02)
    raise ServerFailed("it is still busy a minute after everybody left")


async def rests(server: Server) -> bool:
    """Wait until its process rests, for a minute at most; whether it does."""
    for _ in range(300):
        before_s = server.processor_s()
        await asyncio.sleep(0.2)
        if server.processor_s() - before_s < 0.02:
            return True
    return False


def claims(rows: Sequence[dict[str, Any]]) -> dict[str, bool]:
    """What is to be true of our promises."""
    ours = {row["load"]: row for row in rows if row["system"] == OURS}
    found = {
        f"kept at {load:g}": row["promised"] > 0 and row["kept_share"] >= KEPT_SHARE
        for load, row in ours.items()
    }
    if 1.0 in ours and max(ours) > 1:
        least = GOODPUT_SHARE * ours[1.0]["goodput_tok_s"]
        found[f"goodput at {max(ours):g}"] = ours[max(ours)]["goodput_tok_s"] >= least
    return found


def decision(artifact: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Times of decisions, in a process of its own."""
    words = [artifact, arguments.threads, ACTIVE, DECISIONS]
    done = subprocess.run(
        [sys.executable, "-m", "loads.decision", *map(str, words)],
        cwd=BENCHMARKS,
        env=worker_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed("the decisions could not be measured")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def print_record(record: dict[str, Any]) -> None:
    """Everything that was measured, for people."""
    if "decision" in record:
        found = record["decision"]
        kinds = [(f"{kind}, between steps", one) for kind, one in found["between_steps"].items()]
        kinds += [
            (f"{kind}, beside running steps", found[kind])
            for kind in ("admission", "refusal", "foresee")
        ]
        rows = [
            [kind, str(one["n"]), *(f"{one[f'p{p}_ms']:.2f}" for p in (50, 90, 99, 100))]
            for kind, one in kinds
            if one
        ]
        print(
            f"Decisions with {found['active']} active requests ({found['mean_running']} running, "
            f"{found['mean_waiting']} waiting), ms\n"
        )
        print(markdown(("", "n", "p50", "p90", "p99", "longest"), rows))
        return
    capacity = record["capacity"]
    print(
        f"{record['model']}, {record['threads']} threads, {record['sequences']} sequences: "
        f"{capacity['requests_s']:.2f} requests and {capacity['tok_s']:.0f} tokens a second are "
        f"what it can do; lengths of {record['trace']} times {record['length_factor']:g}, callers "
        f"for {record['seconds']:g} s\n"
    )
    heads = ("load, system", "offered", "admitted", "refused", "impossible", "promises kept",
             "broken", "as wanted", "goodput req/s", "tok/s", "refusal p50 / p99 ms",
             "admission p50 / p99 ms")  # fmt: skip
    rows = [
        [
            f"{row['load']:g}, {row['system']}",
            *(str(row[name]) for name in ("offered", "admitted", "refused", "impossible")),
            "-" if row["kept_share"] is None else f"{row['kept']} ({row['kept_share']:.2%})",
            str(row["broken"]),
            str(row["met"]),
            f"{row['goodput_requests_s']:.2f}",
            f"{row['goodput_tok_s']:.1f}",
            *(_pair(row[name]) for name in ("refusal_ms", "admission_ms")),
        ]
        for row in record["rows"]
    ]
    print(markdown(heads, rows))
    for claim, holds in record["claims"].items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")


def _pair(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['p50']:.1f} / {found['p99']:.1f}"


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
