"""Masks and boxes from maps alone: where a map says that the object is."""
