"""Differentiable weight updates, equal to their `torch.optim` namesakes. One update a file."""
