"""The pieces of the benchmarks that load a server: who asks, who answers, and what is measured."""
