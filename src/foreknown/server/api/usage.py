"""Tokens that were counted, as OpenAI's clients read them."""

from __future__ import annotations

from typing import Any

from foreknown.server.api.fields import StreamOptions
from foreknown.server.underway import Usage


def usage_record(usage: Usage) -> dict[str, Any]:
    """Of a whole response."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def usage_in_chunk(options: StreamOptions, usage: Usage) -> dict[str, Any]:
    """What a chunk says of tokens: nothing, that it will be said, or how many so far."""
    if options.continuous_usage_stats:
        return {"usage": usage_record(usage)}
    return {"usage": None} if options.include_usage else {}
