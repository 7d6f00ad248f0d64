"""Text inputs: the layer that embeds their ids, and gradients at its output."""
