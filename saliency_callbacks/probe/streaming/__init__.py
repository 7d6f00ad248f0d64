"""Probes of thousands of samples: read a few at a time, never held at once."""
