"""Attention as a model runs it: seen, differentiated and reduced, without changing its result."""
