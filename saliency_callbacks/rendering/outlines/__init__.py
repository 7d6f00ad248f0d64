"""Boxes and masks as lines on finished tiles."""
