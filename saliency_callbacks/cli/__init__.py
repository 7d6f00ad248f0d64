"""The command line: ``saliency-callbacks demo | dismiss | methods | replay | report | shortcuts | view``."""

from saliency_callbacks.cli.program import build_parser, main

__all__ = ["build_parser", "main"]
