"""The contents of files by their SHA-256: a folder, or any place that fsspec knows."""
