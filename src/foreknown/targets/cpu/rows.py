"""Row phases as C: fused row operations, one token after another, in loops a compiler vectorises.

    %s = sum(mul(%x, %x)) {axes=[1]}         float v0[1]: 16 lanes of x*x, one tree
    %r = rsqrt(add(mul(%s, 0.0005), 1e-5))   float v1[1]
    %y = mul(mul(%x, %r), %w)                for (i < 2048) y[i] = x[i] * v1[0] * w[i]

A node is either *stored* (a loop fills an array of one row) or *inlined* into the loops of its
users. Inlined are views, and elementwise nodes that would be computed no more than once for each
of their elements. Everything has static extents: only the number of rows is known at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, Symbol
from foreknown.plan.layout import LANES, padded, row_bytes
from foreknown.plan.phases import Phase, held
from foreknown.plan.state import StateSlot, block_bytes, group_bytes, kept_as
from foreknown.targets.cpu.expression import C_TYPE, Access, Expressions, element_type
from foreknown.targets.cpu.index import Index, flatten, number, unflatten, variable
from foreknown.targets.cpu.inlining import choose_stored
from foreknown.targets.cpu.writer import Writer

FOLDS = {
    "f32": {
        "sum": ("0.0f", "{0} + {1}"),
        "prod": ("1.0f", "{0} * {1}"),
        "amax": ("-FK_INF", "fk_max({0}, {1})"),
        "amin": ("FK_INF", "fk_min({0}, {1})"),
    },
    "i32": {
        "sum": ("0", "fk_add_int({0}, {1})"),
        "prod": ("1", "fk_mul_int({0}, {1})"),
        "amax": ("INT32_MIN", "fk_max_int({0}, {1})"),
        "amin": ("INT32_MAX", "fk_min_int({0}, {1})"),
    },
    "bool": {
        "sum": ("0", "{0} | {1}"),
        "prod": ("1", "{0} & {1}"),
        "amax": ("0", "{0} | {1}"),
        "amin": ("1", "{0} & {1}"),
    },
}
"""Where a reduction starts, and how it takes one element more."""


@dataclass
class RowPhase:
    """Writes one phase's function body; `bindings` tells what its pointers stand for."""

    phase: Phase
    writer: Writer
    access: Access
    scratch_bytes: int = 0
    stored: set[Node] = field(default_factory=set)

    def write(self) -> None:
        """The loop over this thread's rows and everything inside it."""
        out, phase = self.writer, self.phase
        self.stored = choose_stored(phase)
        count = "s->n_tokens" if phase.rows is Symbol.T else "s->n_rows"
        for value in (*phase.inputs, *phase.outputs):
            self.access.buffer(value)
        out.line(f"const int first = fk_first_row(s, {count}, thread);")
        out.line(f"const int last = fk_last_row(s, {count}, thread);")
        header_at = out.mark()
        with out.block("for (int t = first; t < last; t++)"):
            for value in phase.inputs:
                if not _only_selected(phase, value):
                    self.access.row_pointer(value, "t", out)
            for value in phase.outputs:
                self.access.row_pointer(value, "t", out, writable=True)
            expressions = Expressions(self.access, self.stored, phase)
            for node in phase.nodes:
                if node in self.stored:
                    if node not in phase.outputs:
                        self._scratch_row(node)
                    self._store(node, expressions)
            for slot in phase.stores:
                self._store_state(slot, expressions)
        for declaration in self.access.declarations():
            out.insert(header_at, declaration)
            header_at += 1
        if self.scratch_bytes:
            out.insert(header_at, "char *scratch = s->scratch + (size_t)thread * s->scratch_bytes;")

    def _scratch_row(self, node: Node) -> None:
        kind, size = element_type(node), row_bytes(node)
        name = self.access.name_row(node)
        self.writer.line(f"{kind} *restrict {name} = ({kind} *)(scratch + {self.scratch_bytes});")
        self.scratch_bytes += padded(size, 64)

    def _store(self, node: Node, expressions: Expressions) -> None:
        method = {
            "concat": self._concat,
            "sum": self._sum,
            "prod": self._fold,
            "amax": self._fold,
            "amin": self._fold,
            "argmax": self._argmax,
            "cumsum": self._cumsum,
            "topk_values": self._topk,
            "topk_indices": self._topk,
            "scatter": self._scatter,
            "matmul": self._matmul,
            "quantise": self._quantise,
        }.get(node.op, self._map)
        method(node, expressions)

    def _map(self, node: Node, expressions: Expressions) -> None:
        """A loop that fills the row, flat where no division is needed, nested otherwise."""
        self._fill(node.row_shape, lambda i: expressions.compute(node, i), self._target(node))

    def _target(self, node: Node, offset: int = 0) -> tuple[str, tuple[int, ...], int]:
        return self.access.rows[node], node.row_shape, offset

    def _fill(self, shape, value, target) -> None:  # type: ignore[no-untyped-def]
        name, target_shape, offset = target
        size = 1
        for extent in shape:
            size *= extent
        flat = self.writer.loop_variable(size)
        code = value(unflatten(flat, shape))
        if shape == target_shape and "/" not in _indices(code) and "%" not in _indices(code):
            self.writer.statement_in_loops([flat], [size], f"{name}[{flat}] = {code};")
            return
        loops = [self.writer.loop_variable(extent, depth) for depth, extent in enumerate(shape)]
        position = flatten(loops, target_shape) + offset
        self.writer.statement_in_loops(loops, shape, f"{name}[{position}] = {value(tuple(loops))};")

    def _concat(self, node: Node, expressions: Expressions) -> None:
        axis = node.integer("axis") - 1
        start = 0
        inner = 1
        for extent in node.row_shape[axis + 1 :]:
            inner *= extent
        for part in node.args:
            shape = part.row_shape if part.rows else part.row_shape[1:]
            self._fill(
                shape,
                lambda i, part=part: expressions.read_aligned(part, i),
                (self.access.rows[node], node.row_shape, start * inner),
            )
            start += shape[axis]

    def _reduced(self, node: Node) -> tuple[Node, list[int], list[int]]:
        (x,) = node.args
        axes = node.integers("axes") if "axes" in node.attrs else (node.integer("axis"),)
        reduced = [a - 1 for a in axes]
        kept = [i for i in range(len(x.row_shape)) if i not in reduced]
        return x, reduced, kept

    def _sum(self, node: Node, expressions: Expressions) -> None:
        """In 16 lanes and one tree along the last axis; one chain per output along others."""
        x, reduced, kept = self._reduced(node)
        shape, name, out = x.row_shape, self.access.rows[node], self.writer
        last = len(shape) - 1
        if last not in reduced or node.dtype != "f32":
            self._fold(node, expressions)
            return
        outer = [a for a in reduced if a != last]
        width = shape[last]
        index: list[Index] = [number(0)] * len(shape)
        loops = {a: out.loop_variable(shape[a], a) for a in (*kept, *outer)}
        for axis, loop in loops.items():
            index[axis] = loop
        target = flatten(
            [index[a] if a in kept else number(0) for a in range(len(shape))], node.row_shape
        )
        with out.loops([(loops[a], shape[a]) for a in kept]), out.block(""):
            out.line("float lane[16] = {0};")
            with out.loops([(loops[a], shape[a]) for a in outer]):
                whole = width // 16 * 16
                if whole:
                    k, j = variable("k", 0, whole - 16), variable("j", 0, 15)
                    code = expressions.read(x, (*index[:last], k + j))
                    with out.block(f"for (int k = 0; k < {whole}; k += 16)"):
                        out.line(f"for (int j = 0; j < 16; j++) lane[j] += {code};")
                if width > whole:
                    j = variable("j", 0, width - whole - 1)
                    code = expressions.read(x, (*index[:last], j + whole))
                    out.line(f"for (int j = 0; j < {width - whole}; j++) lane[j] += {code};")
            out.line(f"{name}[{target}] = fk_tree_sum(lane);")

    def _fold(self, node: Node, expressions: Expressions) -> None:
        """One accumulator for each output, first to last along the reduced axes."""
        x, reduced, kept = self._reduced(node)
        shape, name, out = x.row_shape, self.access.rows[node], self.writer
        index = [out.loop_variable(shape[a], a) for a in range(len(shape))]
        at = flatten(
            [index[a] if a in kept else number(0) for a in range(len(shape))], node.row_shape
        )
        start, combine = FOLDS[node.dtype][node.op]
        with out.loops([(index[a], shape[a]) for a in kept]):
            out.line(f"{name}[{at}] = {start};")
        held = f"{name}[{at}]"
        step = combine.format(held, expressions.read(x, tuple(index)))
        with out.loops([(index[a], shape[a]) for a in (*reduced, *kept)]):
            out.line(f"{held} = {step};")

    def _argmax(self, node: Node, expressions: Expressions) -> None:
        x, reduced, kept = self._reduced(node)
        (axis,) = reduced
        shape, name, out = x.row_shape, self.access.rows[node], self.writer
        index = [out.loop_variable(shape[a], a) for a in range(len(shape))]
        at = flatten(
            [index[a] if a in kept else number(0) for a in range(len(shape))], node.row_shape
        )
        best = list(index)
        best[axis] = variable(f"{name}[{at}]", 0, shape[axis] - 1)
        with out.loops([(index[a], shape[a]) for a in kept]):
            out.line(f"{name}[{at}] = 0;")
            with out.loops([(index[axis], shape[axis])]):
                here, there = expressions.read(x, tuple(index)), expressions.read(x, tuple(best))
                better = f"{here} > {there}"
                if x.dtype == "f32":  # the first NaN wins, as in NumPy
                    better += f" || ({here} != {here} && {there} == {there})"
                out.line(f"if ({better}) {name}[{at}] = {index[axis]};")

    def _cumsum(self, node: Node, expressions: Expressions) -> None:
        (x,) = node.args
        axis = node.integer("axis") - 1
        shape, name, out = x.row_shape, self.access.rows[node], self.writer
        index = [out.loop_variable(extent, a) for a, extent in enumerate(shape)]
        before = 1
        for extent in shape[axis + 1 :]:
            before *= extent
        order = [axis, *(a for a in range(len(shape)) if a != axis)]
        at = flatten(index, shape)
        with out.loops([(index[a], shape[a]) for a in order]):
            held = f"({index[axis]} ? {name}[{at + -before}] : 0)"
            _, combine = FOLDS[node.dtype]["sum"]
            value = combine.format(held, expressions.read(x, tuple(index)))
            out.line(f"{name}[{at}] = {value};")

    def _topk(self, node: Node, expressions: Expressions) -> None:
        (x,) = node.args
        name, out = self.access.rows[node], self.writer
        *lead, n = x.row_shape
        k, largest = node.integer("k"), int(node.integer("largest"))
        loops = [out.loop_variable(extent, a) for a, extent in enumerate(lead)]
        if x.dtype != "f32":
            raise UnsupportedOp(
                f"the cpu target has no lowering of {node.op} for {x.dtype}", where=repr(node)
            )
        source = self.access.rows[held(x)]
        row = flatten(loops, lead)
        with out.loops(list(zip(loops, lead, strict=True))), out.block(""):
            if node.op == "topk_indices":
                out.line(f"fk_topk({source} + {row * n}, {n}, {k}, {largest}, {name} + {row * k});")
            else:
                out.line(f"int32_t order[{k}];")
                out.line(f"fk_topk({source} + {row * n}, {n}, {k}, {largest}, order);")
                line = f"{name}[{row * int(k)} + j] = {source}[{row * n} + order[j]];"
                out.line(f"for (int j = 0; j < {k}; j++) {line}")

    def _scatter(self, node: Node, expressions: Expressions) -> None:
        x, index, source = node.args
        axis = node.integer("axis") - 1
        name, out = self.access.rows[node], self.writer
        self._fill(node.row_shape, lambda i: expressions.read_aligned(x, i), self._target(node))
        loops = [out.loop_variable(extent, a) for a, extent in enumerate(index.row_shape)]
        target = list(loops)
        where = expressions.read(index, tuple(loops))
        target[axis] = variable(where, 0, node.row_shape[axis] - 1)
        value = expressions.read(source, tuple(loops))
        at = flatten(target, node.row_shape)
        out.statement_in_loops(loops, index.row_shape, f"{name}[{at}] = {value};")

    def _matmul(self, node: Node, expressions: Expressions) -> None:
        """Outputs in lanes, one chain of multiply-adds over the inner axis for each."""
        a, b = node.args
        name, out = self.access.rows[node], self.writer
        *batch, rows, columns = node.row_shape
        inner = a.shape[-1]
        assert isinstance(inner, int)
        loops = [out.loop_variable(extent, i) for i, extent in enumerate(batch)]
        m = out.loop_variable(rows, len(batch))
        k = variable("k", 0, inner - 1)
        n = out.loop_variable(columns, len(batch) + 1)
        at = flatten((*loops, m, n), node.row_shape)
        left = expressions.read_aligned(a, (*loops, m, k))
        right = expressions.read_aligned(b, (*loops, k, n))
        with out.loops([*zip(loops, batch, strict=True), (m, rows)]):
            with out.loops([(n, columns)]):
                out.line(f"{name}[{at}] = 0.0f;")
            with out.block(f"for (int k = 0; k < {inner}; k++)"), out.loops([(n, columns)]):
                out.line(f"{name}[{at}] = fk_fma({left}, {right}, {name}[{at}]);")

    def _quantise(self, node: Node, expressions: Expressions) -> None:
        """Codes of a whole row, then the scale and the start of each group."""
        source, row = self.access.rows[held(node.args[0])], self.access.rows[node]
        size, group = node.row_size, node.integer("group")
        scales = f"(float *)({row} + {size})"
        starts = f"(int32_t *)({row} + {size + 4 * (size // group)})"
        self.writer.line(f"fk_quantise_row({source}, {size}, {group}, {row}, {scales}, {starts});")

    def _store_state(self, slot: StateSlot, expressions: Expressions) -> None:
        out = self.writer
        at = self.access.state(slot)
        # a lone token's rows are everyone's: one thread stores them, or each its own heads
        with out.block("if (!s->alone || thread == 0)" if slot.kind == "shift" else ""):
            out.line("const int position = s->positions[t], j = position % FK_BLOCK_TOKENS;")
            out.line(f"char *block = fk_block(s, {at}, {block_bytes(slot)}, t, position);")
            if slot.kind == "shift":
                (x,) = slot.values
                kind = C_TYPE[x.dtype]
                place = variable("j", 0, 15) * x.row_size
                loops = [out.loop_variable(extent, a) for a, extent in enumerate(x.row_shape)]
                text = f"(({kind} *)block)[{place + flatten(loops, x.row_shape)}]"
                value = expressions.read(x, tuple(loops))
                out.statement_in_loops(loops, x.row_shape, f"{text} = {value};")
                return
            keys, values = slot.values
            groups, width = keys.row_shape
            wide = padded(values.row_shape[1], LANES)
            key_bytes, value_bytes = group_bytes(keys, width), group_bytes(values, wide)
            j = variable("j", 0, 15)
            loop = f"for (int i0 = fk_first_group(s, {groups}, thread); "
            with out.block(f"{loop}i0 < fk_last_group(s, {groups}, thread); i0++)"):
                out.line(f"char *keys = block + (size_t)i0 * {key_bytes};")
                out.line(
                    f"char *values = block + {groups * key_bytes} + (size_t)i0 * {value_bytes};"
                )
                self._store_heads("key", keys, expressions, lambda d: d * 16 + j)
                self._store_heads("value", values, expressions, lambda d: j * wide + d)

    def _store_heads(
        self, name: str, value: Node, expressions: Expressions, place: Callable[[Index], Index]
    ) -> None:
        """One group's key or value of this token, in the format that it is kept in."""
        kept, (groups, width) = kept_as(value), value.row_shape
        group = variable("i0", 0, max(groups - 1, 1))
        if kept == "int8":
            row = self.access.rows[value]
            scale = f"((const float *)(const void *)({row} + {value.row_size}))[i0]"
            codes = f"{row} + (size_t)i0 * {width}"
            self.writer.line(f"fk_store_{name}_codes({name}s, j, {width}, {codes}, {scale});")
            return
        d = self.writer.loop_variable(width, 1)
        element = expressions.read(value, (group if groups > 1 else number(0), d))
        kind = {"f32": "float", "bf16": "uint16_t"}[kept]
        if kept == "bf16":
            element = f"(uint16_t)(fk_bits({element}) >> 16)"
        target = f"(({kind} *)(void *){name}s)[{place(d)}]"
        self.writer.statement_in_loops([d], [width], f"{target} = {element};")


def _indices(code: str) -> str:
    """The parts of an expression that stand in brackets, where a division costs vectors."""
    depth, kept = 0, []
    for character in code:
        depth += (character == "[") - (character == "]")
        if depth:
            kept.append(character)
    return "".join(kept)


def _only_selected(phase: Phase, value: Node) -> bool:
    """Whether a value is read through `select_rows` alone: at another row than the loop's."""
    readers = [n for n in phase.nodes if value in map(held, n.args)]
    return bool(readers) and all(n.op == "select_rows" for n in readers)
