"""What hypergradients are good for, on real data. Each module is a program: ``python -m experiments.hypergrad.NAME --help``."""
