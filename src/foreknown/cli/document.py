"""python -m foreknown.cli.document: docs/cli.md, made from the parser so that it cannot drift."""

from __future__ import annotations

import argparse

from foreknown.cli.main import build_parser

FRONT = """# The command line

Made from the parser by `make docs/cli.md`; a test compares.

Exit status: 0 done; 1 it could not be done, and standard error says what, where and what to do;
2 the command line makes no sense; 130 stopped with Ctrl-C.

| variable | what it does |
|---|---|
| `FOREKNOWN_CACHE` | where compiled things and machine profiles are kept (`~/.cache/foreknown`) |
| `FOREKNOWN_CC` | a C compiler's command line, instead of the clang in the `ziglang` package |
| `FOREKNOWN_DEBUG` | 2: every phase's forecast beside what it took, GB/s, GFLOP/s, share of limit |
| `FOREKNOWN_TRACEBACK` | 1: errors come with a stack trace |
"""


def document() -> str:
    """The page's text."""
    parser = build_parser()
    parts = [FRONT]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                parts.append(_command(name, command))
    return "\n".join(parts)


def _command(name: str, parser: argparse.ArgumentParser) -> str:
    lines = [f"## foreknown {name}", "", parser.description or "", "", "| argument | what it is |"]
    lines.append("|---|---|")
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        text = (action.help or "").replace("|", "\\|")
        lines.append(f"| `{_name(action)}` | {text} |")
    return "\n".join([*lines, ""])


def _name(action: argparse.Action) -> str:
    value = action.metavar or (
        "/".join(map(str, action.choices)) if action.choices else action.dest.upper()
    )
    if not action.option_strings:
        return f"[{value}]" if action.nargs == "?" else str(value)
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


if __name__ == "__main__":
    print(document(), end="")
