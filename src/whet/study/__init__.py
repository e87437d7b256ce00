"""Studies: where searcher, stopper and store meet, and their Python handle."""
