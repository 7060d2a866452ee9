"""Phases around one heavy operation as C: a call into the runtime's kernels with literal sizes."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from foreknown.errors import UnsupportedOp
from foreknown.graph.ir import Node, Symbol
from foreknown.plan.phases import GIVEN, Phase, held
from foreknown.plan.state import block_bytes, state_slot
from foreknown.targets.cpu.expression import Access, Expressions, literal
from foreknown.targets.cpu.index import flatten, variable
from foreknown.targets.cpu.writer import Writer


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


def _linear(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    x, w = node.args
    *groups, n, k = w.row_shape
    count = prod(groups)
    lead = x.row_size // (count * k)
    source, target = _operand(x, access), access.buffer(node)
    weights, slot = access.constant(w)
    stored = {"bf16": "FK_BF16", "f32": "FK_F32"}[slot.stored]
    panels = -(-n // 16)
    panel_bytes = k * 16 * (2 if slot.stored == "bf16" else 4)
    rows = _rows(phase)
    out.line(f"/* {rows} rows x {k} -> {n}, {count} group(s) of {panels} panels */")
    if count == 1:
        tokens = rows if lead == 1 else f"{rows} * {lead}"
        out.line(f"const int first = fk_first({panels}, thread, s->n_threads);")
        out.line(f"const int last = fk_first({panels}, thread + 1, s->n_threads);")
        out.line(
            f"fk_linear((const char *){weights}, {stored}, {source}, {k}, {target}, {n}, "
            f"{k}, {n}, {tokens}, first, last);"
        )
        return 0
    total = count * panels
    out.line(f"const int begin = fk_first({total}, thread, s->n_threads);")
    out.line(f"const int end = fk_first({total}, thread + 1, s->n_threads);")
    with out.block(f"for (int g = begin / {panels}; g * {panels} < end; g++)"):
        out.line(f"const int first = begin > g * {panels} ? begin - g * {panels} : 0;")
        out.line(f"const int last = end < (g + 1) * {panels} ? end - g * {panels} : {panels};")
        with out.block(f"for (int l = 0; l < {lead}; l++)"):
            out.line(f"const size_t at = (size_t)(l * {count} + g);")
            out.line(
                f"fk_linear((const char *){weights} + (size_t)g * {panels * panel_bytes}, "
                f"{stored}, {source} + at * {k}, {lead * count * k}, {target} + at * {n}, "
                f"{lead * count * n}, {k}, {n}, {rows}, first, last);"
            )
    return 0


def _experts(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    x, w, index = node.args
    experts, n, k = w.row_shape
    chosen = index.row_size
    source, choice, target = _operand(x, access), _operand(index, access), access.buffer(node)
    weights, slot = access.constant(w)
    stored = {"bf16": "FK_BF16", "f32": "FK_F32"}[slot.stored]
    panels = -(-n // 16)
    expert_bytes = panels * k * 16 * (2 if slot.stored == "bf16" else 4)
    own = chosen if len(x.shape) == 3 else 1  # whether each chosen expert has a row of its own
    out.line(f"/* {chosen} of {experts} experts for each row, {k} -> {n} */")
    out.line(f"const int first = fk_first({panels}, thread, s->n_threads);")
    out.line(f"const int last = fk_first({panels}, thread + 1, s->n_threads);")
    with out.block(f"for (int i = 0; i < {_rows(phase)} * {chosen}; i++)"):
        row = "i" if own > 1 or chosen == 1 else f"i / {chosen}"
        out.line(f"float *out = {target} + (size_t)i * {n};")
        out.line(f"const int expert = {choice}[i];")
        with out.block(f"if (expert < 0 || expert >= {experts})"):
            out.line(f"for (int j = first * 16; j < last * 16 && j < {n}; j++) out[j] = 0.0f;")
            out.line("continue;")
        out.line(
            f"fk_linear((const char *){weights} + (size_t)expert * {expert_bytes}, {stored}, "
            f"{source} + (size_t)({row}) * {k}, {k}, out, {n}, {k}, {n}, 1, first, last);"
        )
    return 0


def _attend(node: Node, phase: Phase, out: Writer, access: Access, context: int) -> int:
    q, _, v, *extra = node.args
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
    }
    inner = ", ".join(f".{name} = {value}" for name, value in fields.items())
    out.line(f"const struct fk_attention a = {{{inner}}};")
    out.line("float *scores = (float *)(s->scratch + (size_t)thread * s->scratch_bytes);")
    with out.block(f"for (int i = thread; i < s->n_tokens * {groups}; i += s->n_threads)"):
        out.line(f"const int t = i / {groups}, group = i % {groups};")
        out.line(
            f"fk_attend(a, s, {slot}, t, group, {query} + (size_t)t * {q.row_size}, {sinks}, "
            f"{bias}, {target} + (size_t)t * {node.row_size}, scores);"
        )
    blocks = -(-context // 16) + 1
    return heads // groups * blocks * 16 * 4


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
    out.line(f"const int first = fk_first({shape[0]}, thread, s->n_threads);")
    out.line(f"const int last = fk_first({shape[0]}, thread + 1, s->n_threads);")
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
