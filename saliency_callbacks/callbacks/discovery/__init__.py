"""The callback that finds the shortcuts that nobody named."""
