"""Scripts as they are: their flags found, values read from the command line, the command of a trial made."""
