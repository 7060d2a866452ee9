"""Accuracy by what it takes: tasks with exact checkers, and strategies measured on them."""
