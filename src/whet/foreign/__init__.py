"""Runs that other tools wrote, taken into the store from their files: found, read from where the last look ended, never changed."""
