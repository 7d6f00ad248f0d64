"""Generators of candidates in images: copies, places and properties."""
