"""What the engine asks of a grammar that an answer must obey (`server.constraints` makes them)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Constraint(Protocol):
    """The state of one answer within its grammar. It only moves forward."""

    @property
    def complete(self) -> bool:
        """Whether the answer is whole and nothing but its end can follow."""
        ...

    def allowed(self) -> NDArray[np.uint32]:
        """Which tokens may come next: bit t % 32 of word t // 32. Valid until `accept`."""
        ...

    def accept(self, token: int) -> None:
        """Take one more token; it was allowed."""
        ...
