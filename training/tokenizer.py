"""Builds the byte-level BPE tokenizer from generated conversations.

Every digit is its own token, so numbers are spelled, and so is every operator (alone or with the
spaces around it).
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from foreknown.evaluation.problems import KINDS, draw
from training.chat_format import END, END_OF_TEXT, START, opening

VOCABULARY = 2048
_SAMPLES_PER_KIND = 6000
_PIECES = (
    r"\d| [+\-*/=×÷] | ?[+\-*/=×÷]|'(?:s|t|re|ve|m|ll|d)| ?\p{L}+"  # noqa: RUF001
    r"| ?[^\s\p{L}\d+\-*/=×÷]+|\s+(?!\S)|\s+"  # noqa: RUF001
)
# What a person may type although no problem holds it; kept so that such text is not all bytes.
_PLAIN_WORDS = (
    "system You are a helpful assistant. Answer briefly. Think step by step. Explain your answer. "
    "the of and to in is that it was for on are with as his they at be this from have or by one "
    "had not but what all were when we there can an your which their said if do will each about "
    "how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find "
    "use may water long little very after words called just where most know number problem "
)


def _corpus(seed: int) -> Iterator[str]:
    """Texts without the special tokens, which are no part of any merge."""
    for kind in (kind for kind in KINDS.values() if kind.share > 0):
        for index in range(_SAMPLES_PER_KIND):
            problem = draw(kind, "train", seed, index)
            for message in problem.prompt:
                yield opening(message.role).removeprefix(START)
                yield message.text
            yield opening("assistant").removeprefix(START)
            yield problem.solution
    for word_case in (_PLAIN_WORDS, _PLAIN_WORDS.title()):
        yield from [word_case] * 3


def build_tokenizer(seed: int) -> Tokenizer:
    """The same tokenizer for the same seed: at most 2,048 entries, all 256 bytes among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(seed), trainer)
    return tokenizer
