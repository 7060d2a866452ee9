"""python -m foreknown.cli.cover_one TYPE: one type's coverage as a line of JSON, in a process of
its own, so that a crash or a hang of one type is that type's alone.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # types run side by side
    from foreknown.artifact.executor import compiled
    from foreknown.capture.coverage import cover

    print(json.dumps(asdict(cover(sys.argv[1], compiled))))


if __name__ == "__main__":
    main()
