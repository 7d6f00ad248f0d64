"""Raw maps on disk, and how they are read back."""
