"""Every error that Foreknown raises on purpose.

    ForeknownError
    ├── CheckpointError      a checkpoint's files are missing, damaged or contradict each other
    ├── CaptureError         the model's own code could not be captured as a graph
    ├── UnsupportedOp        an operation that the graph or a target has no meaning for
    ├── GraphError           a graph breaks a rule of the IR
    ├── PlanError            a plan breaks a rule: overlapping buffers, a value read unwritten
    ├── DoesNotFit           more memory than there is
    ├── ToolchainError       the C compiler is missing or refused the generated source
    ├── ArtifactError        a compiled directory is damaged, or of another version or machine
    ├── RequestError         a request that cannot be served as asked: too long, out of range
    ├── TraceError           a trace of requests that is damaged or makes no sense
    └── MachineError         a machine description that makes no sense

Each message has three parts: what is wrong, where, and what to do about it.
"""

from __future__ import annotations


class ForeknownError(Exception):
    """An error with a place and a remedy.

    Args:
        what: what is wrong, one sentence without a full stop.
        where: the file, node or source operation it was found in; empty if the message says it.
        remedy: what the reader can do now.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        lines = [what]
        if where:
            lines.append(f"  where: {where}")
        if remedy:
            lines.append(f"  to do: {remedy}")
        super().__init__("\n".join(lines))


class CheckpointError(ForeknownError):
    """A checkpoint's files are missing, damaged or contradict each other."""


class CaptureError(ForeknownError):
    """The model's own code could not be captured as a graph."""


class UnsupportedOp(ForeknownError):
    """An operation that the graph or a target has no meaning for; `where` names the source."""


class GraphError(ForeknownError):
    """A graph breaks a rule of the IR."""


class PlanError(ForeknownError):
    """A plan breaks a rule: overlapping buffers, a value read before it is written."""


class DoesNotFit(ForeknownError):
    """More memory is needed than there is."""


class ToolchainError(ForeknownError):
    """The C compiler is missing or refused the generated source."""


class ArtifactError(ForeknownError):
    """A compiled directory is damaged, or of another version or machine."""


class RequestError(ForeknownError):
    """A request that cannot be served as asked.

    Args:
        field: the parameter at fault; empty if it is none, or the caller knows better.
        too_long: whether a longer context would have served it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        field: str = "",
        too_long: bool = False,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.field, self.too_long = field, too_long


class TraceError(ForeknownError):
    """A trace of requests that is damaged or makes no sense; `where` names line and column."""


class MachineError(ForeknownError):
    """A machine description that makes no sense."""
