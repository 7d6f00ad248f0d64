"""Tensor mathematics of images alone: blurs, templates, properties of whole images, and other sizes."""
