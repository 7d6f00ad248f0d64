"""Suspected shortcuts that can be put into any sample."""
