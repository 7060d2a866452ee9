"""Strategies: ways to spend more than one generation on one question."""
