"""The monitor of images, signals and volumes."""
