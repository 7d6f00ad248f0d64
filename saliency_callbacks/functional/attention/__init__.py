"""Attention: its weights as they are computed, and what they and their gradients say of each token."""
