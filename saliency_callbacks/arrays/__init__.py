"""Mathematics of maps on NumPy alone, for processes that read what a training left and have no use for torch."""
