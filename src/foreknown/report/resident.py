"""What this process holds in memory, as the system counts it."""

from __future__ import annotations

import os
from pathlib import Path


def resident_bytes() -> int:
    """Pages of this process that are in memory now: its own and those of mapped files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
