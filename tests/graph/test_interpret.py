"""The interpreter: each operation against NumPy or a plain loop, and the past against no past."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from foreknown.errors import GraphError
from foreknown.graph import ops
from foreknown.graph.batch import Batch, single
from foreknown.graph.interpret import erf, evaluate, meanings, run
from foreknown.graph.ir import Graph, T, const, make
from foreknown.graph.state import State
from foreknown.graph.text import parse_graph
from tests.graph.random_graphs import batches, graphs, random_weights

RNG = np.random.default_rng(0)


def values(text: str, weights: dict[str, np.ndarray] | None = None, tokens: int = 6) -> np.ndarray:
    graph = parse_graph(text)
    return run(graph, single(list(range(tokens))), weights or {}, State(4))["y"]


def test_every_operation_has_a_meaning_and_a_shape_rule() -> None:
    assert set(meanings()) == set(ops._RULES)


def test_erf_is_exact_to_f32() -> None:
    x = np.concatenate([np.linspace(-6, 6, 4001), [0, 1e-30, math.inf, -math.inf]])
    x = x.astype(np.float32)
    expected = np.array([math.erf(v) for v in x.tolist()])
    np.testing.assert_allclose(erf(x), expected, rtol=6e-8)  # half a unit in the last place of f32
    assert np.isnan(erf(np.array([np.nan], np.float32)))[0]


@pytest.mark.parametrize(
    ("op", "a", "b", "expected"),
    [
        ("mod", -7.0, 3.0, 2.0),
        ("mod", 7, -3, -2),
        ("div", -7, 2, -4),
        ("max", 1.0, math.nan, math.nan),
        ("pow", 2.0, -1.0, 0.5),
        ("div", 1.0, 0.0, math.inf),
    ],
)
def test_corners_of_arithmetic(op: str, a: float, b: float, expected: float) -> None:
    np.testing.assert_equal(evaluate(make(op, const(a), const(b))), expected)


def test_corners_of_unaries() -> None:
    halves = const(np.array([-1.5, -0.5, 0.5, 1.5, 2.5]))
    assert evaluate(make("round", halves)).tolist() == [-2, -0.0, 0, 2, 2]
    assert evaluate(make("cast", halves, dtype="i32")).tolist() == [-1, 0, 0, 1, 2]
    assert evaluate(make("sigmoid", const(-1000.0))) == 0


def test_ties_go_to_the_lowest_index() -> None:
    x = const(np.array([[1.0, 3.0, 3.0, 0.0, 0.0]]))
    assert evaluate(make("topk_indices", x, k=3, largest=True)).tolist() == [[1, 2, 0]]
    assert evaluate(make("topk_indices", x, k=3, largest=False)).tolist() == [[3, 4, 0]]
    assert evaluate(make("topk_values", x, k=3, largest=False)).tolist() == [[0, 0, 1]]
    assert evaluate(make("argmax", x, axis=1)).tolist() == [[1]]


def test_a_later_index_wins_in_scatter() -> None:
    x, index = const(np.zeros((2, 3))), const(np.array([[1, 1], [2, 0]]))
    source = const(np.array([[5.0, 6.0], [7.0, 8.0]]))
    result = evaluate(make("scatter", x, index, source, axis=1))
    assert result.tolist() == [[0, 6, 0], [8, 0, 7]]
    assert evaluate(make("gather", const(result), index, axis=1)).tolist() == [[6, 6], [7, 8]]


def test_linear_with_and_without_groups() -> None:
    x, w = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(3, 5, 4))
    expected = np.einsum("tgk,gnk->tgn", x, w)
    np.testing.assert_allclose(evaluate(make("linear", const(x), const(w))), expected, rtol=1e-5)
    plain = evaluate(make("linear", const(x), const(w[0])))
    np.testing.assert_allclose(plain, x @ w[0].T, rtol=1e-5)


@pytest.mark.parametrize("per_choice", [False, True])
def test_experts_and_an_index_of_none(per_choice: bool) -> None:
    x = RNG.normal(size=(3, 2, 4) if per_choice else (3, 4))
    w, index = RNG.normal(size=(5, 6, 4)), np.array([[0, 4], [5, 1], [-1, 1]])
    result = evaluate(make("experts", const(x), const(w), const(index)))
    for t in range(3):
        for j in range(2):
            row = x[t, j] if per_choice else x[t]
            inside = 0 <= index[t, j] < 5
            expected = w[index[t, j]] @ row if inside else np.zeros(6)
            np.testing.assert_allclose(result[t, j], expected, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("extra", ["", "sinks", "bias", "sinks bias"])
def test_attend_is_its_formula(
    window: int | None, chunk: int | None, softcap: float | None, extra: str
) -> None:
    n, heads, groups, width, value_width, far = 11, 4, 2, 3, 5, 4
    weights = {
        "q": RNG.normal(size=(16, heads, width)),
        "k": RNG.normal(size=(16, groups, width)),
        "v": RNG.normal(size=(16, groups, value_width)),
        "sinks": RNG.normal(size=heads),
        "bias": RNG.normal(size=(heads, far)),
    }
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    leaf = {
        name: make("weight", name=name, shape=w.shape, stored="f32") for name, w in weights.items()
    }
    qkv = [make("take", leaf[name], make("tokens")) for name in "qkv"]
    more = [leaf[name] for name in extra.split()]
    node = make(
        "attend",
        *qkv,
        *more,
        scale=0.7,
        window=window,
        chunk=chunk,
        softcap=softcap,
        sinks="sinks" in extra,
        bias="bias" in extra,
    )
    result = run(Graph("g", {"y": node}), single(list(range(n))), weights, State(2))["y"]
    for t in range(n):
        for h in range(heads):
            scores, seen = [], []
            for j in range(t + 1):
                if window is not None and not j > t - window:
                    continue
                if chunk is not None and t // chunk != j // chunk:
                    continue
                score = 0.7 * float(weights["q"][t, h] @ weights["k"][j, h // 2])
                if softcap is not None:
                    score = softcap * math.tanh(score / softcap)
                if "bias" in extra:
                    score += float(weights["bias"][h, min(t - j, far - 1)])
                scores.append(score)
                seen.append(weights["v"][j, h // 2])
            shares = np.exp(scores)
            total = shares.sum() + (math.exp(weights["sinks"][h]) if "sinks" in extra else 0)
            expected = shares @ np.array(seen) / total
            np.testing.assert_allclose(result[t, h], expected, rtol=1e-5, atol=1e-6)


def test_shift_starts_with_zeros() -> None:
    result = values("graph g {\n %t = tokens\n %s = shift %t {n=2}\n return y=%s }")
    assert result.tolist() == [0, 0, 0, 1, 2, 3]


def test_scan_with_an_update_of_rank_one() -> None:
    n, rows, columns = 5, 3, 2
    weights = {
        "x": RNG.normal(size=(n, rows, columns)).astype(np.float32),
        "out": RNG.normal(size=(n, rows)).astype(np.float32),
        "into": RNG.normal(size=(n, rows)).astype(np.float32),
    }
    result = values(
        """graph g {
          %t = tokens
          %x = weight {name="x", shape=[5,3,2], stored="f32"}
          %out = weight {name="out", shape=[5,3], stored="f32"}
          %into = weight {name="into", shape=[5,3], stored="f32"}
          %decay = const {value=0.5} : f32[]
          %xs = take %x, %t
          %outs = take %out, %t
          %intos = take %into, %t
          %s = scan %decay, %xs, %outs, %intos
          return y=%s
        }""",
        weights,
        tokens=n,
    )
    state = np.zeros((rows, columns))
    for t in range(n):
        state = (
            0.5 * state + weights["x"][t] + np.outer(weights["out"][t], weights["into"][t] @ state)
        )
        np.testing.assert_allclose(result[t], state, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), batches())
def test_any_mix_of_chunks_and_sequences_is_each_sequence_alone(
    graph: Graph, steps: tuple[Batch, ...]
) -> None:
    weights = random_weights(graph)
    state = State(int(max(s.block_tables.max() for s in steps)) + 1)
    mixed: dict[int, list[np.ndarray]] = {}
    tokens: dict[int, list[int]] = {}
    for step in steps:
        logits = run(graph, step, weights, state)["logits"]
        for row, sequence, token in zip(logits, step.sequence, step.tokens, strict=True):
            mixed.setdefault(int(sequence), []).append(row)
            tokens.setdefault(int(sequence), []).append(int(token))
    for sequence, text in tokens.items():
        alone = run(graph, single(text), weights, State(3))["logits"]
        # Sums are rounded once from f64, so only the last bits of f64 could differ.
        np.testing.assert_allclose(np.array(mixed[sequence]), alone, rtol=1e-6, atol=1e-30)


def test_reading_what_was_never_written_shows() -> None:
    graph = parse_graph(
        """graph g {
          %p = positions
          %x = cast %p {dtype="f32"}
          %s = shift %x {n=1}
          return y=%s
        }"""
    )
    result = run(graph, single([0, 0], start=5), {}, State(1))["y"]
    assert np.isnan(result[0])
    assert result[1] == 5


def test_what_is_refused() -> None:
    table = make("weight", name="w", shape=(3, 2), stored="bf16")
    graph = Graph("g", {"y": make("take", table, make("tokens"))})
    batch = single([0, 3])
    with pytest.raises(GraphError, match="an index is out of range"):
        run(graph, batch, {"w": np.ones((3, 2), np.float32)}, State(1))
    with pytest.raises(GraphError, match="missing"):
        run(graph, batch, {}, State(1))
    with pytest.raises(GraphError, match="shape"):
        run(graph, batch, {"w": np.ones((2, 3), np.float32)}, State(1))
    with pytest.raises(GraphError, match="depends on the tokens"):
        evaluate(make("broadcast", const(1.0), shape=(T, 2)))
