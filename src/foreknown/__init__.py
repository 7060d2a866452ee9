"""Foreknown compiles a trained language model into a program whose cost is known before it runs."""

__version__ = "0.4.0"
