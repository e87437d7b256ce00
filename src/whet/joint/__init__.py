"""Where hypergradients and studies meet: a training that a study optimizes, and hypergradient algorithms as methods of a sweep."""
