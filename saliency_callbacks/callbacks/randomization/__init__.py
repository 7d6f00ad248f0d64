"""Tests by random weights and by permuted labels."""
