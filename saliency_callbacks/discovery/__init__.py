"""Finding the shortcuts that nobody named."""
