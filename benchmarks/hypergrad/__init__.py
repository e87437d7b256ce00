"""Hypergradients beside their peers: whether they are right (``truth``) and what they cost (``cost``)."""
