"""Randomization tests without a Trainer: do maps depend on the weights, and on the labels?"""

from saliency_callbacks.randomization.data_result import DataRandomizationResult
from saliency_callbacks.randomization.result import RandomizationResult
from saliency_callbacks.randomization.run import randomization_test

__all__ = ["DataRandomizationResult", "RandomizationResult", "randomization_test"]
