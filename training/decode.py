"""Greedy decoding of many prompts at once with a key-value cache."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from training.chat_format import END, END_OF_TEXT
from training.model import Llama, Shape

_ROWS = 125


class Decoder:
    """A checkpoint that answers prompts."""

    def __init__(self, checkpoint: Path, device: str) -> None:
        self.device = device
        self.tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        self.ends = {self.tokenizer.token_to_id(token) for token in (END, END_OF_TEXT)}
        self.model = Llama(Shape()).to(device).eval()
        self.model.load_state_dict(load_file(checkpoint / "model.safetensors"))

    def replies(self, prompts: list[str], max_tokens: int = 512) -> list[str]:
        """The greedy reply to each prompt text, in their order."""
        encoded = [self.tokenizer.encode(prompt).ids for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda index: len(encoded[index]))
        replies = [""] * len(prompts)
        for start in range(0, len(order), _ROWS):
            chosen = order[start : start + _ROWS]
            generated = self._generate([encoded[index] for index in chosen], max_tokens)
            for index, tokens in zip(chosen, generated, strict=True):
                replies[index] = self.tokenizer.decode(tokens)
        return replies

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], max_tokens: int) -> list[list[int]]:
        """Prompts are padded at the front, and the padding masked, so that all end together."""
        rows, length = len(prompts), max(map(len, prompts))
        tokens = torch.zeros((rows, length), dtype=torch.long, device=self.device)
        seen = torch.zeros((rows, length), dtype=torch.bool, device=self.device)
        for row, prompt in enumerate(prompts):
            tokens[row, length - len(prompt) :] = torch.tensor(prompt)
            seen[row, length - len(prompt) :] = True
        positions = (seen.cumsum(1) - 1).clamp(min=0)
        causal = torch.ones((length, length), dtype=torch.bool, device=self.device).tril()
        # A padding token looks at itself, for a softmax over nothing is not a number.
        alone = torch.eye(length, dtype=torch.bool, device=self.device)
        mask = (causal & seen[:, None, :] | alone)[:, None]
        hidden, cache = self.model.hidden(tokens, positions, None, mask)
        replies: list[list[int]] = [[] for _ in prompts]
        open_rows = set(range(rows))
        position = positions[:, -1:]
        for _ in range(max_tokens):
            chosen = self.model.logits(hidden[:, -1]).argmax(-1)
            for row in list(open_rows):
                token = int(chosen[row])
                if token in self.ends:
                    open_rows.remove(row)
                else:
                    replies[row].append(token)
            if not open_rows:
                break
            position = (position + 1).clamp(max=self.model.shape.context_tokens - 1)
            seen = torch.cat((seen, torch.ones_like(seen[:, :1])), dim=1)
            hidden, cache = self.model.hidden(
                chosen[:, None], position, cache, seen[:, None, None, :]
            )
        return replies
