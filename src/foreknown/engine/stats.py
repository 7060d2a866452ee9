"""What an engine is doing now, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """An engine at one moment; counters go up from its start.

    Attributes:
        running: sequences that hold blocks.
        waiting: sequences that do not.
        total_blocks: of 16 tokens.
        held_blocks: of these, held by sequences.
        cached_blocks: free ones whose state may be found again.
        prefix_asked: tokens of prompts that were looked for in the prefix cache (counter).
        prefix_found: those that were there (counter).
        preemptions: sequences that gave way and were computed again (counter).
        step_seconds: what the last step took.
        step_tokens: tokens of it.
    """

    running: int
    waiting: int
    total_blocks: int
    held_blocks: int
    cached_blocks: int
    prefix_asked: int
    prefix_found: int
    preemptions: int
    step_seconds: float
    step_tokens: int
