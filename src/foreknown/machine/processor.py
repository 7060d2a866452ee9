"""The processor's name, as Linux tells it.

Linux on 64-bit Arm tells no name, but who made the cores and which they are; the table is that of
its arch/arm64/include/asm/cputype.h.
"""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
CORES = {
    (0x41, 0xD03): "Arm Cortex-A53",
    (0x41, 0xD05): "Arm Cortex-A55",
    (0x41, 0xD07): "Arm Cortex-A57",
    (0x41, 0xD08): "Arm Cortex-A72",
    (0x41, 0xD09): "Arm Cortex-A73",
    (0x41, 0xD0A): "Arm Cortex-A75",
    (0x41, 0xD0B): "Arm Cortex-A76",
    (0x41, 0xD0C): "Arm Neoverse N1",
    (0x41, 0xD0D): "Arm Cortex-A77",
    (0x41, 0xD40): "Arm Neoverse V1",
    (0x41, 0xD41): "Arm Cortex-A78",
    (0x41, 0xD49): "Arm Neoverse N2",
    (0x41, 0xD4F): "Arm Neoverse V2",
    (0x41, 0xD84): "Arm Neoverse V3",
    (0x41, 0xD8E): "Arm Neoverse N3",
    (0x61, 0x022): "Apple M1",
    (0x61, 0x023): "Apple M1",
    (0x61, 0x032): "Apple M2",
    (0x61, 0x033): "Apple M2",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1A",
}
"""By implementer and part."""


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """The processor as the system calls it; one with cores of several kinds has all their names."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names, maker = [], ""
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "model name":
            return value
        if name == "CPU implementer":
            maker = value
        elif name == "CPU part":
            names.append(_core(maker, value))
    return " and ".join(dict.fromkeys(names)) or "unknown processor"


def _core(maker: str, part: str) -> str:
    try:
        known = CORES.get((int(maker, 16), int(part, 16)))
    except ValueError:
        known = None
    return known or f"processor {maker}/{part}"
