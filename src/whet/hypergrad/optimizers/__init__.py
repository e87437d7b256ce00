"""The named algorithms with one stateful surface: `step` inside a training loop of your own, or `fit`."""
