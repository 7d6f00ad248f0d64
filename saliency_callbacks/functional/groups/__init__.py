"""Classes and groups of values: which stand apart, and by how much."""
