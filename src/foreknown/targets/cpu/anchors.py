"""Phases around one heavy operation as C: a call into the runtime's kernels with literal sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, Symbol
from foreknown.plan.constants import Constant
from foreknown.plan.layout import LANES, PANEL_ROWS, padded, row_bytes
from foreknown.plan.phases import GIVEN, Phase, held
from foreknown.plan.state import block_bytes, kept_as, state_slot
from foreknown.plan.tiling import block_panels
from foreknown.targets.cpu.expression import Access, Expressions, literal
from foreknown.targets.cpu.index import flatten, variable
from foreknown.targets.cpu.writer import Writer

SPAN_TOKENS = 1024
"""Positions that attention goes over at once; FK_SPAN_TOKENS of runtime/attend.h."""


def write_anchor(phase: Phase, out: Writer, access: Access, context: int) -> int:
    """Write a phase's body; returns the bytes of scratch that each thread needs."""
    body = Writer(out.depth)
    write: Callable[[Node, Phase, Writer, Access, int], int] = {
        "linear": _linear,
        "experts": _experts,
        "attend": _attend,
        "scan": _scan,
    }[phase.kind]
    scratch = 0
    for node in phase.nodes:
        with body.block(""):
            scratch = max(scratch, write(node, phase, body, access, context))
    for declaration in access.declarations():
        out.line(declaration)
    out.lines.extend(body.lines)
    return scratch


def _rows(phase: Phase) -> str:
    return "s->n_tokens" if phase.rows is Symbol.T else "s->n_rows"


def _operand(x: Node, access: Access) -> str:
    if x.rows is None:
        raise UnsupportedOp("a constant where rows are expected", where=repr(x))
    if held(x).op in GIVEN:
        return f"s->{held(x).op}"
    return access.buffer(x)


def _share(out: Writer, count: int, begin: str, end: str) -> None:
    """This thread's run of `count` things."""
    out.line(f"const int {begin} = fk_first({count}, thread, s->n_threads);")
    out.line(f"const int {end} = fk_first({count}, thread + 1, s->n_threads);")


@dataclass(frozen=True)
class _Product:
    """A product's matrices and operand as a call of the kernel that fits their formats.

    Attributes:
        weights: the C pointer to the packed matrices.
        slot: their layout.
        source: the C pointer to the operand's rows.
        x: the operand.
        n: outputs of one matrix.
        k: elements of a row that one matrix meets.
    """

    weights: str
    slot: Constant
    source: str
    x: Node
    n: int
    k: int

    @property
    def lowbit(self) -> tuple[int, int] | None:
        """Bits and group of low-bit weights."""
        node = self.slot.node
        if self.slot.layout != "lowbit":
            return None
        return node.integer("bits"), node.integer("group")

    @property
    def panels(self) -> int:
        return -(-self.n // (PANEL_ROWS if self.lowbit else LANES))

    @property
    def matrix_bytes(self) -> int:
        return self.slot.bytes // prod(self.slot.node.row_shape[:-2])

    def call(
        self, *, matrix: str, row: str, at: str, stride: int, out: str, out_stride: int, rows: str
    ) -> str:
        """Panels `first` to `last` for some rows.

        Args:
            matrix: number of the matrix, of several.
            row: the first of the operand's rows.
            at: how many runs of k elements come before in a row.
            stride: runs of k elements from one row to the next.
            out: where the outputs go.
            out_stride: elements from one row of them to the next.
            rows: how many.
        """
        weights = f"{self.weights} + (size_t)({matrix}) * {self.matrix_bytes}"
        if self.lowbit is None:
            stored = {"bf16": "FK_BF16", "f32": "FK_F32"}[self.slot.stored]
            own = f"{self.source} + ((size_t)({row}) * {stride} + {at}) * {self.k}"
            return (
                f"fk_linear({weights}, {stored}, {own}, {stride * self.k}, {out}, "
                f"{out_stride}, {self.k}, {self.n}, {rows}, first, last);"
            )
        bits, group = self.lowbit
        size, whole = self.x.row_size, row_bytes(held(self.x))
        own = f"(const char *){self.source} + (size_t)({row}) * {whole}"
        return (
            f"fk_lowbit({weights}, {bits}, {group}, fk_tiles_{bits}_{group}, "
            f"(struct fk_tiling){{FK_TILE_ROWS, {block_panels(self.k, bits, group)}}}, "
            f"fk_codes_at({own}, {whole}, {size}, {group}, (size_t)({at}) * {self.k}), "
            f"{out}, {out_stride}, {self.k}, {self.n}, {rows}, first, last);"
        )


def _product(node: Node, access: Access) -> _Product:
    x, w = node.args[:2]
    weights, slot = access.constant(w)
    n, k = w.row_shape[-2:]
    return _Product(f"(const char *){weights}", slot, _operand(x, access), x, n, k)


def _linear(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    x, w = node.args
    *groups, n, k = w.row_shape
    count = prod(groups)
    lead = x.row_size // (count * k)
    product, target = _product(node, access), access.buffer(node)
    panels, rows = product.panels, _rows(phase)
    out.line(f"/* {rows} rows x {k} -> {n}, {count} group(s) of {panels} panels */")
    if count == 1 and product.lowbit is None and lead > 1:  # runs of a row are as good as rows
        rows, lead = f"{rows} * {lead}", 1
    if count * lead == 1:
        _share(out, panels, "first", "last")
        out.line(
            product.call(matrix="0", row="0", at="0", stride=1, out=target, out_stride=n, rows=rows)
        )
        return 0
    _share(out, count * panels, "begin", "end")
    with out.block(f"for (int g = begin / {panels}; g * {panels} < end; g++)"):
        out.line(f"const int first = begin > g * {panels} ? begin - g * {panels} : 0;")
        out.line(f"const int last = end < (g + 1) * {panels} ? end - g * {panels} : {panels};")
        with out.block(f"for (int l = 0; l < {lead}; l++)"):
            out.line(f"const size_t at = (size_t)(l * {count} + g);")
            out.line(
                product.call(
                    matrix="g",
                    row="0",
                    at="at",
                    stride=lead * count,
                    out=f"{target} + at * {n}",
                    out_stride=lead * count * n,
                    rows=rows,
                )
            )
    return 0


def _experts(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    x, w, index = node.args
    experts, n, k = w.row_shape
    chosen = index.row_size
    choice, target = _operand(index, access), access.buffer(node)
    product = _product(node, access)
    own = chosen if len(x.shape) == 3 else 1  # whether each chosen expert has a row of its own
    out.line(f"/* {chosen} of {experts} experts for each row, {k} -> {n} */")
    _share(out, product.panels, "first", "last")
    with out.block(f"for (int i = 0; i < {_rows(phase)} * {chosen}; i++)"):
        out.line(f"float *out = {target} + (size_t)i * {n};")
        out.line(f"const int expert = {choice}[i];")
        with out.block(f"if (expert < 0 || expert >= {experts})"):
            rows = PANEL_ROWS if product.lowbit else LANES
            out.line(
                f"for (int j = first * {rows}; j < last * {rows} && j < {n}; j++) out[j] = 0.0f;"
            )
            out.line("continue;")
        out.line(
            product.call(
                matrix="expert",
                row=f"i / {chosen}",
                at=f"i % {chosen}" if own > 1 else "0",
                stride=own,
                out="out",
                out_stride=n,
                rows="1",
            )
        )
    return 0


def _attend(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    q, k, v, *extra = node.args
    _, heads, width = q.shape
    groups, value_width = v.row_shape
    attrs = node.attrs
    query, target = _operand(q, access), access.buffer(node)
    slot = access.state(state_slot(node))
    sinks = access.constant(extra[0])[0] if attrs["sinks"] else "NULL"
    bias = access.constant(extra[-1])[0] if attrs["bias"] else "NULL"
    distances = extra[-1].row_shape[1] if attrs["bias"] else 0
    assert isinstance(heads, int)
    fields = {
        "heads": heads,
        "groups": groups,
        "width": width,
        "value_width": value_width,
        "window": attrs["window"] or 0,
        "chunk": attrs["chunk"] or 0,
        "distances": distances,
        "scale": literal(node.number("scale"), "f32"),
        "softcap": literal(node.number("softcap"), "f32"),
        "keys": f"FK_KEPT_{kept_as(k).upper()}",
        "values": f"FK_KEPT_{kept_as(v).upper()}",
    }
    inner = ", ".join(f".{name} = {value}" for name, value in fields.items())
    out.line(f"const struct fk_attention a = {{{inner}}};")
    out.line(
        f"const struct fk_attended in = {{{slot}, (const char *){query}, {row_bytes(held(q))}, "
        f"{sinks}, {bias}, {target}, {node.row_size}}};"
    )
    out.line("fk_attend(a, s, in, thread);")
    shared, spans = heads // groups, -(-context // SPAN_TOKENS)
    part = shared * (2 + padded(value_width, LANES))
    return 4 * (shared * SPAN_TOKENS + part * max(2, spans + 1))


def _scan(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    """Token after token; each thread keeps its own part of the state's first axis."""
    decay, value, *rank_one = node.args
    shape = node.row_shape or (1,)
    slot = state_slot(node)
    at = access.state(slot)
    size = block_bytes(slot)
    inputs = [a for a in dict.fromkeys(map(held, node.args)) if a.rows is not None]
    for x in (*inputs, node):
        access.buffer(x)
    _share(out, shape[0], "first", "last")
    columns = shape[-1]
    with out.block("for (int t = 0; t < s->n_tokens; t++)"):
        for x in inputs:
            access.row_pointer(x, "t", out)
        access.row_pointer(node, "t", out, writable=True)
        expressions = Expressions(access, set(inputs), phase)
        out.line("const int position = s->positions[t];")
        out.line(f"float *now = (float *)fk_block(s, {at}, {size}, t, position);")
        out.line(
            "const float *past = position == 0 ? NULL : (const float *)"
            f"fk_block(s, {at}, {size}, t, position - 1);"
        )
        own = variable("i0", 0, shape[0] - 1) if shape[0] > 1 else variable("0", 0, 0)
        loops = [own, *(out.loop_variable(n, i) for i, n in enumerate(shape[1:], 1))]
        lead = loops[:-2] if rank_one else loops
        head = "for (int i0 = first; i0 < last; i0++)" if shape[0] > 1 else "if (first < last)"
        inner = list(zip(loops[1:], shape[1:], strict=True))
        heads, matrix = inner[: len(lead) - 1], inner[len(lead) - 1 :]
        if rank_one and not lead:  # one matrix, whose rows are summed: nothing to share out
            head = "if (thread == 0)"
            inner = list(zip(loops, shape, strict=True))
            heads, matrix = [], inner
        with out.block(head):
            element = flatten(loops, shape)
            a = expressions.read_aligned(decay, loops)
            b = expressions.read_aligned(value, loops)
            update = f"fk_fma({a}, past ? past[{element}] : 0.0f, {b})"
            if not rank_one:
                with out.loops(inner):
                    out.line(f"now[{element}] = {update};")
            else:
                out_vector, into = rank_one
                with out.loops(heads), out.block(""):
                    out.line(f"float dot[{columns}];")
                    out.line(f"for (int v = 0; v < {columns}; v++) dot[v] = 0.0f;")
                    row, v = loops[-2], variable("v", 0, columns - 1)
                    weight = expressions.read(into, (*lead, row))
                    before = flatten((*lead, row, v), shape)
                    with out.loops([(row, shape[-2])]):
                        out.line(
                            f"for (int v = 0; v < {columns}; v++) dot[v] = "
                            f"fk_fma({weight}, past ? past[{before}] : 0.0f, dot[v]);"
                        )
                    along = expressions.read(out_vector, (*lead, row))
                    with out.loops(matrix):
                        out.line(f"now[{element}] = fk_fma({along}, dot[{loops[-1]}], {update});")
            with out.loops(inner):
                out.line(f"{access.rows[node]}[{element}] = now[{element}];")
    return 0
