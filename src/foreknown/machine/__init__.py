"""What a machine can move and compute, as a description; knows nothing of models or of plans."""

from foreknown.machine.machine import Machine, read_machine, write_machine
from foreknown.machine.measure import Probes, measure
from foreknown.machine.roofline import Work, arithmetic, seconds

__all__ = [
    "Machine",
    "Probes",
    "Work",
    "arithmetic",
    "measure",
    "read_machine",
    "seconds",
    "write_machine",
]
