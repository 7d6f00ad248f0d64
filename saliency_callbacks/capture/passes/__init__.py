"""Runs passes over a model, and keeps of each what the methods asked for."""
