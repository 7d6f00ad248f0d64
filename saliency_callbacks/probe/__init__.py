"""What is explained: the probe batch, chosen once and frozen."""

from saliency_callbacks.config.nested import copy_inputs, fingerprint
from saliency_callbacks.cues.basic import BrightnessCue, ChannelShiftCue, FunctionCue, PatchCue
from saliency_callbacks.cues.pictures import BackgroundCue, ImageCue
from saliency_callbacks.cues.token import TokenCue
from saliency_callbacks.probe.batch import ProbeBatch, freeze
from saliency_callbacks.probe.labels.classes import class_indices, dataset_labels
from saliency_callbacks.probe.loaders import candidate_indices
from saliency_callbacks.probe.metadata import class_names, normalization
from saliency_callbacks.probe.probe import Probe
from saliency_callbacks.probe.selection import stratified
from saliency_callbacks.probe.unpack import unpack_batch
from saliency_callbacks.text.token_texts import TokenTexts, token_texts

__all__ = [
    "BackgroundCue",
    "BrightnessCue",
    "ChannelShiftCue",
    "FunctionCue",
    "ImageCue",
    "PatchCue",
    "Probe",
    "ProbeBatch",
    "TokenCue",
    "TokenTexts",
    "candidate_indices",
    "class_indices",
    "class_names",
    "copy_inputs",
    "dataset_labels",
    "fingerprint",
    "freeze",
    "normalization",
    "stratified",
    "token_texts",
    "unpack_batch",
]
