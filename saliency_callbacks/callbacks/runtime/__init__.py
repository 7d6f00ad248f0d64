"""What every callback needs, and what it needs of whatever runs the training."""
