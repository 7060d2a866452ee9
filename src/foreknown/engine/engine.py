"""Runs many requests at once on one program: schedule, run, sample, postprocess.

Not thread-safe: one thread owns an engine. A step releases the interpreter lock while the
program runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Tokens

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.block_manager import BlockManager, blocks_for
from foreknown.engine.clock import Clock, MonotonicClock
from foreknown.engine.detokenizer import Detokenizer, NoText
from foreknown.engine.flat_batch import FlatBatch
from foreknown.engine.integrity import check_integrity
from foreknown.engine.native_sampling import Sampler, refusal
from foreknown.engine.output import FinishReason, Output
from foreknown.engine.program import Program
from foreknown.engine.request import Request
from foreknown.engine.scheduler import Chunk, Scheduler
from foreknown.engine.sequence import Sequence, SequenceState
from foreknown.engine.speculation import Speculation
from foreknown.engine.step_times import StepTimes, unmeasured
from foreknown.errors import RequestError
from foreknown.graph.batch import BLOCK_TOKENS, Batch


class Engine:
    """Continues prompts.

    Args:
        program: the compiled model.
        end_ids: the model's end-of-sequence tokens.
        new_detokenizer: makes a streaming detokenizer for each sequence; None: outputs have
            no text, and stop strings are refused.
        clock: what the time is.
        speculate: guess tokens from those before, and compute the guesses along in one step,
            where that gives more tokens a second. Outputs are the same, only sooner.
        step_seconds: what a step of so many decode tokens takes, as forecast; corrected by what
            the clock shows. None: a cautious guess.

    Attributes:
        n_steps: steps that were run.
        n_drafted: tokens that were guessed in them.
        n_accepted: guesses that were right, each a token that cost no step of its own.
    """

    def __init__(
        self,
        program: Program,
        *,
        end_ids: Iterable[int] = (),
        new_detokenizer: Callable[[], Detokenizer] | None = None,
        clock: Clock | None = None,
        speculate: bool = True,
        step_seconds: Callable[[int], float] | None = None,
    ) -> None:
        self.program = program
        self.end_ids = frozenset(end_ids)
        self.clock: Clock = MonotonicClock() if clock is None else clock
        self._new_detokenizer = new_detokenizer
        longest = min(program.context, program.n_blocks * BLOCK_TOKENS)
        self.max_length = longest
        blocks = BlockManager(program.n_blocks, program.max_rows, blocks_for(longest))
        self.speculation = None
        if speculate and program.rewindable:
            self.speculation = Speculation(StepTimes(step_seconds or unmeasured))
        self.scheduler = Scheduler(blocks, program.max_tokens, program.max_rows, self.speculation)
        self.sampler = Sampler(program.library, program.vocab_size, program.max_rows)
        self._batch = FlatBatch(program.max_tokens, program.max_rows, blocks.tables)
        self._sequences: dict[str, Sequence] = {}
        self._news: list[Output] = []
        self._n_added = 0
        self.n_steps = self.n_drafted = self.n_accepted = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would give or compute anything."""
        return bool(self._news) or self.scheduler.has_work

    def add(self, request: Request) -> str:
        """Queue a request; returns its id.

        Raises:
            RequestError: the prompt is empty, too long or not in the vocabulary; a parameter
                does not fit this model; the id is in use.
        """
        params = request.params
        params.check_vocabulary(self.program.vocab_size)
        prompt = self._check_prompt(request)
        room = self.max_length - len(prompt)
        if params.max_tokens is not None and params.max_tokens > room:
            raise RequestError(
                f"max_tokens is {params.max_tokens}, but after a prompt of {len(prompt)} tokens "
                f"there is room for {room}",
                remedy=f"ask for at most {room} tokens, or compile with a longer --context",
            )
        if params.min_tokens > room:
            raise RequestError(
                f"min_tokens is {params.min_tokens}, but after a prompt of {len(prompt)} tokens "
                f"there is room for {room}",
                remedy=f"ask for at most {room} tokens",
            )
        if params.stop and self._new_detokenizer is None:
            raise RequestError(
                "stop strings are given to an engine without a tokenizer",
                remedy="use stop_token_ids",
            )
        request_id = request.id or f"request-{self._n_added}"
        if request_id in self._sequences:
            raise RequestError(
                f"the request id {request_id!r} is in use", remedy="give each request its own id"
            )
        seed = int.from_bytes(os.urandom(8)) if params.seed is None else params.seed % 2**64
        own_ends = frozenset() if params.ignore_eos else self.end_ids
        sequence = Sequence(
            request_id=request_id,
            number=self._n_added,
            arrival_ns=self.clock.now_ns(),
            prompt=prompt,
            max_tokens=room if params.max_tokens is None else params.max_tokens,
            params=params,
            stop_ids=own_ends | frozenset(params.stop_token_ids),
            seed=seed,
            detokenizer=self._new_detokenizer() if self._new_detokenizer else NoText(),
        )
        self._n_added += 1
        self._sequences[request_id] = sequence
        self.scheduler.add(sequence)
        return request_id

    def step(self) -> list[Output]:
        """Run one step; the tokens it gave, in scheduling order."""
        news, self._news = self._news, []
        start_ns = self.clock.now_ns()
        chunks = self.scheduler.schedule(start_ns)
        if chunks:
            try:
                batch = self._batch.fill(chunks)
                chosen = self._sample(self.program.step(batch), chunks)
                now_ns = self.clock.now_ns()
                outputs = self._postprocess(chunks, chosen, now_ns)
            finally:
                self.scheduler.settle()
            self._learn(batch, len(chunks), len(outputs), now_ns - start_ns)
            news += outputs
        return news

    def cancel(self, request_id: str) -> bool:
        """End a request now and free its blocks; False if it is not here (any more).

        Its last output, with what text was held back, comes with the next step.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return False
        text = self._last_text(sequence)
        self._finish(sequence)
        self._news.append(
            Output(request_id, self.clock.now_ns(), None, text, finish_reason="cancelled")
        )
        return True

    def generate(self, requests: Iterable[Request]) -> Iterator[Output]:
        """Queue requests and run steps until they are finished; gives their outputs as they come.

        For a caller that has the engine to itself: outputs of other requests are dropped.
        Closing the iterator cancels what is not finished.

        Raises:
            RequestError: a request is refused (none stays queued then).
            ForeknownError: a request ended in an error.
        """
        own: set[str] = set()
        try:
            for request in requests:
                own.add(self.add(request))
            while own:
                for output in self.step():
                    if output.request_id not in own:
                        continue
                    if output.finish_reason is not None:
                        own.discard(output.request_id)
                    if output.error is not None:
                        raise output.error
                    yield output
        finally:
            for request_id in own:
                self.cancel(request_id)

    def check_integrity(self) -> None:
        """Check that no block or sequence is lost; callable between any two steps.

        Raises:
            IntegrityError: one is.
        """
        check_integrity(self.scheduler)

    def _check_prompt(self, request: Request) -> NDArray[np.int32]:
        try:
            prompt = np.asarray(request.prompt)
        except ValueError:
            prompt = np.zeros((0, 0))
        if prompt.ndim != 1 or (prompt.size and prompt.dtype.kind not in "iu"):
            raise RequestError("the prompt is not a list of token ids", remedy="give token ids")
        if not prompt.size:
            raise RequestError("the prompt is empty", remedy="give at least one token")
        if len(prompt) >= self.max_length:
            raise RequestError(
                f"the prompt has {len(prompt)} tokens, but prompt and output together may have "
                f"{self.max_length}",
                remedy="shorten the prompt, or compile with a longer --context",
            )
        vocab_size = self.program.vocab_size
        if prompt.min() < 0 or prompt.max() >= vocab_size:
            worst = int(prompt.min() if prompt.min() < 0 else prompt.max())
            raise RequestError(
                f"token {worst} of the prompt is not in the vocabulary (0 to {vocab_size - 1})",
                remedy="use the model's own tokenizer",
            )
        return prompt.astype(np.int32)

    def _sample(self, logits: NDArray[np.float32], chunks: list[Chunk]) -> list[int]:
        """What follows the last token of each sequence, and each of its drafts."""
        samplings, positions = [], []
        for chunk in chunks:
            sequence, _, drafts = chunk
            if chunk.gives_token:
                for position in range(sequence.n_tokens, sequence.n_tokens + len(drafts) + 1):
                    samplings.append(sequence.sampling)
                    positions.append(position)
        return self.sampler.sample(logits, samplings, positions)

    def _postprocess(self, chunks: list[Chunk], chosen: list[int], now_ns: int) -> list[Output]:
        outputs: list[Output] = []
        row = 0
        for chunk in chunks:
            sequence, n_tokens, drafts = chunk
            gives_token = chunk.gives_token
            sequence.n_computed += n_tokens
            if gives_token:
                outputs += self._verify(sequence, drafts, chosen, row, now_ns)
                row += len(drafts) + 1
                self.n_drafted += len(drafts)
        return outputs

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
            error = refusal(token, sequence.n_tokens)
            self._finish(sequence)
            return Output(sequence.request_id, now_ns, None, finish_reason="error", error=error)
        sequence.append(token)
        text, reason = self._read(sequence, token)
        if reason is not None:
            self._finish(sequence)
        wanted = sequence.params.logprobs
        if wanted is None:
            return Output(sequence.request_id, now_ns, token, text, finish_reason=reason)
        return Output(
            sequence.request_id,
            now_ns,
            token,
            text,
            float(self.sampler.logprobs[row]),
            self.sampler.top_logprobs(row, wanted) if wanted else (),
            reason,
        )

    def _read(self, sequence: Sequence, token: int) -> tuple[str, FinishReason | None]:
        """The text that a token lets be shown, and whether the sequence ends with it."""
        if token in sequence.stop_ids:
            return self._last_text(sequence), "stop"
        n_output = sequence.n_output
        text = sequence.detokenizer.push(token)
        if n_output > sequence.params.min_tokens:
            text = sequence.stop_strings.push(text)
            if sequence.stop_strings.stopped:
                return text, "stop"
        if n_output == sequence.max_tokens:
            text += self._last_text(sequence)
            return text, "stop" if sequence.stop_strings.stopped else "length"
        return text, None

    def _last_text(self, sequence: Sequence) -> str:
        """What detokenizer and stop strings held back, now that no more tokens will come."""
        stops = sequence.stop_strings
        return stops.push(sequence.detokenizer.finish()) + stops.finish()

    def _learn(self, batch: Batch, n_chunks: int, n_outputs: int, took_ns: int) -> None:
        """What a step took and gave, for the drafts of the next ones; prompts teach nothing."""
        self.n_steps += 1
        n_tokens = len(batch.tokens)
        if self.speculation is not None and n_tokens == len(batch.rows):
            n_drafts = n_tokens - n_chunks
            self.speculation.observe(n_tokens, n_drafts, n_outputs, took_ns / 1e9)

    def _finish(self, sequence: Sequence) -> None:
        self.scheduler.finish(sequence)
        del self._sequences[sequence.request_id]
