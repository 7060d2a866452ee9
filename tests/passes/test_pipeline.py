"""The passes together: on random graphs, each keeps the meaning and every rule of the IR."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings

from foreknown.graph.batch import Batch
from foreknown.graph.ir import Graph, R
from foreknown.graph.text import parse_graph
from foreknown.graph.verify import verify
from foreknown.passes.pipeline import optimise, passes
from tests.graph.random_graphs import CONTEXT, batches, graphs, schedule
from tests.passes.results import means_the_same

NAMES = tuple(dict.fromkeys(name for name, _ in passes(CONTEXT)))
STEPS = tuple(
    dataclasses.replace(step, rows=step.rows[::-2])  # some rows, in another order
    for step in schedule([7, 18], lambda left: max(1, left // 2))
)
RANDOM = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", NAMES)
@RANDOM
@given(graph=graphs(steps=25))
def test_each_pass_keeps_the_meaning(name: str, graph: Graph) -> None:
    run = dict(passes(CONTEXT))[name]
    means_the_same(graph, verify(run(graph)), STEPS)


@RANDOM
@given(graphs(steps=25), batches())
def test_all_passes_keep_the_meaning(graph: Graph, steps: tuple[Batch, ...]) -> None:
    after = optimise(graph, context=CONTEXT, after=lambda name, graph: verify(graph) and None)
    means_the_same(graph, after, steps)


@RANDOM
@given(graph=graphs(steps=25))
def test_passes_change_nothing_the_second_time(graph: Graph) -> None:
    once = optimise(graph, context=CONTEXT)
    assert len(optimise(once, context=CONTEXT).nodes) <= len(once.nodes)


def test_a_layer_as_transformers_writes_it() -> None:
    """One block of a decoder: what is left are the products, the past, and little else."""
    graph = parse_graph(LAYER)
    seen = []
    after = optimise(graph, context=32, after=lambda name, graph: seen.append(name))
    assert seen == [name for name, _ in passes(32)]
    count = [node.op for node in after.nodes]
    assert count.count("linear") == 5  # q k v, out, gate up, down, head
    assert count.count("attend") == 1
    assert count.count("broadcast") == 0
    assert "cos" not in count
    assert after.outputs["logits"].op == "linear"
    assert after.outputs["logits"].rows is R
    means_the_same(graph, after, schedule([9, 3], lambda left: max(1, left // 2)))


LAYER = """graph layer {
  %embed = weight {name="embed", shape=[11,8], stored="bf16"}
  %tokens = tokens
  %x = take %embed, %tokens
  %inv = const {value=[1.0,0.1]} : f32[2]
  %p = positions
  %p1 = cast %p {dtype="f32"}
  %p2 = reshape %p1 {shape=[T,1]}
  %freqs = mul %p2, %inv
  %emb = concat %freqs, %freqs {axis=1}
  %cos = cos %emb
  %sin = sin %emb
  %one = const {value=1.0} : f32[]
  %cos1 = mul %cos, %one
  %sin1 = mul %sin, %one
  %cos2 = reshape %cos1 {shape=[T,1,4]}
  %sin2 = reshape %sin1 {shape=[T,1,4]}

  %n1 = weight {name="n1", shape=[8], stored="bf16"}
  %sq = mul %x, %x
  %ss = sum %sq {axes=[1]}
  %rs = rsqrt %ss
  %rsb = broadcast %rs {shape=[T,8]}
  %xn = mul %rsb, %x
  %xs = mul %n1, %xn

  %wq = weight {name="wq", shape=[8,8], stored="bf16"}
  %wk = weight {name="wk", shape=[4,8], stored="bf16"}
  %wv = weight {name="wv", shape=[4,8], stored="bf16"}
  %q0 = linear %xs, %wq
  %k0 = linear %xs, %wk
  %v0 = linear %xs, %wv
  %q = reshape %q0 {shape=[T,2,4]}
  %k = reshape %k0 {shape=[T,1,4]}
  %v = reshape %v0 {shape=[T,1,4]}
  %qa = slice %q {axis=2, start=0, stop=2, step=1}
  %qb = slice %q {axis=2, start=2, stop=4, step=1}
  %qbn = neg %qb
  %qr = concat %qbn, %qa {axis=2}
  %q1 = mul %q, %cos2
  %q2 = mul %qr, %sin2
  %q3 = add %q1, %q2
  %ka = slice %k {axis=2, start=0, stop=2, step=1}
  %kb = slice %k {axis=2, start=2, stop=4, step=1}
  %kbn = neg %kb
  %kr = concat %kbn, %ka {axis=2}
  %k1 = mul %k, %cos2
  %k2 = mul %kr, %sin2
  %k3 = add %k1, %k2
  %a = attend %q3, %k3, %v {
    scale=0.5, window=none, chunk=none, softcap=none, sinks=false, bias=false}
  %a1 = reshape %a {shape=[T,8]}
  %wo = weight {name="wo", shape=[8,8], stored="bf16"}
  %o = linear %a1, %wo
  %h = add %x, %o

  %wg = weight {name="wg", shape=[16,8], stored="bf16"}
  %wu = weight {name="wu", shape=[16,8], stored="bf16"}
  %wd = weight {name="wd", shape=[8,16], stored="bf16"}
  %g = linear %h, %wg
  %u = linear %h, %wu
  %s = sigmoid %g
  %gs = mul %g, %s
  %gu = mul %gs, %u
  %d = linear %gu, %wd
  %y = add %h, %d
  %logits = linear %y, %embed
  %rows = rows
  %out = select_rows %logits, %rows
  return logits=%out
}"""
