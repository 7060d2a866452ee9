"""HTTP: compiled models behind the interfaces that everyone's clients speak."""
