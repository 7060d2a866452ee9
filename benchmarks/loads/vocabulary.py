"""Writes a tokenizer for a random checkpoint: as many tokens as the model has, some of them real.

Byte-level BPE: three special tokens, all bytes, merges learnt from texts, and words that no merge
leads to. Those only fill the vocabulary; as output they are text like any other, which random
weights are as likely to choose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count, islice, product
from pathlib import Path
from string import ascii_lowercase

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>")
"""In the places that make_checkpoint.py's config says: begin is 1, end is 2."""
MERGES = 8000
WORD_START = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
"""How byte-level tokens write a space."""
TEMPLATE = """{%- for message in messages -%}
{{ message['role'] + ': ' + message['content'] + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ 'assistant:' }}
{%- endif -%}
"""


def write_tokenizer(directory: Path, n_tokens: int, texts: Sequence[Path] = ()) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja.

    Args:
        n_tokens: rows of the model's embedding, at least 259.
        texts: files that merges are learnt from; without any, each byte of a text is a token.
    """
    learnt = _learn(texts, min(n_tokens, MERGES + len(SPECIAL) + 256))
    described = json.loads(learnt.to_str())
    vocabulary: dict[str, int] = described["model"]["vocab"]
    fillers = (word for word in _words() if word not in vocabulary)
    for word in islice(fillers, n_tokens - len(vocabulary)):
        vocabulary[word] = len(vocabulary)
    (directory / "tokenizer.json").write_text(json.dumps(described, ensure_ascii=False))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "clean_up_tokenization_spaces": False,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "chat_template.jinja").write_text(TEMPLATE)


def _learn(texts: Sequence[Path], n_tokens: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=[AddedToken(text, special=True, normalized=False) for text in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train([str(path) for path in texts], trainer)
    return tokenizer


def _words() -> Iterator[str]:
    """Words of two letters, of three, and so on."""
    letters = (word for n in count(2) for word in product(ascii_lowercase, repeat=n))
    return (WORD_START + "".join(word) for word in letters)
