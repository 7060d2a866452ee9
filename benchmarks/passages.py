"""Texts that each model is judged on: what it was trained for, and what it can at least spell.

bundled                   worked replies to problems of the test split, chat markup included
stories260K, babyllama    stories that they tell themselves in f32, and the Grimms' tales
any other checkpoint      a text file
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from divergence import Passage

from foreknown.artifact import Artifact, load_program
from foreknown.checkpoint import open_checkpoint
from foreknown.checkpoint.tokenizer import Tokenizer
from foreknown.engine import Engine, Request, SamplingParams

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "src/foreknown/bundled"
SHARED = ROOT.parent / "shared/data"
TALES = SHARED / "text/grimms_fairy_tales.txt"
STORIES = 16
"""Stories that a model tells: from each beginning as many, each with its own seed."""
PROBLEM_SEED = 7
LEAST_TOKENS = 16


def problems(most_tokens: int) -> list[Passage]:
    """Conversations about problems that the bundled model was never shown; replies are judged."""
    sys.path.append(str(ROOT))  # training/ lies beside benchmarks/
    from foreknown.evaluation.problems import KINDS, draw
    from training.chat_format import conversation, lesson

    tokenizer = open_checkpoint(BUNDLED).tokenizer.backend
    lessons = (
        lesson(conversation(draw(kind, "test", PROBLEM_SEED, index)), tokenizer, most_tokens)
        for index in range(most_tokens)
        for kind in KINDS.values()
    )
    return cut((Passage(tuple(one.tokens), tuple(one.learned)) for one in lessons), most_tokens)


def own_stories(artifact: Artifact, beginnings: Path, most_tokens: int) -> list[Passage]:
    """What a model tells when drawn from its own distribution, from the beginnings in a file."""
    prompts = [case["prompt_ids"] for case in json.loads(beginnings.read_text())["cases"]]
    length = artifact.manifest.sizes.context
    requests = [
        Request(
            prompts[number % len(prompts)],
            SamplingParams(max_tokens=length // 2, seed=number, ignore_eos=True),
            id=str(number),
        )
        for number in range(STORIES)
    ]
    stories = {request.id: list(request.prompt) for request in requests}
    with load_program(artifact, sequences=len(requests)).program as program:
        for output in Engine(program).generate(requests):
            if output.token is not None:
                stories[output.request_id].append(output.token)
    return cut((whole(story) for story in stories.values()), most_tokens)


def file_text(path: Path, checkpoint: Path, context: int, most_tokens: int) -> list[Passage]:
    """Paragraphs of a text file, joined until they fill a context; those left out that the
    tokenizer cannot spell."""
    tokenizer = open_checkpoint(checkpoint).tokenizer
    paragraphs = (re.sub(r"\s+", " ", p).strip() for p in path.read_text().split("\n\n"))
    tokens: list[int] = []
    for paragraph in paragraphs:
        tokens += spelled(tokenizer, paragraph)
        if len(tokens) >= most_tokens:
            break
    starts = range(0, len(tokens), context)
    return cut((whole(tokens[start : start + context]) for start in starts), most_tokens)


def spelled(tokenizer: Tokenizer, text: str) -> list[int]:
    """A text's tokens, none if they do not give the text back."""
    tokens = tokenizer.encode(text, add_special_tokens=False)
    return tokens if tokenizer.backend.decode(tokens).strip() == text else []


def whole(tokens: list[int]) -> Passage:
    """A passage that is judged throughout."""
    return Passage(tuple(tokens), (True,) * len(tokens))


def cut(passages: Iterable[Passage], most_tokens: int) -> list[Passage]:
    """The first passages, of so many tokens together; too short ones are left out."""
    found: list[Passage] = []
    n = 0
    for passage in passages:
        if len(passage.tokens) < LEAST_TOKENS:
            continue
        n += len(passage.tokens)
        if found and n > most_tokens:
            break
        found.append(passage)
    return found
