"""What the numbers of a forecast are from, in words."""

from __future__ import annotations

from foreknown.artifact.planned import PlannedModel
from foreknown.machine import Machine

MODELS = {
    "artifact": "the artifact's plan",
    "checkpoint": "planned from the checkpoint's configuration and the formats of its weights",
    "config": "planned from the configuration alone; there are no weights",
}


def provenance(model: PlannedModel, machine: Machine) -> dict[str, str]:
    """Where the plan, the times, the watts and the price come from."""
    return {
        "model": MODELS[model.made_from],
        "machine": machine_origin(machine),
        "watts": machine.watts_from,
        "price": f"{machine.usd_per_hour:g} USD an hour, as given to calibrate"
        if machine.usd_per_hour
        else "none was given: foreknown calibrate --usd-per-hour X",
    }


def machine_origin(machine: Machine) -> str:
    """Whether a machine was measured, and when; or that it was not."""
    if machine.estimated:
        return "estimate from the processor's features: foreknown calibrate measures it"
    when = f" on {machine.date}" if machine.date else ""
    others = "" if machine.quiet else ", while others computed: calibrate when it is quiet"
    return f"measured by foreknown calibrate{when}{others}"
