"""What a machine does with code for another instruction set than its kernels were measured in.

Calibration measures kernels in the best instruction set that the machine has. Code for a lesser one
takes as long at least, and as long as the arithmetic that its instructions let expect.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from foreknown.errors import MachineError
from foreknown.machine import KernelCosts, Machine
from foreknown.machine.estimate import estimated_machine
from foreknown.machine.kernel_costs import ProductTable
from foreknown.report.host import known_host
from foreknown.targets.cpu.toolchain import can_run, find_target


@dataclass(frozen=True)
class OtherInstructions(Machine):
    """A machine as it runs code for some instruction set that is not its own: an estimate.

    Attributes:
        instructions: the set's name.
        own: name of the set that calibration measures kernels in.
    """

    instructions: str = ""
    own: str = ""


def machine_for(target: str, machine: Machine, where: str = "") -> Machine:
    """This machine as it runs code for an instruction set; its own description if that is its own.

    Args:
        where: the code is from.

    Raises:
        MachineError: it cannot run it.
    """
    wanted = find_target(target)
    if not can_run(wanted):
        raise MachineError(
            f"this machine lacks instructions of {wanted.name}, so what steps take is not known "
            "here",
            where=where,
            remedy="compile for this machine (--target host), or ask on one that has them",
        )
    own = find_target("host")
    if wanted == own or isinstance(machine, OtherInstructions):
        return machine
    here, there = (
        estimated_machine(machine.name, machine.threads, target.needs) for target in (own, wanted)
    )

    def allowed(a_second: float, here: float, there: float) -> float:
        return min(a_second, max(there, a_second * there / here))

    f32_gflop_s = allowed(machine.f32_gflop_s, here.f32_gflop_s, there.f32_gflop_s)
    int8_gop_s = allowed(machine.int8_gop_s, here.int8_gop_s, there.int8_gop_s)
    kernels = machine.kernels
    told = {field.name: getattr(machine, field.name) for field in fields(machine)} | {
        "name": f"{machine.name} as {wanted.name}",
        "f32_gflop_s": f32_gflop_s,
        "int8_gop_s": int8_gop_s,
        "kernels": kernels and _slowed(kernels, f32_gflop_s, int8_gop_s),
        "estimated": True,
        "noise": max(machine.noise, there.noise),
        "features": tuple(sorted(wanted.needs)),
    }
    return OtherInstructions(**told, instructions=wanted.name, own=own.name)


def _slowed(kernels: KernelCosts, f32_gflop_s: float, int8_gop_s: float) -> KernelCosts:
    """Kernels whose products take at least the time of their arithmetic."""

    def slowed(table: ProductTable) -> ProductTable:
        a_second = int8_gop_s if "/" in table.weights else f32_gflop_s
        least_ps = [2e3 * tokens / a_second for tokens in table.tokens]
        streamed, cached = (
            tuple(map(max, column, least_ps)) for column in (table.streamed_ps, table.cached_ps)
        )
        return replace(table, streamed_ps=streamed, cached_ps=cached)

    return replace(kernels, products=tuple(map(slowed, kernels.products)))


def host_for(target: str, threads: int) -> Machine | None:
    """The host as it runs code for an instruction set; None: it cannot run it."""
    return machine_for(target, known_host(threads)) if can_run(find_target(target)) else None
