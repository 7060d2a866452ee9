"""What masks and biases mean, told from their values."""

from __future__ import annotations

import numpy as np
import pytest

from foreknown.capture.lower.masks import Visible, classify
from foreknown.errors import UnsupportedOp

N = 24
QUERY, KEY = np.arange(N)[:, None], np.arange(N)[None, :]
CAUSAL = KEY <= QUERY


def table(seen: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
    shape = np.broadcast_shapes(seen.shape, np.shape(bias))
    values = np.where(seen, np.float32(0), np.finfo(np.float32).min) + np.float32(bias)
    return np.broadcast_to(values, shape).reshape(-1, N, N).astype(np.float32)


def meaning(array: np.ndarray) -> Visible:
    return classify(array, N, None, causal=False)


def test_causal() -> None:
    assert meaning(table(CAUSAL)) == Visible()


@pytest.mark.parametrize("window", [1, 2, 7, N - 1])
def test_window(window: int) -> None:
    assert meaning(table(CAUSAL & (QUERY - window < KEY))) == Visible(window=window)


@pytest.mark.parametrize("chunk", [2, 5, 8, N - 1])
def test_chunk(chunk: int) -> None:
    assert meaning(table(CAUSAL & (KEY // chunk == QUERY // chunk))) == Visible(chunk=chunk)


def test_a_sample_of_queries_is_enough() -> None:
    rows = (0, 6, 7, 8, 15, N - 1)
    seen = (CAUSAL & (KEY > QUERY - 7))[list(rows)]
    array = np.where(seen, np.float32(0), np.float32(-np.inf))[None]
    assert classify(array, N, rows, causal=False) == Visible(window=7)


def test_bias_by_distance() -> None:
    slopes = np.asarray([0.5, 0.25], np.float32)[:, None, None]
    visible = meaning(table(CAUSAL, -slopes * (QUERY - KEY)))
    assert visible.bias is not None
    found = visible.bias.attrs["value"].array  # type: ignore[union-attr]
    np.testing.assert_allclose(found, -slopes[:, 0] * np.arange(N), rtol=1e-6)


def test_what_is_the_same_for_all_keys_of_a_query_is_no_bias() -> None:
    by_key = meaning(table(CAUSAL, 0.5 * KEY)).bias
    by_distance = meaning(table(CAUSAL, -0.5 * (QUERY - KEY))).bias
    assert by_key is not None
    assert by_distance is not None
    np.testing.assert_allclose(
        by_key.attrs["value"].array,  # type: ignore[union-attr]
        by_distance.attrs["value"].array,  # type: ignore[union-attr]
        atol=1e-5,
    )


@pytest.mark.parametrize(
    "array",
    [
        table(np.ones((N, N), bool)),
        table(KEY < QUERY + 2),
        table(CAUSAL & (KEY % 2 == QUERY % 2)),
        table(CAUSAL & (KEY > QUERY - 3) & (KEY // 8 == QUERY // 8)),
        table(CAUSAL, np.where(KEY == 3, 1.0, 0.0)),
        table(CAUSAL & (KEY < QUERY)),
        np.concatenate([table(CAUSAL), table(CAUSAL & (KEY > QUERY - 3))]),
        np.full((1, N, N), np.nan, np.float32),
    ],
    ids=[
        "both ways",
        "one later token",
        "every other",
        "window and chunk",
        "one special key",
        "not itself",
        "heads differ",
        "not numbers",
    ],
)
def test_refused(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedOp):
        meaning(array)
