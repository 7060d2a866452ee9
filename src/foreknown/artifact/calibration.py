"""What a text says of a model's matrices: how large the rows are that each column meets.

The model is run over the text as it is stored, and the squares of every product's operand are
averaged column by column. Rounding weighs a column's errors by the root of that mean. (The mean
itself would give the least error of a product's results if columns erred independently: it is the
diagonal of Frantar and others, "GPTQ", 2022. A short text exaggerates it, and the root did better
on texts that it had not seen: docs/log.md, 22.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foreknown.artifact.executor import start
from foreknown.artifact.pack import Weights
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS, single
from foreknown.graph.ir import Graph, Node, make
from foreknown.passes.lower_bits import Importance, products
from foreknown.plan.phases import held
from foreknown.plan.plan import Limits, Plan, make_plan
from foreknown.targets.cpu.program import Program

CHUNK_TOKENS = 16
"""Of a step: all operands of all products are kept to its end."""
MOST_TOKENS = 1024


def column_importance(
    graph: Graph, weights: Weights, tokens: Sequence[int], *, context: int, n_threads: int
) -> Importance:
    """Root mean squares of the rows that each matrix of a graph meets in a text: f32[k] each.

    Args:
        graph: after every pass but those that lower bits.
        tokens: of the text; what the context does not hold is left out.

    Raises:
        RequestError: the text has no tokens.
    """
    tokens = tokens[: min(MOST_TOKENS, context)]
    if not tokens:
        raise RequestError("the calibration text is empty", remedy="give some sentences")
    operands = products(graph)
    squares = {f"square {i}": make("mul", x, x) for i, x in enumerate(operands.values())}
    plan = make_plan(
        Graph(graph.name, {**graph.outputs, **squares}),
        Limits(context, CHUNK_TOKENS, CHUNK_TOKENS),
    )
    sums = [np.zeros(x.row_shape[-1]) for x in operands.values()]
    n_blocks = -(-len(tokens) // BLOCK_TOKENS)
    with start(plan, weights, n_blocks=n_blocks, n_threads=n_threads) as program:
        for first in range(0, len(tokens), CHUNK_TOKENS):
            chunk = list(tokens[first : first + CHUNK_TOKENS])
            program.step(single(chunk, first))
            for total, square in zip(sums, squares.values(), strict=True):
                total += _rows(program, plan, square, len(chunk)).sum(0)
    found = [np.sqrt(total / len(tokens)).clip(0, 1e20).astype(np.float32) for total in sums]
    return dict(zip(operands, found, strict=True))


def _rows(program: Program, plan: Plan, value: Node, n_rows: int) -> NDArray[np.float64]:
    """A result's rows of the last step, [any, k]."""
    (buffer,) = (b for b in plan.buffers if b.value is held(value))
    flat = program.value(buffer.offset, n_rows * value.row_size)
    return flat.reshape(-1, value.row_shape[-1]).astype(np.float64)
