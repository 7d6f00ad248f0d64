"""The engine: any methods, any targets of one batch, from shared passes."""
