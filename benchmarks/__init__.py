"""Benchmarks beside the peers, each a module: ``python -m benchmarks.logging --quick``."""
