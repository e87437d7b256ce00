"""Searchers, one a file: values in, suggestions out."""
