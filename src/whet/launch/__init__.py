"""Executors, one a file: they start, poll and cancel commands, and know nothing of trials."""
