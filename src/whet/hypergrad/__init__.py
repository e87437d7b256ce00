"""Hypergradients: d(validation loss)/d(hyperparameters), within one training run. Needs torch and nothing else."""
