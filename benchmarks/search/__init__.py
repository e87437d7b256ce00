"""Search beside its peers: what a suggestion costs, and how good it is."""
