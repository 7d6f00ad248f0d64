"""Tests of how much of the explained score a map accounts for."""
