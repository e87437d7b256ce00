"""Analysis, one question a file: trials in, plain data out."""
