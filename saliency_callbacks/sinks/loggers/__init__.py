"""One sink for each logger."""
