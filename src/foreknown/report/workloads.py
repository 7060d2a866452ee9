"""What people use models for, as numbers: how much goes in, how much comes out, what matters.

Lengths are those of ordinary cases, in English words. How fast is fast enough comes from how people
read, wait and talk:

    reading     240 words a minute, silently (Brysbaert, "How many words do we read per minute?",
                2019): a token every 190 ms; half of that leaves room to skim
    waiting     1 s keeps a train of thought, 10 s the attention (Nielsen, "Usability
                Engineering", 1993)
    talking     150 words a minute: a token every 300 ms; answers that begin after half a second
                still feel like a conversation, whose gaps are of 0.2 s (Stivers and others, 2009)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from foreknown.artifact.planned import PlannedModel
from foreknown.engine.promises import Objective
from foreknown.errors import RequestError
from foreknown.machine import Machine
from foreknown.report.forecast import Case, Forecast, forecast, step_price
from foreknown.report.objectives import kept_record

TOKENS_PER_WORD = 4 / 3
"""Of English in vocabularies of today: three words are about four tokens."""
SKIMMING_MS, SPEAKING_MS = 95.0, 300.0


def tokens(words: int) -> int:
    """About how many tokens so many English words are."""
    return round(words * TOKENS_PER_WORD)


@dataclass(frozen=True)
class Workload:
    """One use.

    Attributes:
        words_in: of the prompt.
        words_out: of the answer.
        what: goes in and comes out.
        objective: from when on it is fast enough.
        why: that is so.
    """

    name: str
    words_in: int
    words_out: int
    what: str
    objective: Objective
    why: str

    @property
    def prompt_tokens(self) -> int:
        return tokens(self.words_in)

    @property
    def output_tokens(self) -> int:
        return tokens(self.words_out)

    @property
    def tokens(self) -> int:
        """Of prompt and answer together."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True)
class Expectation:
    """What a workload will take.

    Attributes:
        told: None where the model cannot do it at all.
        why_not: says then why.
    """

    workload: Workload
    told: Forecast | None
    why_not: str = ""

    def record(self) -> dict[str, Any]:
        """As JSON shows it."""
        workload = self.workload
        named = {
            "workload": workload.name,
            "words_in": workload.words_in,
            "words_out": workload.words_out,
            "tokens_per_word": round(TOKENS_PER_WORD, 4),
            "why": workload.why,
        }
        if self.told is None:
            return {**named, "met": None, "why_not": self.why_not}
        return {**self.told.record(), **named, **kept_record(workload.objective, self.told)}


def expectations(
    workloads: Iterable[Workload],
    model: PlannedModel,
    machine: Machine,
    batch: int = 1,
    room_bytes: int | None = None,
) -> Iterator[Expectation]:
    """What each workload will take, of so many users at once; see `forecast`."""
    price = step_price(model, machine)
    for workload in workloads:
        case = Case(workload.prompt_tokens, workload.output_tokens, batch)
        try:
            yield Expectation(workload, forecast(model, machine, case, price, room_bytes))
        except RequestError as error:
            longer = workload.tokens > model.sizes.context
            why_not = f"needs a context of {workload.tokens}" if longer else error.what
            yield Expectation(workload, None, why_not)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "summarise",
            1000,
            100,
            "an article in, a paragraph out",
            Objective(deadline_ms=10_000),
            "the whole summary is what is waited for, and 10 s keep the attention",
        ),
        Workload(
            "chat",
            300,
            150,
            "some turns of a conversation in, the next out",
            Objective(ttft_ms=1_000, tpot_ms=SKIMMING_MS),
            "it begins before the thought is lost, then comes faster than it is read",
        ),
        Workload(
            "rag",
            2000,
            150,
            "a question and the passages found for it in, an answer out",
            Objective(ttft_ms=5_000, tpot_ms=SKIMMING_MS),
            "the search has taken its time too; then it comes faster than it is read",
        ),
        Workload(
            "code",
            1200,
            60,
            "a file around the cursor in, the next lines out",
            Objective(deadline_ms=3_000),
            "lines that come later have been typed by hand",
        ),
        Workload(
            "translate",
            500,
            500,
            "a page in, a page out",
            Objective(ttft_ms=2_000, tpot_ms=SKIMMING_MS),
            "it is read as it comes",
        ),
        Workload(
            "voice",
            100,
            60,
            "what was said in, what to say out",
            Objective(ttft_ms=500, tpot_ms=SPEAKING_MS),
            "a longer pause is no conversation; then it has to keep up with speech",
        ),
    )
}
