"""Trains the bundled model from seeded synthetic data."""
