"""The engine's sampler, for strategies that run on an engine."""

from __future__ import annotations

from tests.engine.conftest import build_sampler, library

__all__ = ["build_sampler", "library"]
