"""One adapter for each logger."""
