"""Experiments on real data, each a module."""
