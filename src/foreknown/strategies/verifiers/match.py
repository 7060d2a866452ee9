"""Searches texts with regular expressions, in a process that `searching` can kill; a script.

Standard input: JSON, [memory in bytes, [[pattern, text], …]]. Output: a 1 or a 0 for each pair.
"""

from __future__ import annotations

import json
import re
import resource
import sys


def main() -> None:
    """Answer for every pair on standard input."""
    memory_bytes, pairs = json.load(sys.stdin)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    found = [re.search(pattern, text) is not None for pattern, text in pairs]
    sys.stdout.write("".join("01"[hit] for hit in found))


if __name__ == "__main__":
    main()
