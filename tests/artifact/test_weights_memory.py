"""Memory for weights is made of large pages, the last one too."""

from __future__ import annotations

import numpy as np
import pytest

from foreknown.artifact.weights_memory import LARGE_PAGE_BYTES, large_pages


@pytest.mark.parametrize(
    "size", [0, 1, LARGE_PAGE_BYTES - 1, LARGE_PAGE_BYTES, 2 * LARGE_PAGE_BYTES + 1]
)
def test_the_last_page_is_whole(size: int) -> None:
    memory = large_pages(size)
    assert memory.shape == (size,)
    assert not memory.any()
    assert memory.ctypes.data % LARGE_PAGE_BYTES == 0
    whole = memory.base
    assert isinstance(whole, np.ndarray)
    last = memory.ctypes.data + -(-size // LARGE_PAGE_BYTES) * LARGE_PAGE_BYTES
    assert last <= whole.ctypes.data + len(whole)
