"""From a step's rows to what requests are told: tokens, texts, beams, embeddings, likelihoods."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.beam import BeamSearch
from foreknown.engine.block_manager import BlockManager
from foreknown.engine.chunk import Chunk
from foreknown.engine.native_sampling import Sampler, refusal
from foreknown.engine.output import FinishReason, Output
from foreknown.engine.program import Program
from foreknown.engine.progress import SequenceState
from foreknown.engine.prompt_rows import Pooling
from foreknown.engine.reading import last_text, read, restrict, stopped_by
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.errors import ForeknownError
from foreknown.graph.batch import BLOCK_TOKENS


class Postprocessor:
    """Reads one engine's steps.

    Args:
        sequences: by the ids of their answers; those that end are taken out.

    Attributes:
        sampler: chooses tokens from rows.
        n_drafted: tokens that were guessed.
        n_accepted: guesses that were right.
    """

    def __init__(
        self,
        program: Program,
        blocks: BlockManager,
        scheduler: Scheduler[Sequence],
        sequences: dict[str, Sequence],
    ) -> None:
        self._program, self._blocks, self._scheduler = program, blocks, scheduler
        self._sequences = sequences
        self.sampler = Sampler(program.library, program.vocab_size, program.max_rows)
        self.n_drafted = self.n_accepted = 0

    def sample(self, logits: NDArray[np.float32], chunks: list[Chunk[Sequence]]) -> list[int]:
        """What follows the last token of each sequence, and each of its drafts.

        Args:
            logits: f32[rows, vocabulary], in the order of the chunks.
        """
        samplings, positions = [], []
        for sequence, n_tokens, drafts in chunks:
            if sequence.prompt_rows is not None:
                n_read = sequence.prompt_rows.n_read(sequence.n_computed, n_tokens)
                samplings += [sequence.prompt_rows.sampling] * n_read
                positions += [0] * n_read
                if isinstance(sequence.prompt_rows, Pooling):
                    continue
            if n_tokens == sequence.n_tokens - sequence.n_computed:
                if sequence.constraint is not None:
                    restrict(sequence, sequence.constraint)
                for position in range(sequence.n_tokens, sequence.n_tokens + len(drafts) + 1):
                    samplings.append(sequence.sampling)
                    positions.append(position)
        return self.sampler.sample(logits, samplings, positions)

    def outputs(
        self,
        chunks: list[Chunk[Sequence]],
        chosen: list[int],
        logits: NDArray[np.float32],
        now_ns: int,
    ) -> list[Output]:
        """What a step gave, in scheduling order; sequences that end with it are taken out.

        Args:
            chosen: by `sample`.
        """
        outputs: list[Output] = []
        failed: list[BeamSearch] = []
        row = 0
        for chunk in chunks:
            sequence, n_tokens, drafts = chunk
            gives_token = n_tokens == sequence.n_tokens - sequence.n_computed
            if sequence.prompt_rows is not None:
                row = self._read_prompt(chunk, chosen, logits, row)
            sequence.n_computed += n_tokens
            if sequence.n_computed // BLOCK_TOKENS > sequence.n_registered:
                self._blocks.register(sequence)
            if not gives_token:
                continue
            if sequence.n_computed == sequence.n_prompt:
                self._scheduler.prompt_computed(sequence)
            if sequence.prompt_rows is not None:
                outputs.append(self._embed(sequence, now_ns))
                continue
            if sequence.beams is not None:
                outputs += self._advance(sequence, sequence.beams, chosen[row], row, now_ns)
                if sequence.beams.failure is not None:
                    failed.append(sequence.beams)
            else:
                outputs += self._verify(sequence, drafts, chosen, row, now_ns)
            row += len(drafts) + 1
            self.n_drafted += len(drafts)
        for search in dict.fromkeys(failed):
            outputs += self._end_search(search, now_ns, "error")
        return outputs

    def cancel(self, request_id: str, now_ns: int) -> list[Output]:
        """End a request now; what there is to say of it, nothing if it is not here (any more).

        The answers of a beam search end together.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return []
        if sequence.beams is not None:
            return self._end_search(sequence.beams, now_ns, "cancelled")
        text = last_text(sequence)
        self._finish(sequence)
        n_cached = sequence.n_cached
        last = Output(request_id, now_ns, None, text, finish_reason="cancelled", n_cached=n_cached)
        return [last]

    def _verify(
        self, sequence: Sequence, drafts: Tokens[int], chosen: list[int], row: int, now_ns: int
    ) -> list[Output]:
        """Accept tokens up to the first that is not the one its draft said, or the last.

        Args:
            row: of the first token; those of the drafts follow it.
        """
        outputs = [self._accept(sequence, chosen[row], row, now_ns)]
        for n_right, draft in enumerate(drafts, 1):
            if sequence.last_token != draft or sequence.state is SequenceState.FINISHED:
                break
            sequence.n_computed += 1
            self.n_accepted += 1
            token = chosen[row + n_right]
            if sequence.sampling.remembers:
                token = self.sampler.sample_again(row + n_right)
            outputs.append(self._accept(sequence, token, row + n_right, now_ns))
        return outputs

    def _accept(self, sequence: Sequence, token: int, row: int, now_ns: int) -> Output:
        """Append a chosen token, and end the sequence if it is the last."""
        if token < 0:
            error = sequence.failure or refusal(token, sequence.n_tokens)
            return self._fail(sequence, error, now_ns)
        sequence.append(token)
        if sequence.first_ns < 0:
            sequence.first_ns = now_ns
        text, reason = read(sequence, token)
        if sequence.failure is not None:
            return self._fail(sequence, sequence.failure, now_ns)
        wanted = sequence.params.logprobs
        if wanted is None:
            output = Output(sequence.request_id, now_ns, token, text, finish_reason=reason)
        else:
            output = Output(
                sequence.request_id,
                now_ns,
                token,
                text,
                float(self.sampler.logprobs[row]),
                self.sampler.top_logprobs(row, wanted) if wanted else (),
                reason,
            )
        if sequence.prompt_logprobs is not None:
            output = output._replace(prompt_logprobs=sequence.prompt_logprobs)
            sequence.prompt_logprobs = None
        if reason is not None:
            output = output._replace(stopped_by=stopped_by(sequence), n_cached=sequence.n_cached)
            self._finish(sequence)
        return output

    def _read_prompt(
        self, chunk: Chunk[Sequence], chosen: list[int], logits: NDArray[np.float32], row: int
    ) -> int:
        """Read what is wanted of a chunk's rows; the row after them."""
        sequence, rows = chunk.sequence, chunk.sequence.prompt_rows
        assert rows is not None
        last = row + rows.n_read(sequence.n_computed, chunk.n_tokens)
        if isinstance(rows, Pooling):
            rows.take(self._program.hidden(len(chosen))[row:last])
        else:
            for each in range(row, last):
                if chosen[each] < 0:
                    sequence.failure = refusal(chosen[each], len(rows.found))
                # As the sampler has it: the best token's is minus the logarithm of the sum.
                behind = logits[each, rows.next_token] - logits[each, max(chosen[each], 0)]
                logprob = float(behind + self.sampler.logprobs[each])
                n = rows.n_logprobs
                rows.take(logprob, self.sampler.top_logprobs(each, n) if n else ())
            if chunk.gives_token:
                sequence.prompt_rows, sequence.prompt_logprobs = None, tuple(rows.found)
        return last

    def _embed(self, sequence: Sequence, now_ns: int) -> Output:
        assert isinstance(sequence.prompt_rows, Pooling)
        pooled = sequence.prompt_rows.pooled()
        self._finish(sequence)
        return Output(
            sequence.request_id,
            now_ns,
            None,
            finish_reason="stop",
            n_cached=sequence.n_cached,
            embedding=pooled,
        )

    def _advance(
        self, sequence: Sequence, search: BeamSearch, token: int, row: int, now_ns: int
    ) -> list[Output]:
        """Let a search have a beam's row, and go on when all beams have theirs."""
        if token < 0:
            search.failure = refusal(token, sequence.n_tokens)
        search.arrive(sequence, self.sampler.top_logprobs(row, 2 * search.width))
        if search.failure or not search.is_level or search.advance(self._scheduler):
            return []
        outputs = list(search.outputs(now_ns))
        self._end_search(search, now_ns, "stop")
        return outputs

    def _end_search(self, search: BeamSearch, now_ns: int, reason: FinishReason) -> list[Output]:
        """Take a search out; what there is to say if it had not come to its end."""
        search.finish(self._scheduler)
        for request_id in search.ids:
            del self._sequences[request_id]
        return [
            Output(request_id, now_ns, None, finish_reason=reason, error=search.failure)
            for request_id in search.ids
        ]

    def _fail(self, sequence: Sequence, error: ForeknownError, now_ns: int) -> Output:
        self._finish(sequence)
        return Output(
            sequence.request_id,
            now_ns,
            None,
            finish_reason="error",
            error=error,
            n_cached=sequence.n_cached,
        )

    def _finish(self, sequence: Sequence) -> None:
        self._scheduler.finish(sequence)
        del self._sequences[sequence.request_id]
