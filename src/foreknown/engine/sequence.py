"""One generation: its tokens, how they are chosen and read, and where its state lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.constraint import Constraint
from foreknown.engine.detokenizer import Detokenizer
from foreknown.engine.draft import Drafter
from foreknown.engine.native_sampling import RowSampling
from foreknown.engine.output import TokenLogprob
from foreknown.engine.prefix_cache import chained_digest, root_digest
from foreknown.engine.progress import Progress
from foreknown.engine.promises import Commitment
from foreknown.engine.prompt_rows import PromptRows
from foreknown.engine.sampling import SamplingParams
from foreknown.engine.stop_strings import StopStrings
from foreknown.errors import ForeknownError
from foreknown.graph.batch import BLOCK_TOKENS

if TYPE_CHECKING:
    from foreknown.engine.beam import BeamSearch


class Sequence(Progress):
    """One generation, whose progress the scheduler sees.

    Attributes:
        tokens: i32[n_prompt + max_tokens], prompt then output; entries past n_tokens are unused.
        last_token: tokens[n_tokens - 1].
        arrival_ns: when it was asked for.
        first_ns: when its first token came; -1: not yet.
        stop_ids: tokens that end it.
        constraint: what its output must obey.
        prompt_rows: what is read of its prompt's rows; None if nothing is, or no more.
        prompt_logprobs: to be told with its first token.
        beams: the search that it is a part of.
        failure: why it cannot go on.
        drafter: guesses what comes next; None while nobody asked it to.
        table: row of the block manager's tables while running, else -1.
        n_registered: of its blocks, full ones that the prefix cache was told of.
    """

    __slots__ = (
        "_digests",
        "_root",
        "arrival_ns",
        "beams",
        "constraint",
        "detokenizer",
        "drafter",
        "failure",
        "first_ns",
        "last_token",
        "n_registered",
        "params",
        "prompt_logprobs",
        "prompt_rows",
        "request_id",
        "salt",
        "sampling",
        "stop_ids",
        "stop_strings",
        "table",
        "tokens",
    )

    def __init__(
        self,
        request_id: str,
        number: int,
        arrival_ns: int,
        prompt: NDArray[np.int32],
        max_tokens: int,
        params: SamplingParams,
        stop_ids: frozenset[int],
        seed: int,
        detokenizer: Detokenizer,
        *,
        user: str = "",
        salt: str = "",
        commitment: Commitment | None = None,
        constraint: Constraint | None = None,
        prompt_rows: PromptRows | None = None,
    ) -> None:
        super().__init__(number, len(prompt), max_tokens, user=user, commitment=commitment)
        self.request_id = request_id
        self.arrival_ns, self.first_ns = arrival_ns, -1
        self.salt = salt
        self.params = params
        self.stop_ids = stop_ids
        self.detokenizer = detokenizer
        self.stop_strings = StopStrings(params.stop)
        self.sampling = RowSampling(params, seed, stop_ids, prompt, max_tokens)
        self.constraint = constraint
        self.prompt_rows = prompt_rows
        self.prompt_logprobs: tuple[TokenLogprob, ...] | None = None
        self.beams: BeamSearch | None = None
        self.failure: ForeknownError | None = None
        self.tokens = np.empty(self.n_prompt + max_tokens, np.int32)
        self.tokens[: self.n_prompt] = prompt
        self.last_token = int(prompt[-1])
        self.drafter: Drafter | None = None
        self.table = -1
        self.n_registered = 0
        self._root = root_digest(salt)
        self._digests: list[bytes] = []

    @property
    def output(self) -> list[int]:
        """Output token ids so far."""
        return [int(token) for token in self.tokens[self.n_prompt : self.n_tokens]]

    @property
    def may_draft(self) -> bool:
        """Whether guesses of its next tokens may be computed along."""
        return self.constraint is None and self.beams is None and self.prompt_rows is None

    @property
    def reuses(self) -> bool:
        """Whether it may start with state that others computed: not if its rows are wanted."""
        return self.prompt_rows is None or not self.prompt_rows.from_start

    @property
    def n_beams(self) -> int:
        return 1 if self.beams is None else self.beams.width

    @property
    def reads_each(self) -> bool:
        return self.prompt_rows is not None and self.prompt_rows.each

    def restart(self) -> None:
        super().restart()
        if self.prompt_rows is not None:
            self.prompt_rows.restart()

    def follow(self, leader: Progress) -> None:
        assert isinstance(leader, Sequence)
        self.prompt_rows, self.prompt_logprobs = None, leader.prompt_logprobs

    def append(self, token: int) -> None:
        """One more token, chosen from the last one's logits."""
        self.tokens[self.n_tokens] = token
        self.n_tokens += 1
        self.last_token = token
        self.sampling.record(token)

    def continue_from(self, other: Sequence, token: int) -> None:
        """Become what another of the same prompt is so far, and one token more; not running."""
        n = self.n_tokens = other.n_computed
        self.tokens[:n] = other.tokens[:n]
        self._digests = other._digests[: n // BLOCK_TOKENS]
        self.n_computed = 0
        self.append(token)

    def digest(self, block: int) -> bytes:
        """Of its tokens up to the end of one of its full blocks; they need not be computed."""
        digests = self._digests
        while len(digests) <= block:
            start = len(digests) * BLOCK_TOKENS
            parent = digests[-1] if digests else self._root
            digests.append(chained_digest(parent, self.tokens[start : start + BLOCK_TOKENS]))
        return digests[block]

    def tail_digest(self, n_full: int, n_tail: int) -> bytes:
        """Of its tokens up to some tokens after so many full blocks."""
        start = n_full * BLOCK_TOKENS
        parent = self.digest(n_full - 1) if n_full else self._root
        return chained_digest(parent, self.tokens[start : start + n_tail])
