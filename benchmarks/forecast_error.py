"""How far forecasts are from what is measured: `forecast_error.py [--quick] [--plot FILE]`.

Models x formats x prompts x outputs x batches, drawn at random: every case is forecast by the
engine on the virtual clock, then run by the engine on the real one, without speculation and with
no prompt in the cache. Each case is measured in several rounds over all cases, minutes apart, short
ones as a median of several plays, and what it takes is the median of its rounds: how far half of
them would have told the other half is the noise floor, below which no forecast can be. "Drift
known" is what a running engine tells, which has seen another case just now. "Meanwhile" is forecast
of the machine as calibration's probes saw it between cases, in all rounds: what is left is not that
the machine has changed since it was calibrated.

Calibration has seen none of these models: it runs decoders of its own, of other shapes. What was
measured is kept in --work, so a run that was cut short (--minutes) goes on where it ended; what it
was meanwhile is then not known.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from loads.meanwhile import Meanwhile
from make_checkpoint import SHAPES
from peers import named_checkpoint

from foreknown.artifact import load_program, open_artifact
from foreknown.artifact.build import Options, compile_checkpoint
from foreknown.artifact.find import BUNDLED
from foreknown.artifact.planned import PlannedModel, planned_artifact
from foreknown.engine import Engine, Request, SamplingParams
from foreknown.errors import RequestError
from foreknown.machine import Machine
from foreknown.report.forecast import Case, forecast, sequences_for, step_price
from foreknown.report.host import host_threads, known_host
from foreknown.report.plots import BLUE, GREY, RED, check_plot, drawn
from foreknown.report.tables import Table

ROUNDS = 6
PLAY_MS, MOST_PLAYS = 500.0, 15
"""A measurement is the median of the plays of a case that this allows, of one at least."""
TURNS = 70
"""Of calibration's probes after each case: half a second."""
SETTLING_S = 5.5
"""Before a model's first case: the system gives the pages of the one before back to the machine's
owner some seconds later, and steps take several times as long then (docs/log.md, 101)."""
REFERENCE = Case(prompt_tokens=32, output_tokens=24, batch=1)
"""What shows the machine's pace; no case of the grid."""
WHAT = {
    "forecast": "forecast",
    "meanwhile": "forecast, meanwhile",
    "paced": "forecast, drift known",
    "noise": "half of the rounds by the other",
}
MODELS = ("llama-1b", "qwen-0.5b", "bundled")
FORMATS = ("int4", "int8", "bf16")
PROMPTS, OUTPUTS, BATCHES = (16, 64, 256, 1024, 4096), (16, 64, 256), (1, 2, 4, 8, 16)
QUICK_PROMPTS, QUICK_OUTPUTS, QUICK_BATCHES = (16, 128, 512), (16, 48), (1, 4, 16)
CONTEXT = 4352
QUANTITIES = {"total": "total_ms", "first token": "ttft_ms", "between tokens": "tpot_ms"}
MOST_MEDIAN = {"total": 0.04, "first token": 0.06}
MOST_P95 = {"total": 0.10, "first token": 0.15}


@dataclass(frozen=True)
class Task:
    """A case of a model in a format."""

    model: str
    weights: str
    case: Case

    @property
    def key(self) -> str:
        c = self.case
        return f"{self.model} {self.weights} {c.prompt_tokens}/{c.output_tokens} x{c.batch}"


@dataclass(frozen=True)
class Times:
    """Of a case: to the first token and the last, and between two, of the slowest answer.

    Attributes:
        pace: how many times longer than told another case took, just before and again between
            plays: the machine as it was then, which a server's drift knows.
    """

    ttft_ms: float
    tpot_ms: float
    total_ms: float
    pace: float = 1.0


def main() -> int:
    arguments = parse()
    if arguments.plot:
        try:
            check_plot(arguments.plot)
        except RequestError as error:
            print(error, file=sys.stderr)
            return 1
    machine = known_host(arguments.threads)
    if machine.estimated:
        print("this machine is not calibrated: these are errors of an estimate", file=sys.stderr)
    record = measure(arguments, machine)
    print(json.dumps(record)) if arguments.json else print_record(record)
    if arguments.plot:
        draw(record, arguments.plot)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=names, default=MODELS, metavar="NAME[,NAME...]")
    parser.add_argument("--formats", type=names, default=FORMATS, metavar="NAME[,NAME...]")
    parser.add_argument("--cases", type=int, default=60, help="drawn from the grid")
    parser.add_argument("--most-seconds", type=float, default=20.0, help="of one case, as forecast")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="then stop; the next run goes on"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements of each case")
    parser.add_argument("--quick", action="store_true", help="18 small cases, up to 3 s, twice")
    parser.add_argument("--seed", type=int, default=0, help="of the cases and the prompts")
    parser.add_argument("--threads", type=int, default=host_threads())
    parser.add_argument("--work", type=Path, default=Path("build/forecast-error"))
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=".svg or .png")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    if unknown := set(arguments.models) - {*SHAPES, "bundled"}:
        parser.error(f"unknown models {', '.join(unknown)}; there are {', '.join(SHAPES)}, bundled")
    if arguments.rounds < 2:
        parser.error("--rounds: 2 at least, of which one can be held against the other")
    if arguments.quick:
        arguments.cases, arguments.most_seconds, arguments.rounds = 18, 3.0, 2
    return arguments


def names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def measure(arguments: argparse.Namespace, machine: Machine) -> dict[str, Any]:
    """Everything that `--json` prints."""
    models = {
        (name, weights): planned(name, weights, arguments)
        for name in arguments.models
        for weights in arguments.formats
    }
    tasks, skipped = drawn_tasks(models, machine, arguments)
    kept = arguments.work / f"measured-{arguments.threads}-{arguments.seed}.jsonl"
    if arguments.again:
        kept.unlink(missing_ok=True)
    known = dict(read_measured(kept))
    meanwhile = None if known else Meanwhile(arguments.threads)
    until = time.monotonic() + 60 * arguments.minutes
    for round_number in range(arguments.rounds):
        for name, weights in models:
            own = [t for t in tasks if (t.model, t.weights) == (name, weights)]
            missing = [t for t in own if (t.key, round_number) not in known]
            if not missing or time.monotonic() > until:
                continue
            model = models[name, weights]
            with kept.open("a") as file:
                for task, times in run(missing, model, machine, arguments, round_number, until):
                    known[task.key, round_number] = times
                    line = {"key": task.key, "round": round_number, **asdict(times)}
                    file.write(json.dumps(line) + "\n")
                    print(f"{task.key}: {times.total_ms:,.1f} ms", file=sys.stderr)
                    if meanwhile:
                        meanwhile.turns(TURNS)
    then = meanwhile.calibrated(machine) if meanwhile else None
    rows = []
    for task in tasks:
        measured = [known.get((task.key, n)) for n in range(arguments.rounds)]
        if None not in measured:
            model = models[task.model, task.weights]
            told = {
                what: told_times(model, of, task.case)
                for what, of in (("forecast", machine), ("meanwhile", then))
                if of
            }
            rows.append(row(task, told, [t for t in measured if t is not None]))
    return {
        "machine": machine.name,
        "threads": machine.threads,
        "calibrated": not machine.estimated,
        "noise": machine.noise,
        "quiet": machine.quiet,
        "rounds": arguments.rounds,
        "cases": len(rows),
        "not_yet": len(tasks) - len(rows),
        "skipped": skipped,
        "errors": list(summary(rows)),
        "rows": rows,
    }


def planned(name: str, weights: str, arguments: argparse.Namespace) -> PlannedModel:
    """A model as this version compiles it: another one's kernels take other times."""
    directory = arguments.work.absolute() / f"{name}-{weights}"
    checkpoint = BUNDLED if name == "bundled" else named_checkpoint(name, arguments.work)
    context = None if name == "bundled" else CONTEXT
    artifact = compile_checkpoint(checkpoint, directory, Options(weights=weights, context=context))
    return planned_artifact(artifact)


def drawn_tasks(
    models: dict[tuple[str, str], PlannedModel], machine: Machine, arguments: argparse.Namespace
) -> tuple[list[Task], list[str]]:
    """Cases from the grid, and those left out because they would take too long."""
    random = np.random.default_rng(arguments.seed)
    prompts, outputs, batches = PROMPTS, OUTPUTS, BATCHES
    if arguments.quick:
        prompts, outputs, batches = QUICK_PROMPTS, QUICK_OUTPUTS, QUICK_BATCHES
    grid = [
        Task(name, weights, Case(prompt, output, batch))
        for (name, weights), model in models.items()
        for prompt in prompts
        for output in outputs
        for batch in batches
        if prompt + output <= model.sizes.context
    ]
    tasks: list[Task] = []
    skipped: list[str] = []
    for index in random.permutation(len(grid)):
        task = grid[index]
        told = forecast(models[task.model, task.weights], machine, task.case)
        if told.total_ms > 1e3 * arguments.most_seconds:
            skipped.append(task.key)
        else:
            tasks.append(task)
        if len(tasks) == arguments.cases:
            break
    return tasks, skipped


def read_measured(path: Path) -> Iterator[tuple[tuple[str, int], Times]]:
    """What earlier runs measured."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        one = json.loads(line)
        key = one.pop("key"), one.pop("round")
        yield key, Times(**one)


def run(
    tasks: Sequence[Task],
    model: PlannedModel,
    machine: Machine,
    arguments: argparse.Namespace,
    round_number: int,
    until: float,
) -> Iterator[tuple[Task, Times]]:
    """Cases of one model, one after the other, on an engine of their own each."""
    artifact = open_artifact(arguments.work.absolute() / f"{tasks[0].model}-{tasks[0].weights}")
    sequences = max(sequences_for(model, task.case) for task in tasks)
    loaded = load_program(artifact, sequences=sequences, n_threads=arguments.threads, check=False)
    price = step_price(model, machine)
    random = np.random.default_rng((arguments.seed, round_number))
    with loaded.program as program:
        program.fill_state(0.0)  # pages that are there: a server's have been for long
        for number, task in enumerate(tasks):
            if time.monotonic() > until:
                return
            engine = Engine(program, speculate=False, price=price)
            vocabulary = program.vocab_size
            if number == 0:
                settled_at = time.monotonic() + SETTLING_S
                while time.monotonic() < settled_at:
                    play(engine, Case(min(64, CONTEXT), 8, 2), vocabulary, random)
            told_ms = told_times(model, machine, REFERENCE).total_ms
            yield task, median_times(engine, task.case, vocabulary, random, told_ms)


def median_times(
    engine: Engine,
    case: Case,
    vocabulary: int,
    random: np.random.Generator,
    reference_ms: float,
) -> Times:
    """Of as many plays as fit into a second, so that a neighbour's burst does not count.

    Args:
        reference_ms: what is told of the reference, which is played before each.
    """
    plays: list[Times] = []
    while len(plays) < MOST_PLAYS and sum(times.total_ms for times in plays) < PLAY_MS:
        pace = play(engine, REFERENCE, vocabulary, random).total_ms / reference_ms
        plays.append(replace(play(engine, case, vocabulary, random), pace=pace))
    columns = zip(*(astuple(one) for one in plays), strict=True)
    return Times(*map(statistics.median, columns))


def play(engine: Engine, case: Case, vocabulary: int, random: np.random.Generator) -> Times:
    """Run a case; its requests come at once."""
    params = SamplingParams(max_tokens=case.output_tokens, temperature=0.0, ignore_eos=True)
    prompts = random.integers(0, vocabulary, (case.batch, case.prompt_tokens)).tolist()
    start = engine.clock.now_ns()
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for prompt in prompts:
        engine.add(Request(prompt, params))
    while engine.has_work:
        for output in engine.step():
            first.setdefault(output.request_id, output.time_ns)
            last[output.request_id] = output.time_ns
    gaps = [(last[i] - first[i]) / max(case.output_tokens - 1, 1) for i in first]
    return Times(
        (max(first.values()) - start) / 1e6, max(gaps) / 1e6, (max(last.values()) - start) / 1e6
    )


def told_times(model: PlannedModel, machine: Machine, case: Case) -> Times:
    """What is forecast of a case."""
    told = forecast(model, machine, case)
    return Times(told.ttft_ms, told.tpot_ms or 0.0, told.total_ms)


def row(task: Task, told: dict[str, Times], measured: Sequence[Times]) -> dict[str, Any]:
    """A case's forecasts beside its measurements."""
    found: dict[str, Any] = {"model": task.model, "weights": task.weights, **asdict(task.case)}
    for name, field in QUANTITIES.items():
        took = [getattr(times, field) for times in measured]
        found[name] = {
            **{f"{what}_ms": round(getattr(times, field), 4) for what, times in told.items()},
            "measured_ms": [round(t, 4) for t in took],
            "pace": [round(times.pace, 4) for times in measured],
        }
    return found


def errors(
    rows: Sequence[dict[str, Any]], quantity: str, told: str = "forecast", *, paced: bool = False
) -> list[float]:
    """How far each case's forecast is from what it takes, relative to that.

    Args:
        told: "forecast" or "meanwhile".
        paced: of what an engine would have told that knows how fast the machine is now.
    """
    return [
        abs(
            statistics.median(
                one[f"{told}_ms"] * (pace if paced else 1) / took
                for took, pace in zip(one["measured_ms"], one["pace"], strict=True)
            )
            - 1
        )
        for one in (r[quantity] for r in rows)
        if f"{told}_ms" in one
    ]


def floor(rows: Sequence[dict[str, Any]], quantity: str) -> list[float]:
    """The same if every other round had been the forecast of the rest."""
    every = [r[quantity]["measured_ms"] for r in rows]
    halves = [(statistics.median(one[::2]), statistics.median(one[1::2])) for one in every]
    return [abs(a / b - 1) for pair in halves for a, b in (pair, pair[::-1])]


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Errors of each quantity: of all cases, by model and by format."""
    groups: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [("all", lambda r: True)]
    for field in ("model", "weights"):
        for value in dict.fromkeys(r[field] for r in rows):
            groups.append((value, lambda r, f=field, v=value: bool(r[f] == v)))
    for quantity in QUANTITIES:
        for name, belongs in groups:
            own = [r for r in rows if belongs(r)]
            for what, found in (
                ("forecast", errors(own, quantity)),
                ("meanwhile", errors(own, quantity, "meanwhile")),
                ("paced", errors(own, quantity, paced=True)),
                ("noise", floor(own, quantity)),
            ):
                if found:
                    yield {
                        "quantity": quantity,
                        "of": name,
                        "what": what,
                        "n": len(own),
                        "median": round(float(np.median(found)), 4),
                        "p90": round(float(np.quantile(found, 0.9)), 4),
                        "p95": round(float(np.quantile(found, 0.95)), 4),
                        "worst": round(max(found), 4),
                    }


def print_record(record: dict[str, Any]) -> None:
    """For people."""
    columns = ("", "of", "what", "cases", "median", "p90", "p95", "worst")
    title = f"errors of forecasts on {record['machine']}, {record['threads']} threads, "
    title += f"{record['rounds']} rounds"
    table = Table(title, columns, right=columns[3:])
    for one in record["errors"]:
        shares = [f"{one[k]:.1%}" for k in ("median", "p90", "p95", "worst")]
        table.row(one["quantity"], one["of"], WHAT[one["what"]], one["n"], *shares)
    table.print(sys.stdout)
    for one in record["errors"]:
        name = one["quantity"]
        is_judged = one["of"] == "all" and one["what"] in ("forecast", "meanwhile")
        if is_judged and name in MOST_MEDIAN:
            met = one["median"] <= MOST_MEDIAN[name] and one["p95"] <= MOST_P95[name]
            print(
                f"{name}, {WHAT[one['what']]}: median {one['median']:.1%} "
                f"(at most {MOST_MEDIAN[name]:.0%}), p95 {one['p95']:.1%} "
                f"(at most {MOST_P95[name]:.0%}): {'met' if met else 'not met'}"
            )
    if record["skipped"]:
        print(f"{len(record['skipped'])} cases would take too long and were not drawn")
    if record["not_yet"]:
        print(f"{record['not_yet']} cases are not measured yet: run this again")


def draw(record: dict[str, Any], path: Path) -> None:
    """Forecast against measured, with lines where they agree and are 10 % apart."""
    quantities = ("total", "first token")
    colours = dict(zip(MODELS, (BLUE, RED, GREY), strict=True))
    with drawn(path, 1, len(quantities), "forecast against measured, ms") as (_, axes):
        for axis, quantity in zip(axes, quantities, strict=True):
            every = [1e12, 0.0]
            for model in dict.fromkeys(r["model"] for r in record["rows"]):
                own = [r[quantity] for r in record["rows"] if r["model"] == model]
                took = [statistics.median(r["measured_ms"]) for r in own]
                told = [r["forecast_ms"] for r in own]
                axis.scatter(took, told, s=10, alpha=0.6, label=model, color=colours.get(model))
                every = [min(every[0], *took, *told), max(every[1], *took, *told)]
            for factor, style in ((1.0, "-"), (1.1, ":"), (1 / 1.1, ":")):
                axis.plot(every, [e * factor for e in every], style, color="black", lw=0.7)
            axis.set(
                xscale="log", yscale="log", xlabel="measured", ylabel="forecast", title=quantity
            )
            axis.legend()


if __name__ == "__main__":
    sys.exit(main())
