"""Forecasts for people: one case, a grid, workloads, and answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from foreknown.engine.promises import Objective
from foreknown.report.forecast import Forecast
from foreknown.report.objectives import miss, ms_text, objective_text
from foreknown.report.questions import Answer
from foreknown.report.tables import Table, bytes_text
from foreknown.report.workloads import TOKENS_PER_WORD, Expectation

TOO_MUCH = "too much memory"
FIGURES = ("first token", "per token", "total", "tok/s", "memory", "J/answer", "$/M tokens")


def print_forecast(told: Forecast, objective: Objective | None, file: TextIO) -> None:
    """One case in full."""
    case, memory, model = told.case, told.memory, told.model
    several = f"{case.batch} at once, each " if case.batch > 1 else ""
    table = Table(
        f"{model.name}: {several}{case.prompt_tokens} tokens in, {case.output_tokens} out",
        ("", "", "bound by"),
    )
    table.row("first token", ms_text(told.ttft_ms), told.bounds[0])
    if told.tpot_ms is not None:
        table.row("per token after that", ms_text(told.tpot_ms), told.bounds[1])
    for context, ms in told.tpot_by_context:
        table.row(f"  at {context:,} tokens of context", ms_text(ms))
    between = f"{ms_text(told.low_ms)} to {ms_text(told.high_ms)}"
    table.row("total", f"{ms_text(told.total_ms)} ({between})", told.bound_by)
    table.row("tokens a second", f"{told.tok_s:,.1f}")
    table.row("memory", bytes_text(memory.total), _too_much(told))
    table.row("  weights", f"{bytes_text(memory.weights)}, {model.weights}")
    table.row("  state", f"{bytes_text(memory.state)}, {model.state}")
    table.row("  scratch", bytes_text(memory.scratch))
    joules, usd = told.joules, told.usd
    table.row("energy", f"{joules:,.3g} J an answer, {_kwh(told)} kWh a million tokens")
    if told.machine.usd_per_hour:
        table.row("price", f"${usd:.3g} an answer, ${told.per_million(usd):,.2f} a million tokens")
    if objective is not None:
        table.row("wanted", objective_text(objective), kept_text(objective, told))
    table.print(file)
    print_origin(told, file)


def print_grid(forecasts: Sequence[Forecast], objective: Objective | None, file: TextIO) -> None:
    """A row for each case."""
    columns = (
        "weights",
        "in",
        "out",
        "batch",
        *FIGURES,
        "bound by",
        *(["kept"] if objective else []),
    )
    table = Table(forecasts[0].model.name, columns, right=columns[1:11])
    for told in forecasts:
        case = told.case
        table.row(
            told.model.weights,
            case.prompt_tokens,
            case.output_tokens,
            case.batch,
            *_figures(told),
            told.bound_by,
            *([kept_text(objective, told)] if objective else []),
        )
    table.print(file)
    if objective is not None:
        file.write(f"wanted: {objective_text(objective)}\n")
    _print_room(forecasts, file)
    print_origin(forecasts[0], file)


def print_workloads(told: Sequence[Expectation], file: TextIO) -> None:
    """A row for each workload."""
    columns = ("workload", "weights", "in", "out", "batch", *FIGURES[:4], "wanted", "kept")
    table = Table("what people use models for, in tokens", columns, right=columns[2:9])
    for one in told:
        workload, found = one.workload, one.told
        wanted = objective_text(workload.objective)
        if found is None:
            size = ("", workload.prompt_tokens, workload.output_tokens)
            table.row(workload.name, *size, "", *"----", wanted, one.why_not)
            continue
        case = found.case
        size = (found.model.weights, case.prompt_tokens, case.output_tokens)
        kept = kept_text(workload.objective, found) + ("" if found.fits else f"; {TOO_MUCH}")
        table.row(workload.name, *size, case.batch, *_figures(found)[:4], wanted, kept)
    table.print(file)
    for workload in dict.fromkeys(one.workload for one in told):
        file.write(f"{workload.name}: {workload.what}; {workload.why}\n")
    file.write(f"{TOKENS_PER_WORD:.2f} tokens a word\n")
    forecasts = [one.told for one in told if one.told is not None]
    _print_room(forecasts, file)
    for found in forecasts[:1]:
        print_origin(found, file)


def print_answer(answer: Answer, file: TextIO) -> None:
    """What was asked, what was tried, what came of it."""
    columns = (answer.by, *FIGURES, "keeps it")
    title = f"{answer.question} with {answer.wish.text()}"
    table = Table(title, columns, right=columns[:-1])
    for told in answer.tried:
        met = answer.wish.is_met(told)
        table.row(answer.value_of(told), *_figures(told), "yes" if met else "no")
    table.print(file)
    case = answer.tried[0].case
    held = {
        "batch": f"{case.prompt_tokens} tokens in, {case.output_tokens} out",
        "context": f"{case.output_tokens} tokens of it out, batch {case.batch}",
        "weights": f"{case.prompt_tokens} tokens in, {case.output_tokens} out, batch {case.batch}",
    }[answer.by]
    file.write(f"{answer.question}: {'none' if answer.best is None else answer.value} ({held})\n")
    for name, told in answer.others.items():
        file.write(f"{name.replace('_', ' ')}: {answer.value_of(told)}\n")
    print_origin(answer.tried[0], file)


def print_origin(told: Forecast, file: TextIO) -> None:
    """What the numbers are from."""
    machine, origin = told.machine, told.provenance
    file.write(
        f"on {machine.name}, {machine.threads} threads\n"
        f"times: {origin['machine']}\nmodel: {origin['model']}\nwatts: {origin['watts']}\n"
    )


def _too_much(told: Forecast) -> str:
    """Whether memory is short, and of how much there is."""
    if told.fits or told.room_bytes is None:
        return ""
    return f"does not fit: there are {bytes_text(told.room_bytes)}"


def _print_room(forecasts: Sequence[Forecast], file: TextIO) -> None:
    """How much memory there is, where some need more."""
    short = [told for told in forecasts if not told.fits]
    for told in short[:1]:
        room = bytes_text(told.room_bytes or 0)
        file.write(f"{TOO_MUCH}: {len(short)} of {len(forecasts)} need more than {room}\n")


def kept_text(objective: Objective, told: Forecast) -> str:
    """Whether an objective is kept, and whether that is certain."""
    worst, noise = miss(objective, told), 1 + told.noise
    if worst <= 1:
        return "yes" if worst * noise <= 1 else "just so"
    return f"no: {worst:.2g} times too long"


def _figures(told: Forecast) -> tuple[str, ...]:
    priced = bool(told.machine.usd_per_hour)
    return (
        ms_text(told.ttft_ms),
        "-" if told.tpot_ms is None else ms_text(told.tpot_ms),
        ms_text(told.total_ms),
        f"{told.tok_s:,.1f}",
        bytes_text(told.memory.total) + ("" if told.fits else f", {TOO_MUCH}"),
        f"{told.joules:,.3g}",
        f"{told.per_million(told.usd):,.2f}" if priced else "-",
    )


def _kwh(told: Forecast) -> str:
    return f"{told.per_million(told.joules) / 3.6e6:,.3g}"
