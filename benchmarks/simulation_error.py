"""Replays a trace on the virtual clock and on the real engine, and compares what both show.

    simulation_error.py [SHAPE|CHECKPOINT|ARTIFACT] [--minutes 10] [--length 0.1] [--plot FILE]

Ten minutes of a trace, its lengths scaled by --length and its rate by --rate: if that is not given,
so that the machine will be busy for --busy of the time, which the virtual clock finds out before
anything runs. Prompts are random, so nothing is cached and nothing can be guessed ahead; answers
have the trace's lengths. The real engine has the process to itself and no server around it.
While the engine has nothing to do, calibration's probes run: "meanwhile" is simulated once more on
the machine that they saw, so what is left is not that the machine has changed since it was
calibrated. They know nothing of the model, and none of them begins when a request is about to come.
"5 % slower" is how much later such a machine would be, on the virtual clock: what traffic makes of
an error of its steps. Long answers on a busy machine make five times as much of it.

It fails (exit status 1) if a percentile of time to first token or of total time is off by more than
10 %, as it was told before. Calibrate the machine (foreknown calibrate), or that is an estimate.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from loads.meanwhile import Meanwhile
from loads.noted_steps import NotedSteps, by_kind
from loads.replay import Replayed, replay
from loads.tables import markdown
from peers import named_checkpoint
from systems.conversions import ConversionFailed, Conversions

from foreknown.artifact import Artifact, open_artifact
from foreknown.artifact.loading import load_program
from foreknown.artifact.planned import planned_artifact
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.errors import ForeknownError
from foreknown.report.host import host_threads, known_host
from foreknown.report.plots import BLUE, RED, check_plot, drawn, in_decades
from foreknown.report.simulation import (
    PERCENTILES,
    SLOWER,
    Simulation,
    e2e_ms,
    served,
    simulate,
    ttft_ms,
)
from foreknown.report.traces import Trace, read_trace
from foreknown.report.traffic import Scale, traffic

TRACE = Path("../shared/data/traces/azure_conv_2023.csv")
WITHIN = 0.10
CLOSE = 0.01
"""Of the share of time that the machine is to be busy."""
WARM_UP = 4
"""Requests before the first arrival: memory is touched, caches and clocks have settled."""


def main() -> int:
    arguments = parse()
    if arguments.plot:
        check_plot(arguments.plot)
    try:
        record, simulation, replayed = measure(arguments)
    except (ConversionFailed, ForeknownError) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(record))
    else:
        print_record(record)
    if arguments.plot:
        draw(record, simulation, replayed, arguments.plot)
    return 0 if record["within"] else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="SHAPE|CHECKPOINT|ARTIFACT", nargs="?", default="llama-1b")
    parser.add_argument("--weights", default="int4", help="formats of a checkpoint")
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--length", type=float, default=0.1, help="prompts and answers, times X")
    parser.add_argument("--rate", type=float, help="requests come X times as fast")
    parser.add_argument("--busy", type=float, default=0.3, help="share of time, without --rate")
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0, help="of the prompts")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--work", type=Path, default=Path("build/peers-work"))
    parser.add_argument(
        "--steps", action="store_true", help="also what steps of each kind took, and were told to"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw both: .svg or .png")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], Simulation, Replayed]:
    """What `--json` prints, and what it is made of."""
    artifact, trace = named_artifact(arguments), read_trace(arguments.trace)
    machine = known_host(arguments.threads)
    host = served(planned_artifact(artifact), machine, arguments.sequences)

    def run(rate: float) -> Simulation:
        scale = Scale(rate, arguments.length, 60 * arguments.minutes)
        return simulate(host, traffic(trace, scale, host.longest))

    rate = arguments.rate or rate_for(arguments.busy, run, trace)
    simulation = run(rate)
    tell(
        f"rate x {rate:.4g}: {len(simulation.traffic.arrivals)} requests, busy for "
        f"{simulation.utilisation:.0%} of {simulation.simulated_s:.0f} s"
    )
    meanwhile = Meanwhile(arguments.threads)
    loaded = load_program(artifact, sequences=arguments.sequences, n_threads=arguments.threads)
    with loaded.program as program:
        noted = NotedSteps(program)
        engine = Engine(noted, speculate=False, price=host.price, margin=machine.margin)
        warm_up(engine, program.vocab_size)
        noted.shapes.clear()
        replayed = replay(
            engine,
            simulation.traffic.arrivals,
            program.vocab_size,
            arguments.seed,
            tell_tenths,
            meanwhile.fill,
        )
    wanted = [arrival.n_output for arrival in simulation.traffic.arrivals]
    assert replayed.n_output == wanted, "an answer has not the length that was simulated"
    told_s = sum(map(host.price.seconds, noted.shapes))
    machine = meanwhile.calibrated(machine)
    seen = served(planned_artifact(artifact), machine, arguments.sequences)
    again, slower = (simulate(of, simulation.traffic) for of in (seen, host.slower(SLOWER)))
    record = {
        "model": artifact.directory.name,
        "weights": artifact.manifest.weights,
        "machine": machine.name,
        "threads": machine.threads,
        "provenance": host.provenance,
        "trace": {
            "name": trace.name,
            "rate": rate,
            "length": arguments.length,
            "minutes": arguments.minutes,
        },
        "sequences": arguments.sequences,
        "drift": round(replayed.busy_s / told_s, 4),
        **compare(simulation, again, slower, replayed),
    }
    if arguments.steps:
        record["steps"] = by_kind(noted.shapes, replayed.steps_s, host.price)
        record["steps meanwhile"] = by_kind(noted.shapes, replayed.steps_s, seen.price)
    return record, simulation, replayed


def named_artifact(arguments: argparse.Namespace) -> Artifact:
    """An artifact as it is, or one made of a checkpoint or shape."""
    given = Path(arguments.model)
    if (given / "manifest.json").exists():
        return open_artifact(given)
    checkpoint = named_checkpoint(arguments.model, arguments.work)
    return open_artifact(Conversions(checkpoint, arguments.work.absolute()).ours(arguments.weights))


def rate_for(busy: float, run: Callable[[float], Simulation], trace: Trace) -> float:
    """How many times as fast requests must come for the machine to be busy for a share of time."""
    slow, fast = 1.0, 1.0
    while run(slow).utilisation > busy:
        slow /= 2
    while (done := run(fast)).utilisation < busy:
        if len(done.traffic.arrivals) == len(trace.requests):
            raise SystemExit(f"{trace.name} is too short to keep this machine busy")
        fast *= 2
    while True:
        rate = math.sqrt(slow * fast)
        found = run(rate).utilisation
        if abs(found - busy) <= CLOSE or fast / slow < 1 + CLOSE / 10:
            return rate
        slow, fast = (rate, fast) if found < busy else (slow, rate)


def warm_up(engine: Engine, vocabulary: int) -> None:
    """A few long prompts and short answers."""
    chance, params = np.random.default_rng(), SamplingParams(max_tokens=16, ignore_eos=True)
    n_prompt = min(512, engine.max_length - 16)
    prompts = chance.integers(0, vocabulary, (WARM_UP, n_prompt)).tolist()
    for _ in engine.generate([Request(prompt, params) for prompt in prompts]):
        pass


def compare(
    simulation: Simulation, again: Simulation, slower: Simulation, replayed: Replayed
) -> dict[str, Any]:
    """Percentiles of all and their ratios.

    Args:
        again: on the machine as it was meanwhile.
        slower: on a machine that is `SLOWER`.
    """
    rows = []
    for name, of, took in (
        ("first token", ttft_ms, replayed.ttft_ms),
        ("total", e2e_ms, replayed.e2e_ms),
    ):
        simulated, known, later = (each.waits_ms(of) for each in (simulation, again, slower))
        measured = np.percentile(took, PERCENTILES)
        for place, share in enumerate(PERCENTILES):
            rows.append(
                {
                    "quantity": name,
                    "percentile": share,
                    "simulated_ms": round(float(simulated[place]), 3),
                    "measured_ms": round(float(measured[place]), 3),
                    "ratio": round(float(simulated[place] / measured[place]), 4),
                    "meanwhile": round(float(known[place] / measured[place]), 4),
                    "5 % slower": round(float(later[place] / simulated[place]), 4),
                }
            )
    record = simulation.record
    return {
        "requests": record["requests"],
        "utilisation": {
            "simulated": record["utilisation"],
            "measured": round(replayed.busy_s / replayed.span_s, 4),
        },
        "busy_s": {
            "simulated": round(simulation.rehearsal.busy_ns / 1e9, 3),
            "measured": round(replayed.busy_s, 3),
        },
        "seconds": {
            "simulated": round(simulation.simulated_s, 3),
            "measured": round(replayed.span_s, 3),
            "to simulate": round(simulation.wall_s, 4),
        },
        "rows": rows,
        **{
            name: all(abs(row[ratio] - 1) <= WITHIN for row in rows)
            for name, ratio in (("within", "ratio"), ("within meanwhile", "meanwhile"))
        },
    }


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def tell_tenths(done: int, total: int) -> None:
    if done * 10 // total > (done - 1) * 10 // total:
        tell(f"{done} of {total} requests have come")


def print_record(record: dict[str, Any]) -> None:
    """For people."""
    trace = record["trace"]
    print(
        f"{record['model']}: {trace['minutes']:g} minutes of {trace['name']}, rate x "
        f"{trace['rate']:.4g}, lengths x {trace['length']:g}; {record['requests']} requests\n"
    )
    rows = [
        [
            f"{row['quantity']}, p{row['percentile']}",
            f"{row['simulated_ms']:,.1f}",
            f"{row['measured_ms']:,.1f}",
            f"{row['ratio']:.3f}",
            f"{row['meanwhile']:.3f}",
            f"{row['5 % slower']:.3f}",
        ]
        for row in record["rows"]
    ]
    print(markdown(("ms", "simulated", "measured", "ratio", "meanwhile", "5 % slower"), rows))
    if "steps" in record:
        kinds = [
            [
                row["steps"],
                str(row["n"]),
                *(f"{row[x]:.3f}" for x in ("told_s", "took_s", "ratio")),
                f"{then['ratio']:.3f}",
            ]
            for row, then in zip(record["steps"], record["steps meanwhile"], strict=True)
        ]
        print(markdown(("steps", "number", "told, s", "took, s", "ratio", "meanwhile"), kinds))
    busy, seconds = record["busy_s"], record["seconds"]
    print(
        f"busy: {busy['simulated']:.1f} s simulated, {busy['measured']:.1f} s measured, ratio "
        f"{busy['simulated'] / busy['measured']:.3f}; steps took {record['drift']:.3f} times what "
        f"was told; {seconds['simulated']:.0f} s simulated in "
        f"{seconds['to simulate']:.2f} s; every percentile within {WITHIN:.0%}: "
        f"{yes(record['within'])}; of the machine as it was meanwhile: "
        f"{yes(record['within meanwhile'])}"
    )


def yes(which: bool) -> str:
    return "yes" if which else "NO"


def draw(record: dict[str, Any], simulation: Simulation, replayed: Replayed, path: Path) -> None:
    """How times are spread on either clock."""
    trace, outcomes = record["trace"], simulation.rehearsal.outcomes
    title = (
        f"{record['model']}: {trace['minutes']:g} minutes of {trace['name']}, rate x "
        f"{trace['rate']:.3g}, lengths x {trace['length']:g}"
    )
    with drawn(path, 1, 2, title) as (_, axes):
        for axis, name, told, took in (
            (axes[0], "first token", [ttft_ms(one) for one in outcomes], replayed.ttft_ms),
            (axes[1], "whole answer", [e2e_ms(one) for one in outcomes], replayed.e2e_ms),
        ):
            shares = 100 * np.arange(1, len(told) + 1) / len(told)
            axis.step(np.sort(took) / 1e3, shares, color=BLUE, label="measured")
            axis.step(np.sort(told) / 1e3, shares, color=RED, lw=1, label="simulated")
            axis.set(title=name, xlabel="seconds", ylabel="% of requests", ylim=(0, 100))
            in_decades(axis)
            axis.legend(frameon=False, loc="lower right")


if __name__ == "__main__":
    sys.exit(main())
