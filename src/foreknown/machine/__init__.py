"""What a machine can move and compute, as a description; knows nothing of models or of plans."""

from foreknown.machine.kernel_costs import KernelCosts, Line
from foreknown.machine.machine import Machine
from foreknown.machine.measure import Probes, measure
from foreknown.machine.profile import machine_toml, read_machine, write_machine
from foreknown.machine.roofline import Work, arithmetic, seconds

__all__ = [
    "KernelCosts",
    "Line",
    "Machine",
    "Probes",
    "Work",
    "arithmetic",
    "machine_toml",
    "measure",
    "read_machine",
    "seconds",
    "write_machine",
]
