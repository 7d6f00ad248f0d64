"""Saliency methods: each declares the passes it needs, and reduces their evidence to a map."""

from saliency_callbacks.methods import registry
from saliency_callbacks.methods.registry import *  # noqa: F403

__all__ = registry.__all__
