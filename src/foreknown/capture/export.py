"""A model as a graph of ATen operations over a dynamic number of tokens."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from transformers import PreTrainedModel

from foreknown.capture.building import quiet
from foreknown.capture.recurrences import exchanged
from foreknown.errors import CaptureError, ForeknownError

USER_INPUT = InputKind.USER_INPUT
TRACED_TOKENS = 40  # more than one, and a size that no dimension of a model is likely to have


class _Step(torch.nn.Module):
    """Tokens in, logits of every token out."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        taken = inspect.signature(model.forward).parameters.values()
        given = any(p.name == "use_cache" or p.kind is p.VAR_KEYWORD for p in taken)
        self.options: dict[str, Any] = {"use_cache": False} if given else {}

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        result = self.model(input_ids=input_ids, **self.options)
        return result.logits  # type: ignore[no-any-return]


def export(model: PreTrainedModel, context: int) -> ExportedProgram:
    """The model's forward pass, traced for [1, T] token ids and made free of mutation.

    Raises:
        CaptureError: the model's code cannot be traced, or takes another path for other lengths.
    """
    tokens = torch.zeros(1, max(2, min(TRACED_TOKENS, context - 1)), dtype=torch.long)
    dynamic = {"input_ids": {1: Dim.DYNAMIC}}
    try:
        with quiet(), torch.no_grad(), exchanged(model) as recurrences:
            program = torch.export.export(
                _Step(model), (tokens,), dynamic_shapes=dynamic, strict=False
            )
            if _needs_decomposition(program):
                program = program.run_decompositions(_decompositions())
        with quiet():
            recurrences.prove()
        _same_path(program, context)
        return program
    except ForeknownError:
        raise
    except Exception as error:
        raise CaptureError(
            f"the model's code cannot be traced: {_brief(error)}",
            where=_source(error),
            remedy="the forward pass must not decide by the values of tensors",
        ) from error


def _same_path(program: ExportedProgram, context: int) -> None:
    """That what was traced is what runs for any number of tokens from 2 to the context."""
    given = {s.arg.name for s in program.graph_signature.input_specs if s.kind is USER_INPUT}
    (tokens,) = [n for n in program.graph.nodes if n.name in given]
    size = tokens.meta["val"].shape[1]
    if isinstance(size, int) or not size.node.expr.free_symbols:
        raise _other_path(f"for {int(size)} tokens only", "")
    environment = size.node.shape_env
    for bounds in (environment.var_to_range[s] for s in size.node.expr.free_symbols):
        if bounds.lower > 2 or bounds.upper < context:
            raise _other_path(f"for {bounds.lower} to {bounds.upper} tokens only", "")
    trials = {*range(2, 40), *(2**i + d for i in range(5, 21) for d in (-1, 0, 1)), context}
    for guard in environment.guards:
        # That a length differs from one other is asked about memory, not about values: whether a
        # tensor is contiguous, whether a buffer is taken whole.
        unequal = getattr(guard.expr, "rel_op", "") == "!="
        asked = getattr(guard.sloc, "framework_loc", None)
        if unequal and "contiguous" in str(getattr(asked, "name", "")):
            continue
        last = context - unequal
        for symbol in guard.expr.free_symbols:
            for n in sorted(n for n in trials if n <= last):
                if guard.expr.subs({symbol: n}) == False:  # noqa: E712  (sympy's own false)
                    raise _other_path(f"not for {n} tokens ({guard.expr})", str(guard.sloc))


def _other_path(when: str, where: str) -> CaptureError:
    return CaptureError(
        f"the model's code decides by the number of tokens: what was traced holds {when}",
        where=where or "the model's own code",
        remedy="give a smaller --context, or run the model with other software",
    )


def _needs_decomposition(program: ExportedProgram) -> bool:
    """Whether an operation writes into its argument, or has no meaning of its own in `lower`."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and (schema.is_mutable or node.target._opname in _DECOMPOSED):
            return True
    return False


def _decompositions() -> Any:
    """Only what has no meaning of its own in `lower`."""
    every = torch.export.default_decompositions()
    return {op: f for op, f in every.items() if op._opname in _DECOMPOSED}  # type: ignore[no-untyped-call]


_DECOMPOSED = frozenset("einsum".split())


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _source(error: BaseException) -> str:
    """The innermost line of the model's own code in a traceback."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "modeling_" in name:
            place = f"{name.rsplit('site-packages/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place or "the model's own code"
