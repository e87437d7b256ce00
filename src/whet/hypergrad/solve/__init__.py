"""Linear solvers: Aᵀq = v for a matrix that is only known by its products. One solver a file."""
