"""Metrics of scripts that know nothing of Whet: from what they print, and from the files they write."""
