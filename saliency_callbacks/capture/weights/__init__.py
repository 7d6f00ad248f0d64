"""The weights of a live model, re-drawn layer by layer and restored."""
