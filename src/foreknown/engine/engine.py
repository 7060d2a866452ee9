"""Runs many requests at once on one program: schedule, run, sample, postprocess.

Not thread-safe: one thread owns an engine. A step releases the interpreter lock while the
program runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Tokens
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foreknown.engine.beam import BeamSearch
from foreknown.engine.block_manager import BlockManager, blocks_for
from foreknown.engine.chunk import Chunk
from foreknown.engine.chunking import Chunking
from foreknown.engine.clock import Clock, MonotonicClock
from foreknown.engine.detokenizer import Detokenizer
from foreknown.engine.drift import NOISE, Drift
from foreknown.engine.flat_batch import FlatBatch
from foreknown.engine.foresight import Foresight, InStep
from foreknown.engine.intake import Intake
from foreknown.engine.integrity import check_integrity
from foreknown.engine.native_sampling import Sampler, refusal
from foreknown.engine.output import FinishReason, Output
from foreknown.engine.program import Program
from foreknown.engine.progress import SequenceState
from foreknown.engine.promises import Foreseen, Promise
from foreknown.engine.prompt_rows import Pooling
from foreknown.engine.reading import last_text, read, restrict, stopped_by
from foreknown.engine.request import Request
from foreknown.engine.scheduler import Scheduler
from foreknown.engine.sequence import Sequence
from foreknown.engine.snapshot import Capacity
from foreknown.engine.speculation import Speculation
from foreknown.engine.stats import Stats
from foreknown.engine.step_times import StepTimes, told_by
from foreknown.engine.step_watch import StepWatch
from foreknown.errors import ForeknownError, RequestError
from foreknown.graph.batch import BLOCK_TOKENS
from foreknown.plan.price import Price, StepShape


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
        price: what a step takes, as forecast; corrected by what the clock shows. None: a cautious
            guess, and nothing is promised.
        noise: how far measurements of this machine stray, as a share.

    Attributes:
        n_steps: steps that were run.
        n_drafted: tokens that were guessed in them.
        n_accepted: guesses that were right, each a token that cost no step of its own.
        drift: how far steps are from what was forecast of them.
        capacity: what its scheduler may use.
    """

    def __init__(
        self,
        program: Program,
        *,
        end_ids: Iterable[int] = (),
        new_detokenizer: Callable[[], Detokenizer] | None = None,
        clock: Clock | None = None,
        speculate: bool = True,
        price: Price | None = None,
        noise: float = NOISE,
    ) -> None:
        self.program = program
        self.end_ids = frozenset(end_ids)
        self.clock: Clock = MonotonicClock() if clock is None else clock
        self.max_length = min(program.context, program.n_blocks * BLOCK_TOKENS)
        self._intake = Intake(program, self.end_ids, new_detokenizer, self.max_length)
        self.blocks = BlockManager(
            program.n_blocks,
            program.max_rows,
            blocks_for(self.max_length),
            tails=program.rewindable,
        )
        told = told_by(price, program.context)
        times = StepTimes(lambda n_tokens: told(n_tokens, n_tokens))
        self.chunking = Chunking(times, told)
        self.speculation = Speculation(times) if speculate and program.rewindable else None
        self.drift = drift = Drift(noise)
        self.scheduler = Scheduler(
            self.blocks,
            program.max_tokens,
            program.max_rows,
            self.speculation,
            self.chunking,
            None if price is None else lambda shape: drift.slowest * price.seconds(shape),
        )
        self._lock = threading.Lock()
        self._in_step = InStep()
        self.capacity = Capacity(
            program.max_tokens, program.max_rows, program.n_blocks, self.max_length
        )
        self._foresight: Foresight | None = None
        if price is not None:
            self._foresight = Foresight(
                self.scheduler,
                self.capacity,
                price,
                self.drift,
                self.clock,
                self._lock,
                self._in_step,
            )
        self._watch = StepWatch(price, self.drift)
        self.sampler = Sampler(program.library, program.vocab_size, program.max_rows)
        self._batch = FlatBatch(program.max_tokens, program.max_rows, self.blocks.tables)
        self._sequences: dict[str, Sequence] = {}
        self._news: list[Output] = []
        self._n_added = 0
        self.n_steps = self.n_drafted = self.n_accepted = 0
        self._step_seconds, self._step_tokens = 0.0, 0

    @property
    def has_work(self) -> bool:
        """Whether a step would give or compute anything."""
        return bool(self._news) or self.scheduler.has_work

    def stats(self) -> Stats:
        """What it is doing now; may be asked from any thread."""
        scheduler, blocks = self.scheduler, self.blocks
        return Stats(
            running=len(scheduler.running),
            waiting=scheduler.n_waiting,
            total_blocks=blocks.n_blocks,
            held_blocks=blocks.n_blocks - blocks.n_free,
            cached_blocks=len(blocks.cached),
            prefix_asked=blocks.n_asked,
            prefix_found=blocks.n_found,
            preemptions=scheduler.n_preemptions,
            step_seconds=self._step_seconds,
            step_tokens=self._step_tokens,
        )

    def company(self) -> StepShape:
        """What a step has beside a newcomer: a token of all that run; from any thread."""
        with self._lock:
            contexts = [sequence.n_tokens for sequence in self.scheduler.running]
        return StepShape(len(contexts), len(contexts), sum(contexts), sum(contexts))

    def check(self, request: Request) -> None:
        """Whether a request can be served; may be asked from any thread.

        Raises:
            RequestError: as `add`, but for its id.
        """
        self._intake.check(request)

    def add(self, request: Request) -> str:
        """Queue a request; returns its id, of several answers the first one's.

        Raises:
            RequestError: the prompt is empty, too long or not in the vocabulary; a parameter
                does not fit this model; the id is in use.
        """
        return self.add_samples(request)[0]

    def add_samples(self, request: Request) -> list[str]:
        """Queue a request; returns an id for each of its answers.

        All share the prompt's blocks: it is computed once, then each draws on its own.

        Raises:
            RequestError: see `add`; nothing is queued then.
        """
        foresight, now_ns = self._foresight, self.clock.now_ns()
        if request.objective is not None:
            if not request.id:
                request = replace(request, id=f"request-{self._n_added}")
            if foresight is None or not foresight.expects(request.id):
                self.reserve(request)
        commitment = None if foresight is None else foresight.take(request.id)
        admitted = self._intake.admit(request, self._n_added, now_ns, self._sequences, commitment)
        self._n_added += admitted.n_numbers
        first, *followers = admitted.sequences
        for i, request_id in enumerate(admitted.ids):
            self._sequences[request_id] = followers[i - 1] if i and followers else first
        with self._lock:
            self.scheduler.add(first, followers)
        return admitted.ids

    def foresee(self, request: Request) -> Foreseen:
        """What a request would take if it came now, at its greatest length.

        Runs nothing; may be asked from any thread.

        Raises:
            RequestError: it could not be served, or the price of steps is not known.
        """
        prompt, max_tokens = self._intake.check(request)
        return self._foresees().foresee(request, len(prompt), max_tokens)

    def check_promise(self, request: Request) -> None:
        """Whether a request could be promised what it wants; nothing is promised.

        Raises:
            NotPromised, RequestError: see `reserve`.
        """
        assert request.objective is not None
        prompt, max_tokens = self._intake.check(request)
        self._foresees().promised(request, request.objective, len(prompt), max_tokens)

    def reserve(self, request: Request) -> Promise:
        """Promise a request what it wants, and keep the time for it until it is added.

        May be asked from any thread, one at a time.

        Args:
            request: with an id and an objective.

        Raises:
            NotPromised: it, or an earlier promise, could not be kept.
            RequestError: it could not be served, or the price of steps is not known.
        """
        assert request.objective is not None
        assert request.id
        prompt, max_tokens = self._intake.check(request)
        self._foresees().reserve(request, request.objective, len(prompt), max_tokens)
        return Promise.of(request.objective)

    def release(self, request_id: str) -> None:
        """Give back the time that was kept for a request which does not come."""
        if self._foresight is not None:
            self._foresight.release(request_id)

    def step(self) -> list[Output]:
        """Run one step; the tokens it gave, in scheduling order."""
        start_ns = self.clock.now_ns()
        if self._foresight is not None:
            self._foresight.look_again(start_ns)
        with self._lock:
            chunks = self.scheduler.schedule(start_ns)
            self._in_step.chunks, self._in_step.start_ns = chunks, start_ns
        self._watch.begin(chunks, start_ns)
        if chunks:
            try:
                self.blocks.copy_blocks(self.program.copy_block)
                batch = self._batch.fill(chunks)
                logits = self.program.step(batch)
                chosen = self._sample(logits, chunks)
                now_ns = self.clock.now_ns()
                with self._lock:
                    outputs = self._postprocess(chunks, chosen, logits, now_ns)
                    self._in_step.chunks = ()
            finally:
                with self._lock:
                    self.scheduler.settle()
                    self._in_step.chunks = ()
            self._learn(len(chunks), len(batch.tokens), len(outputs), now_ns - start_ns)
            if not self.scheduler.has_work:
                self._watch.idle()
            self._news += outputs
        news, self._news = self._news, []
        return news

    def cancel(self, request_id: str) -> bool:
        """End a request now and free its blocks; False if it is not here (any more).

        Its last output, with what text was held back, comes with the next step. The answers of
        a beam search end together.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return False
        now_ns = self.clock.now_ns()
        if sequence.beams is not None:
            with self._lock:
                self._news += self._end_search(sequence.beams, now_ns, "cancelled")
            return True
        text = last_text(sequence)
        with self._lock:
            self._finish(sequence)
        self._news.append(
            Output(
                request_id,
                now_ns,
                None,
                text,
                finish_reason="cancelled",
                n_cached=sequence.n_cached,
            )
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
                own.update(self.add_samples(request))
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

    def _sample(self, logits: NDArray[np.float32], chunks: list[Chunk[Sequence]]) -> list[int]:
        """What follows the last token of each sequence, and each of its drafts."""
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

    def _postprocess(
        self,
        chunks: list[Chunk[Sequence]],
        chosen: list[int],
        logits: NDArray[np.float32],
        now_ns: int,
    ) -> list[Output]:
        outputs: list[Output] = []
        failed: list[BeamSearch] = []
        blocks, row = self.blocks, 0
        for chunk in chunks:
            sequence, n_tokens, drafts = chunk
            gives_token = n_tokens == sequence.n_tokens - sequence.n_computed
            if sequence.prompt_rows is not None:
                row = self._read_prompt(chunk, chosen, logits, row)
            sequence.n_computed += n_tokens
            if sequence.n_computed // BLOCK_TOKENS > sequence.n_registered:
                blocks.register(sequence)
            if not gives_token:
                continue
            if sequence.n_computed == sequence.n_prompt:
                self.scheduler.prompt_computed(sequence)
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
            rows.take(self.program.hidden(len(chosen))[row:last])
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
        if search.failure or not search.is_level or search.advance(self.scheduler):
            return []
        outputs = list(search.outputs(now_ns))
        self._end_search(search, now_ns, "stop")
        return outputs

    def _end_search(self, search: BeamSearch, now_ns: int, reason: FinishReason) -> list[Output]:
        """Take a search out; what there is to say if it had not come to its end."""
        search.finish(self.scheduler)
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

    def _foresees(self) -> Foresight:
        if self._foresight is None:
            raise RequestError(
                "what steps take is not known here, so nothing can be promised or forecast",
                remedy="leave the objective out",
                field="objective",
            )
        return self._foresight

    def _learn(self, n_chunks: int, n_tokens: int, n_outputs: int, took_ns: int) -> None:
        """What a step took and gave, for the decisions about the next ones."""
        self.n_steps += 1
        seconds = took_ns / 1e9
        self._step_seconds, self._step_tokens = seconds, n_tokens
        n_decoding = self.scheduler.n_decoding
        if n_chunks > n_decoding:
            self.chunking.observe(n_decoding, n_tokens, seconds)
        elif self.speculation is not None:
            self.speculation.observe(n_tokens, n_tokens - n_chunks, n_outputs, seconds)
        else:
            self.chunking.observe_decode(n_tokens, seconds)

    def _finish(self, sequence: Sequence) -> None:
        self.scheduler.finish(sequence)
        del self._sequences[sequence.request_id]
