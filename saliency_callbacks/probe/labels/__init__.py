"""Class labels: what counts as one, which part of a batch holds them, and what a dataset tells of them."""
