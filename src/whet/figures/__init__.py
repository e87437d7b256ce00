"""Figures of a sweep, one a file: on paper (matplotlib), on a terminal (text), or as plain data."""
