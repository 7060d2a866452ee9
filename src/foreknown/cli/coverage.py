"""foreknown coverage"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from foreknown.cli.arguments import add_json, whole
from foreknown.cli.progress import progress
from foreknown.errors import RequestError, ToolchainError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--types", metavar="A,B,C", help="only these; every causal-LM type if not given"
    )
    parser.add_argument(
        "--jobs", type=whole(1, 1024), default=1, metavar="N", help="types at a time (default: 1)"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table there")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    try:
        from foreknown.capture.coverage import cover_all
        from foreknown.capture.tiny import causal_lm_types
    except ImportError as error:
        raise ToolchainError(
            f"{error.name} is not installed, which coverage compares with",
            remedy="pip install 'foreknown[compile]'",
        ) from None
    from foreknown.report.coverage import coverage_markdown, coverage_record, print_coverage

    known = causal_lm_types()
    types = [name for name in (args.types or "").split(",") if name] or list(known)
    unknown = [name for name in types if name not in known]
    if unknown:
        raise RequestError(
            f"transformers has no causal-LM type {', '.join(unknown)}",
            remedy="`foreknown coverage --json` without --types names all of them",
        )
    command = (sys.executable, "-m", "foreknown.cli.cover_one")
    found = []
    with progress(quiet=args.json) as tell:
        for one in cover_all(types, command, args.jobs):
            found.append(one)
            tell("covering types", len(found), len(types))
    record = coverage_record(found)
    if args.markdown:
        args.markdown.write_text(coverage_markdown(record), "utf-8")
    if args.json:
        print(json.dumps(record))
    else:
        print_coverage(record, sys.stdout)
    return 1 if any(one.status == "wrong" for one in found) else 0
