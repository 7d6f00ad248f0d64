"""What keeps an explanation from changing the model or the training."""
