"""A detected object as a target."""
