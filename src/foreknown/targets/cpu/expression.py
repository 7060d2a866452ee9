"""Row operations as C expressions of one element, and the pointers those expressions read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from foreknown.errors import UnsupportedOp
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.graph.ir import Literal, Node
from foreknown.plan.constants import Constant
from foreknown.plan.layout import row_bytes
from foreknown.plan.phases import ANCHORS, GIVEN, Phase, held
from foreknown.plan.state import StateSlot, block_bytes, state_slot
from foreknown.targets.cpu.index import Index, flatten, number, unflatten, variable
from foreknown.targets.cpu.writer import Writer

C_TYPE = {"f32": "float", "i32": "int32_t", "bool": "uint8_t"}
STORED_C_TYPE = {**C_TYPE, "bf16": "uint16_t", "int4": "char", "int8": "char"}

FLOAT_UNARY = {
    "neg": "(-{0})",
    "abs": "__builtin_fabsf({0})",
    "sign": "fk_sign({0})",
    "sqrt": "__builtin_sqrtf({0})",
    "floor": "__builtin_floorf({0})",
    "ceil": "__builtin_ceilf({0})",
    "round": "__builtin_rintf({0})",
    **{n: f"fk_{n}({{0}})" for n in "exp expm1 log log1p rsqrt tanh sigmoid erf sin cos".split()},
    "bf16": "fk_round_bf16({0})",
}
INT_UNARY = {
    **{n: f"fk_{n}_int({{0}})" for n in ("neg", "abs", "sign")},
    "not": "(!{0})",
}
BINARY = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "eq": "({0} == {1})",
    "ne": "({0} != {1})",
    "lt": "({0} < {1})",
    "le": "({0} <= {1})",
    "gt": "({0} > {1})",
    "ge": "({0} >= {1})",
    "and": "({0} & {1})",
    "or": "({0} | {1})",
}
FLOAT_BINARY = BINARY | {
    "div": "({0} / {1})",
    "mod": "fk_floormod({0}, {1})",
    "pow": "fk_pow({0}, {1})",
    "max": "fk_max({0}, {1})",
    "min": "fk_min({0}, {1})",
}
INT_BINARY = BINARY | {
    "div": "fk_floordiv_int({0}, {1})",
    "mod": "fk_floormod_int({0}, {1})",
    **{n: f"fk_{n}_int({{0}}, {{1}})" for n in ("add", "sub", "mul", "pow", "max", "min")},
}
CASTS = {
    ("f32", "i32"): "fk_int({0})",
    ("i32", "f32"): "((float){0})",
    ("bool", "f32"): "((float){0})",
    ("bool", "i32"): "((int32_t){0})",
    ("f32", "bool"): "({0} != 0.0f)",
    ("i32", "bool"): "({0} != 0)",
}

Binding = tuple[str, Node | Constant | StateSlot]


def element_type(value: Node) -> str:
    """The C type of a row's elements; a row of codes is counted in bytes."""
    return "int8_t" if value.op == "quantise" else C_TYPE[value.dtype]


def row_stride(value: Node) -> int:
    """Elements of that type from one row to the next."""
    return row_bytes(value) if value.op == "quantise" else value.row_size


def literal(value: float | int | bool, dtype: str) -> str:
    """A scalar in C with all its bits."""
    if dtype != "f32":
        return str(int(value))
    if math.isnan(value):
        return "FK_NAN"
    if math.isinf(value):
        return "FK_INF" if value > 0 else "-FK_INF"
    text = f"{value:.9g}"
    text = text if any(c in text for c in ".e") else text + ".0"
    return f"{text}f" if value >= 0 and not text.startswith("-") else f"({text}f)"


@dataclass
class Access:
    """The pointers of one phase, named alike in phases alike so that their functions can be one.

    Attributes:
        constants: where each constant lies and in which layout.
        bindings: what `call->at[i]` must hold, in order.
        rows: the C name of the array that holds a value's row.
    """

    constants: dict[Node, Constant]
    bindings: list[Binding] = field(default_factory=list)
    rows: dict[Node, str] = field(default_factory=dict)
    _declared: dict[int, str] = field(default_factory=dict)
    _named: int = 0

    def _fresh(self, letter: str) -> str:
        self._named += 1
        return f"{letter}{self._named - 1}"

    def _bind(self, kind: str, thing: Node | Constant | StateSlot) -> int:
        binding = (kind, thing)
        if binding not in self.bindings:
            self.bindings.append(binding)
        return self.bindings.index(binding)

    def buffer(self, value: Node) -> str:
        """The pointer to all rows of a value."""
        value = held(value)
        at = self._bind("buffer", value)
        kind = element_type(value)
        shared = f"s->arena + c->at[{at}]"  # what threads share out, every one of them reads
        rows = shared if value.op in ANCHORS else f"fk_rows(s, c, {at}, thread)"
        self._declared[at] = f"{kind} *b{at} = ({kind} *)({rows});"
        return f"b{at}"

    def constant(self, node: Node) -> tuple[str, Constant]:
        """The pointer to a packed constant, and its layout."""
        slot = self.constants[node]
        at = self._bind("constant", slot)
        kind = STORED_C_TYPE[slot.stored]
        self._declared[at] = f"const {kind} *w{at} = (const {kind} *)(s->weights + c->at[{at}]);"
        return f"w{at}", slot

    def state(self, slot: StateSlot) -> str:
        """The offset of a state slot, in bytes for each block of the pool."""
        return f"c->at[{self._bind('state', slot)}]"

    def row_pointer(self, value: Node, row: str, out: Writer, *, writable: bool = False) -> None:
        """Declare the pointer to one row of a buffer."""
        name = self._fresh("y" if writable else "x")
        kind = element_type(value) + (" *restrict" if writable else " *")
        kind = kind if writable else f"const {kind}"
        base = self.buffer(value)
        space = "" if kind.endswith("*") else " "
        out.line(f"{kind}{space}{name} = {base} + (size_t){row} * {row_stride(value)};")
        self.rows[value] = name

    def name_row(self, value: Node) -> str:
        """A fresh name for a row in scratch memory."""
        self.rows[value] = self._fresh("v")
        return self.rows[value]

    def declarations(self) -> list[str]:
        """The pointers' definitions, in the order of their bindings."""
        return [self._declared[at] for at in sorted(self._declared)]


class Expressions:
    """Computes single elements of a phase's values as C expressions."""

    def __init__(self, access: Access, stored: set[Node], phase: Phase) -> None:
        self.access, self.stored, self.phase = access, stored, phase
        self.members = set(phase.nodes)

    def read(self, x: Node, index: Sequence[Index]) -> str:
        """Element `index` of x's row (of x itself, for a constant)."""
        if x.rows is None:
            return self._constant(x, index)
        source, position = held(x), flatten(index, x.row_shape)
        if source.op in GIVEN:
            return f"s->{source.op}[t]"
        if source in self.stored or source not in self.members:
            row = self.access.rows[source]
            if source.op == "quantise":
                return f"fk_of_codes({row}, {source.row_size}, {source.attrs['group']}, {position})"
            return f"{row}[{position}]"
        if source is not x:
            index = unflatten(position, source.row_shape)
        return self.compute(source, index)

    def read_aligned(self, x: Node, index: Sequence[Index]) -> str:
        """x at a user's element, broadcasting as NumPy does."""
        shape = x.row_shape
        own = index[len(index) - len(shape) :]
        if x.rows is None and len(shape) > len(index):  # its row axis is 1
            shape, own = shape[1:], index
            return self.read(x, (number(0), *_pinned(own, shape)))
        return self.read(x, _pinned(own, shape))

    def _constant(self, x: Node, index: Sequence[Index]) -> str:
        value = x.attrs.get("value")
        if isinstance(value, Literal) and value.array.size == 1:
            return literal(value.array.reshape(()).item(), x.dtype)
        name, slot = self.access.constant(x)
        if slot.layout == "lowbit":
            n, k = index
            form = f"{x.attrs['bits']}, {x.attrs['group']}, {x.row_shape[-1]}"
            return f"fk_lowbit_element({name}, {form}, {n}, {k})"
        if slot.layout == "panel":
            *groups, n, k = index
            *counts, rows, width = x.row_shape
            place = f"fk_panel_index({n}, {k}, {width})"
            if groups:
                before = flatten(groups, counts)
                place = f"(size_t)({before}) * {-(-rows // 16) * 16 * width} + {place}"
            code = f"{name}[{place}]"
        else:
            code = f"{name}[{flatten(index, x.row_shape)}]"
        return f"fk_bf16({code})" if slot.stored == "bf16" else code

    def compute(self, node: Node, index: Sequence[Index]) -> str:
        """An element of a node from the elements of its arguments."""
        op, args = node.op, node.args
        method = getattr(self, f"_{op}", None)
        if method is not None:
            return str(method(node, index))
        values = [self.read_aligned(a, index) for a in args]
        is_float = args[0].dtype == "f32"
        table = {1: FLOAT_UNARY, 2: FLOAT_BINARY} if is_float else {1: INT_UNARY, 2: INT_BINARY}
        template = table.get(len(args), {}).get(op)
        if template is None:
            raise UnsupportedOp(
                f"the cpu target has no lowering of {op} for {args[0].dtype}", where=repr(node)
            )
        return template.format(*values)

    def _cast(self, node: Node, index: Sequence[Index]) -> str:
        (x,) = node.args
        value = self.read_aligned(x, index)
        if x.dtype == node.dtype:
            return value
        return CASTS[x.dtype, node.dtype].format(value)

    def _where(self, node: Node, index: Sequence[Index]) -> str:
        condition, a, b = (self.read_aligned(x, index) for x in node.args)
        return f"({condition} ? {a} : {b})"

    def _pow(self, node: Node, index: Sequence[Index]) -> str:
        base, exponent = node.args
        value = exponent.attrs.get("value")
        x = self.read_aligned(base, index)
        if isinstance(value, Literal) and value.array.size == 1 and node.dtype == "f32":
            power = value.array.reshape(()).item()
            if power == 2.0:
                return f"fk_square({x})"
            if power == 0.5:
                return f"__builtin_sqrtf({x})"
            if power == -0.5:
                return f"fk_rsqrt({x})"
        pow_of = "fk_pow" if node.dtype == "f32" else "fk_pow_int"
        return f"{pow_of}({x}, {self.read_aligned(exponent, index)})"

    def _permute(self, node: Node, index: Sequence[Index]) -> str:
        (x,) = node.args
        axes = node.integers("axes")
        source = list(index)
        for at, axis in enumerate(axes[1:]):
            source[axis - 1] = index[at]
        return self.read(x, source)

    def _slice(self, node: Node, index: Sequence[Index]) -> str:
        (x,) = node.args
        axis, start, step = (node.integer(k) for k in ("axis", "start", "step"))
        source = list(index)
        source[axis - 1] = index[axis - 1] * step + start
        return self.read(x, source)

    def _broadcast(self, node: Node, index: Sequence[Index]) -> str:
        return self.read_aligned(node.args[0], index)

    def _take(self, node: Node, index: Sequence[Index]) -> str:
        table, which = node.args
        rank = len(which.row_shape)
        extent = table.shape[0]
        assert isinstance(extent, int)
        row = variable(f"(size_t){self.read(which, index[:rank])}", 0, extent - 1)
        return self._constant(table, (row, *index[rank:]))

    def _gather(self, node: Node, index: Sequence[Index]) -> str:
        x, which = node.args
        if x.rows is None:  # the axis that is looked up is 0, the one before those of a row
            row = variable(self.read(which, index), 0, x.row_shape[0] - 1)
            return self._constant(x, (row, *index))
        axis = node.integer("axis") - 1
        source = list(index)
        source[axis] = variable(self.read(which, index), 0, x.row_shape[axis] - 1)
        return self.read(x, source)

    def _select_rows(self, node: Node, index: Sequence[Index]) -> str:
        x = held(node.args[0])
        if x.op in GIVEN:
            return f"s->{x.op}[s->rows[t]]"
        base = self.access.buffer(x)
        row, element = variable("(size_t)s->rows[t]", 0, 2**31), flatten(index, node.row_shape)
        if x.op == "quantise":
            at = f"{base} + {row * row_stride(x)}"
            return f"fk_of_codes({at}, {x.row_size}, {x.attrs['group']}, {element})"
        return f"{base}[{row * x.row_size + element}]"

    def _shift(self, node: Node, index: Sequence[Index]) -> str:
        """A row of an earlier token, from its block; zero before the sequence's start."""

        (x,) = node.args
        n, slot = node.integer("n"), state_slot(node)
        at, kind = self.access.state(slot), C_TYPE[x.dtype]
        before = f"(s->positions[t] - {n})"
        block = f"(({kind} *)fk_block(s, {at}, {block_bytes(slot)}, t, {before}))"
        row = variable(f"({before} % {BLOCK_TOKENS})", 0, BLOCK_TOKENS - 1)
        element = row * x.row_size + flatten(index, x.row_shape)
        return f"(s->positions[t] >= {n} ? {block}[{element}] : 0)"


def _pinned(index: Sequence[Index], shape: Sequence[int]) -> tuple[Index, ...]:
    """An index with axes of extent one at 0."""
    return tuple(number(0) if n == 1 else i for i, n in zip(index, shape, strict=True))
