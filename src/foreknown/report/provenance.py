"""What the numbers of a forecast are from, in words."""

from __future__ import annotations

from collections.abc import Sequence

from foreknown.artifact.planned import PlannedModel
from foreknown.machine import Machine
from foreknown.report.instructions import OtherInstructions

MODELS = {
    "artifact": "the artifact's plan",
    "checkpoint": "planned from the checkpoint's configuration and the formats of its weights",
    "config": "planned from the configuration alone; there are no weights",
}

LEAST_TOLD = 0.005
"""Share of the time of which it is said that it is an estimate."""


def provenance(
    model: PlannedModel, machine: Machine, estimated: Sequence[tuple[str, float]] = ()
) -> dict[str, str]:
    """Where the plan, the times, the watts and the price come from.

    Args:
        estimated: kinds of phases that calibration does not measure, and their shares of the time.
    """
    return {
        "model": MODELS[model.made_from],
        "machine": "; ".join([machine_origin(machine), *estimate_texts(estimated)]),
        "watts": machine.watts_from,
        "price": f"{machine.usd_per_hour:g} USD an hour, as given to calibrate"
        if machine.usd_per_hour
        else "none was given: foreknown calibrate --usd-per-hour X",
    }


def machine_origin(machine: Machine) -> str:
    """Whether a machine was measured, and when; or that it was not."""
    if isinstance(machine, OtherInstructions):
        return (
            f"estimate for {machine.instructions}: foreknown calibrate measures kernels of "
            f"{machine.own} here"
        )
    if machine.estimated:
        return "estimate from the processor's features: foreknown calibrate measures it"
    when = f" on {machine.date}" if machine.date else ""
    others = "" if machine.quiet else ", while others computed: calibrate when it is quiet"
    return f"measured by foreknown calibrate{when}{others}"


def estimate_texts(estimated: Sequence[tuple[str, float]]) -> list[str]:
    """What of the time is no measured kernel's, by kinds of phases; the least of it is left out."""
    return [
        f"estimate: {kind}, {100 * share:.0f} % of the time"
        for kind, share in estimated
        if share >= LEAST_TOLD
    ]
