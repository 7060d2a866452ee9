"""The command line: parses, calls, prints. One file a command; what they do lies further up."""

from foreknown.cli.main import main

__all__ = ["main"]
