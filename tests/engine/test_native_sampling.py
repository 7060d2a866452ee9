"""The native sampler against NumPy, its own promises of bits, and known answers."""

from __future__ import annotations

import ctypes
import dataclasses
import platform
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreknown.engine.native_sampling import (
    LOGITS_NOT_FINITE,
    NOTHING_ALLOWED,
    RowSampling,
    Sampler,
    _Sampling,
    refusal,
)
from foreknown.engine.sampling import SamplingParams

Floats = NDArray[np.float32]


def sample(
    library: ctypes.CDLL,
    logits: Floats,
    params: SamplingParams,
    positions: range | list[int] = range(1),
    seed: int = 0,
    prompt: tuple[int, ...] = (0,),
    output: tuple[int, ...] = (),
) -> tuple[list[int], Sampler]:
    """A token for each position, all from the same logits and history."""
    history = np.array(prompt, np.int32)
    row = RowSampling(params, seed, (), history, len(output))
    for token in output:
        row.record(token)
    sampler = Sampler(library, len(logits), len(positions))
    rows = np.tile(logits, (len(positions), 1))
    return sampler.sample(rows, [row] * len(positions), positions), sampler


# ---- the reference: what each setting means, by sorting everything in f64 -----------------


def philox(key: int, counter: int) -> int:
    """Philox 4x32-10, the first 64 bits."""
    mask = 2**32 - 1
    k0, k1 = key & mask, key >> 32
    c = [counter & mask, counter >> 32, 0, 0]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & mask, (a >> 32) ^ c[3] ^ k1, a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c[0] << 32 | c[1]


def uniform(seed: int, position: int) -> float:
    return (philox(seed, position) >> 11) * 2.0**-53


def changed(
    logits: Floats, params: SamplingParams, prompt: tuple[int, ...], output: tuple[int, ...]
) -> NDArray[np.float64]:
    scores = logits.astype(np.float64)
    for token, bias in params.logit_bias.items():
        scores[token] += bias
    for token in {*prompt, *output}:
        r = params.repetition_penalty
        scores[token] = scores[token] / r if scores[token] > 0 else scores[token] * r
    for token in set(output):
        scores[token] -= params.presence_penalty
        scores[token] -= params.frequency_penalty * output.count(token)
    return scores


def probabilities(
    scores: NDArray[np.float64], params: SamplingParams
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Kept tokens, in the order that a draw walks them, and their probabilities."""
    order = np.lexsort((np.arange(len(scores)), -scores))
    weights = np.exp((scores[order] - scores.max()) / np.float32(params.temperature))
    if params.top_k:
        order, weights = order[: params.top_k], weights[: params.top_k]
    before = np.cumsum(weights) - weights
    if params.top_p < 1:
        kept = before < np.float32(params.top_p) * weights.sum()
        kept[0] = True
        order, weights = order[kept], weights[kept]
    kept = weights >= np.float32(params.min_p)
    order, weights = order[kept], weights[kept]
    if not 0 < params.top_k < len(scores) and params.top_p == 1 and params.min_p == 0:
        by_id = np.argsort(order)
        order, weights = order[by_id], weights[by_id]
    return order, weights / weights.sum()


def draw(order: NDArray[np.int64], share: NDArray[np.float64], u: float) -> set[int]:
    """The token at u; where u lies on a border to within rounding, either neighbour."""
    ends = np.cumsum(share)
    slack = 2e-6
    first = int(np.searchsorted(ends, u - slack))
    last = int(np.searchsorted(ends, u + slack))
    return {int(token) for token in order[max(first, 0) : last + 1]} or {int(order[-1])}


def spread_logits(seed: int, vocab_size: int, spread: float) -> Floats:
    random = np.random.default_rng(seed)
    return random.normal(0, spread, vocab_size).astype(np.float32)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_draws_are_those_of_the_reference(library: ctypes.CDLL, data: st.DataObject) -> None:
    vocab_size = data.draw(st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 500, 1024, 1025, 5000]))
    logits = spread_logits(
        data.draw(st.integers(0, 2**32)), vocab_size, data.draw(st.sampled_from([0.1, 1.0, 4.0]))
    )
    token = st.integers(0, vocab_size - 1)
    params = SamplingParams(
        temperature=data.draw(st.sampled_from([0.3, 0.7, 1.0, 2.5])),
        top_k=data.draw(st.sampled_from([0, 1, 3, 40, 200, 10_000])),
        top_p=data.draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0])),
        min_p=data.draw(st.sampled_from([0.0, 0.02, 0.3, 0.9])),
        repetition_penalty=data.draw(st.sampled_from([1.0, 1.2, 0.5])),
        presence_penalty=data.draw(st.sampled_from([0.0, 0.7, -1.0])),
        frequency_penalty=data.draw(st.sampled_from([0.0, 0.3])),
        logit_bias=data.draw(st.dictionaries(token, st.sampled_from([-5.0, 3.0]), max_size=3)),
    )
    prompt = tuple(data.draw(st.lists(token, min_size=1, max_size=6)))
    output = tuple(data.draw(st.lists(token, max_size=6)))
    seed = data.draw(st.integers(0, 2**64 - 1))
    first = data.draw(st.integers(0, 2**40))
    positions = list(range(first, first + 8))

    tokens, _ = sample(library, logits, params, positions, seed, prompt, output)

    order, share = probabilities(changed(logits, params, prompt, output), params)
    # A cut that rounding could move (a tie in f32 that is none in f64, a sum at its border)
    # leaves the reference open: one token more or less is then right too.
    for position, got in zip(positions, tokens, strict=True):
        expected = draw(order, share, uniform(seed, position))
        assert got in expected or _cut_is_on_a_border(logits, params, prompt, output, order)


def _cut_is_on_a_border(
    logits: Floats,
    params: SamplingParams,
    prompt: tuple[int, ...],
    output: tuple[int, ...],
    order: NDArray[np.int64],
) -> bool:
    scores = changed(logits, params, prompt, output)
    for nudge in (1 - 1e-5, 1 + 1e-5):
        nudged = SamplingParams(
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=min(1.0, params.top_p * nudge),
            min_p=min(1.0, params.min_p * nudge),
        )
        if not np.array_equal(probabilities(scores, nudged)[0], order):
            return True
    return False


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.6, top_k=5),
        SamplingParams(top_p=0.8),
        SamplingParams(min_p=0.05),
        SamplingParams(temperature=1.5, top_k=12, top_p=0.9, min_p=0.05),
    ],
    ids=["plain", "top-k", "top-p", "min-p", "all"],
)
def test_frequencies_follow_the_distribution(library: ctypes.CDLL, params: SamplingParams) -> None:
    logits = spread_logits(3, 30, 1.5)
    n = 40_000
    tokens, _ = sample(library, logits, params, range(n), seed=11)
    order, share = probabilities(logits.astype(np.float64), params)
    counts = np.bincount(tokens, minlength=30)[order]
    assert counts.sum() == n, "only kept tokens are drawn"
    chi_square = float(((counts - n * share) ** 2 / (n * share)).sum())
    freedom = len(order) - 1
    # Wilson and Hilferty: the cube root is nearly normal; 4 sigma, and the seed is fixed.
    limit = freedom * (1 - 2 / (9 * freedom) + 4 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert chi_square < limit


def test_random_numbers_are_philox(library: ctypes.CDLL) -> None:
    # Known answer of Random123's kat_vectors for key 0, counter 0.
    assert philox(0, 0) == 0x6627E8D5_E169C58D
    flat = np.zeros(4096, np.float32)
    assert sample(library, flat, SamplingParams())[0] == [0x662]
    seed, position = 0x1234_5678_9ABC_DEF0, 77_000_000_000
    tokens, _ = sample(library, flat, SamplingParams(), [position], seed)
    assert tokens == [philox(seed, position) >> 52]


# ---- greedy -------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 3))
def test_greedy_takes_the_lowest_of_the_largest(
    library: ctypes.CDLL, seed: int, vocab_size: int, levels: int
) -> None:
    logits = np.random.default_rng(seed).integers(0, levels, vocab_size).astype(np.float32)
    tokens, _ = sample(library, logits, SamplingParams(temperature=0))
    assert tokens == [int(np.argmax(logits))]


def test_zero_and_minus_zero_are_equal(library: ctypes.CDLL) -> None:
    logits = np.array([-1, -0.0, 0.0, -0.0], np.float32)
    assert sample(library, logits, SamplingParams(temperature=0))[0] == [1]
    assert sample(library, logits, SamplingParams(top_k=1), range(20))[0] == [1] * 20


def test_a_tiny_temperature_is_greedy(library: ctypes.CDLL) -> None:
    logits = spread_logits(1, 100, 1e-3)
    for temperature in (1e-30, 9e-6, 1.1e-5):
        params = SamplingParams(temperature=temperature)
        best = int(np.argmax(logits))
        assert sample(library, logits, params, range(50))[0].count(best) >= 45


def test_ties_at_the_cut_keep_the_lowest_ids(library: ctypes.CDLL) -> None:
    logits = np.zeros(5000, np.float32)
    logits[4000] = 1
    tokens, _ = sample(library, logits, SamplingParams(top_k=4), range(500))
    assert set(tokens) == {0, 1, 2, 4000}
    logits[:] = 0
    # 5,000 equal tokens: top-p 0.1 keeps the first 500, more than the first ranking holds.
    tokens, _ = sample(library, logits, SamplingParams(top_p=0.1), range(4000))
    assert max(tokens) <= 500
    assert len(set(tokens)) > 480


# ---- log-probabilities --------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    vocab_size=st.sampled_from([1, 3, 16, 100, 4097]),
    n=st.integers(0, 20),
    temperature=st.sampled_from([0.0, 0.8]),
)
@settings(deadline=None)
def test_logprobs_are_log_softmax_of_the_raw_logits(
    library: ctypes.CDLL, seed: int, vocab_size: int, n: int, temperature: float
) -> None:
    logits = spread_logits(seed, vocab_size, 5)
    params = SamplingParams(
        temperature=temperature, logprobs=n, logit_bias={0: 5.0}, repetition_penalty=1.3
    )
    (token,), sampler = sample(library, logits, params)
    exact = logits.astype(np.float64) - logits.max()
    exact -= np.log(np.exp(exact).sum())
    # f32 sums of up to 4097 terms and one subtraction: a few units in the last place of ~30.
    assert abs(sampler.logprobs[0] - exact[token]) < 2e-5
    top = sampler.top_logprobs(0, n)
    best = np.lexsort((np.arange(vocab_size), -logits))[:n]
    assert [token for token, _ in top] == best.tolist()
    np.testing.assert_allclose([p for _, p in top], exact[best], atol=2e-5)


# ---- bits ---------------------------------------------------------------------------------

EVERY_KIND: Mapping[str, SamplingParams] = {
    "plain": SamplingParams(logprobs=5),
    "cold": SamplingParams(temperature=0.31, logprobs=0),
    "top-k": SamplingParams(top_k=50, temperature=0.9),
    "top-p": SamplingParams(top_p=0.95, logprobs=20),
    "flat top-p": SamplingParams(top_p=0.9, temperature=20),
    "min-p": SamplingParams(min_p=0.03),
    "penalties": SamplingParams(
        repetition_penalty=1.1, presence_penalty=0.3, frequency_penalty=0.2, logit_bias={3: 2}
    ),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_instruction_sets_give_the_same_bits(
    library: ctypes.CDLL, baseline: ctypes.CDLL, kind: str
) -> None:
    params = EVERY_KIND[kind]
    for vocab_size in (259, 32_003):
        logits = spread_logits(vocab_size, vocab_size, 3)
        arguments = (logits, params, range(64), 5, (1, 2, 3), (3, 4, 4))
        one, first = sample(library, *arguments)
        other, second = sample(baseline, *arguments)
        assert one == other
        assert first.logprobs.tobytes() == second.logprobs.tobytes()
        assert first.top_logprobs(0, 20) == second.top_logprobs(0, 20)


@pytest.fixture(scope="module")
def baseline(build_sampler: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    """Without fused multiply-add instructions: the C library computes them, with the same bits."""
    if platform.machine() == "x86_64":
        return build_sampler("-march=x86_64", "-O1")
    return build_sampler("-O1")


def test_a_token_depends_on_seed_position_and_logits_alone(library: ctypes.CDLL) -> None:
    rows = np.stack([spread_logits(i, 3000, 2) for i in range(6)])
    kinds = [RowSampling(p, 9, (), np.array([1], np.int32), 0) for p in EVERY_KIND.values()][:6]
    positions = [5, 6, 7, 100, 101, 102]
    together = Sampler(library, 3000, 6).sample(rows, kinds, positions)
    alone = Sampler(library, 3000, 6)
    for i in reversed(range(6)):
        assert alone.sample(rows[i : i + 1], [kinds[i]], [positions[i]]) == [together[i]]
    wide = np.full((6, 4000), np.nan, np.float32)
    wide[:, :3000] = rows
    apart = Sampler(library, 3000, 6).sample(wide[:, :3000], kinds, positions)
    assert apart == together, "rows may lie apart"


def test_seeds_and_positions_give_different_tokens(library: ctypes.CDLL) -> None:
    flat = np.zeros(100_000, np.float32)
    by_position, _ = sample(library, flat, SamplingParams(), range(200), seed=1)
    assert len(set(by_position)) > 190
    assert sample(library, flat, SamplingParams(), range(200), seed=1)[0] == by_position
    assert sample(library, flat, SamplingParams(), range(200), seed=2)[0] != by_position


# ---- damaged logits -----------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.nan])
@pytest.mark.parametrize("place", [0, 15, 16, 63, 64, 98, 99])
def test_logits_that_are_not_numbers_give_no_token(
    library: ctypes.CDLL, value: float, place: int
) -> None:
    logits = spread_logits(0, 100, 1)
    logits[place] = value
    for params in EVERY_KIND.values():
        assert sample(library, logits, params)[0] == [LOGITS_NOT_FINITE]
    assert "NaN" in str(refusal(LOGITS_NOT_FINITE, 7))
    assert "position 7" in str(refusal(LOGITS_NOT_FINITE, 7))


def test_one_damaged_row_leaves_the_others(library: ctypes.CDLL) -> None:
    rows = np.zeros((3, 50), np.float32)
    rows[:, 7] = 9
    rows[1, 3] = np.nan
    row = RowSampling(SamplingParams(temperature=0), 0, (), np.array([1], np.int32), 0)
    assert Sampler(library, 50, 3).sample(rows, [row] * 3, [0, 0, 0]) == [7, LOGITS_NOT_FINITE, 7]


def test_masked_logits_are_never_drawn(library: ctypes.CDLL) -> None:
    logits = np.full(3000, -np.inf, np.float32)
    assert sample(library, logits, SamplingParams())[0] == [NOTHING_ALLOWED]
    assert "allowed" in str(refusal(NOTHING_ALLOWED, 0))
    logits[[5, 2999]] = 1
    for params in EVERY_KIND.values():
        assert set(sample(library, logits, params, range(50), output=(5,))[0]) == {5, 2999}
    (token,), sampler = sample(library, logits, SamplingParams(logprobs=3, temperature=0))
    assert token == 5
    assert sampler.top_logprobs(0, 3)[2] == (0, -np.inf)


# ---- masks ----------------------------------------------------------------------------------


def masks(vocab_size: int) -> st.SearchStrategy[NDArray[np.uint32]]:
    """Masks with rare, frequent and all bits, and of too few words."""
    words = -(-vocab_size // 32)
    word = st.sampled_from([0, 0, 1, 2**31, 0x00FF00F0, 2**32 - 1])
    listed = st.lists(word, min_size=max(words - 1, 0), max_size=words + 1)
    return listed.map(lambda values: np.array(values, np.uint32))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_masks_are_minus_infinity_before_all_else(
    library: ctypes.CDLL, baseline: ctypes.CDLL, data: st.DataObject
) -> None:
    vocab_size = data.draw(st.sampled_from([1, 31, 32, 33, 63, 64, 500, 1025, 5000]))
    logits = spread_logits(data.draw(st.integers(0, 2**32)), vocab_size, 3)
    token = st.integers(0, vocab_size - 1)
    bias = data.draw(st.dictionaries(token, st.sampled_from([-5.0, 100.0]), max_size=3))
    kind = data.draw(st.sampled_from([*EVERY_KIND.values(), SamplingParams(temperature=0)]))
    params = dataclasses.replace(kind, logit_bias=bias)
    history = np.array(data.draw(st.lists(token, min_size=1, max_size=4)), np.int32)
    mask = data.draw(masks(vocab_size))
    bits = np.unpackbits(mask.astype("<u4").view(np.uint8), bitorder="little")[:vocab_size]
    allowed = np.zeros(vocab_size, bool)
    allowed[: len(bits)] = bits
    positions = range(3)

    def sampled(built: ctypes.CDLL, given: Floats, mask: NDArray[np.uint32] | None) -> Sampler:
        row = RowSampling(params, 5, (), history, 0)
        row.allow(mask)
        sampler = Sampler(built, vocab_size, len(positions))
        sampler.sample(np.tile(given, (len(positions), 1)), [row] * len(positions), positions)
        return sampler

    expected = sampled(library, np.where(allowed, logits, -np.inf).astype(np.float32), None)
    raw = sampled(library, logits, np.full(-(-vocab_size // 32), 2**32 - 1, np.uint32))
    for built in (library, baseline):
        got = sampled(built, logits, mask)
        assert got.tokens.tolist() == expected.tokens.tolist()
        assert (got.tokens[0] == NOTHING_ALLOWED) == (not allowed.any())
        n = params.logprobs or 0
        assert got.top_logprobs(0, n) == raw.top_logprobs(0, n), "those of the raw logits"


def test_a_mask_is_read_where_it_lies_and_can_be_taken_off(library: ctypes.CDLL) -> None:
    logits = np.arange(100, dtype=np.float32)
    row = RowSampling(SamplingParams(temperature=0, logprobs=1), 0, (), np.array([1], np.int32), 0)
    sampler = Sampler(library, 100, 1)
    mask = np.zeros(4, np.uint32)
    row.allow(mask)
    assert sampler.sample(logits[None], [row], [0]) == [NOTHING_ALLOWED]
    for token in (0, 31, 32, 98):
        mask[:] = 0
        mask[token // 32] = np.uint32(1) << np.uint32(token % 32)
        row.allow(mask)
        assert sampler.sample_again(0) == token
        assert sampler.logprobs[0] == pytest.approx(token - 99 - 0.4586751, abs=1e-4)
        assert sampler.top_logprobs(0, 1)[0][0] == 99
    row.allow(None)
    assert sampler.sample_again(0) == 99


def test_a_masked_row_that_is_damaged_says_so(library: ctypes.CDLL) -> None:
    logits = np.zeros(64, np.float32)
    logits[40] = np.nan
    row = RowSampling(SamplingParams(), 0, (), np.array([1], np.int32), 0)
    row.allow(np.array([1, 0], np.uint32))
    assert Sampler(library, 64, 1).sample(logits[None], [row], [0]) == [LOGITS_NOT_FINITE]


def test_masks_of_another_kind_are_refused() -> None:
    row = RowSampling(SamplingParams(), 0, (), np.array([1], np.int32), 0)
    for mask in (np.zeros(4, np.int64), np.zeros(8, np.uint32)[::2]):
        with pytest.raises(ValueError, match="a mask is u32 without gaps"):
            row.allow(mask)  # type: ignore[arg-type]


def test_the_structure_is_the_one_in_c(library: ctypes.CDLL) -> None:
    library.fk_sampling_bytes.restype = ctypes.c_size_t
    assert library.fk_sampling_bytes() == ctypes.sizeof(_Sampling)
