"""The names under which batches usually hold inputs, labels and masks."""

from __future__ import annotations

__all__ = ["IMAGE_KEYS", "INPUT_KEYS", "LABEL_KEYS", "MASK_KEYS", "TOKEN_KEYS", "names_labels"]

INPUT_KEYS = ("image", "images", "pixel_values", "input", "inputs", "x", "img", "data", "input_values")
"""Keys, in any case, under which a batch dictionary holds what the model is given."""

LABEL_KEYS = ("label", "labels", "target", "targets", "y")
"""Keys, in any case, under which a batch dictionary holds the labels; the first that holds class labels counts."""

IMAGE_KEYS = ("image", "images", "pixel_values", "img")
"""Those of :data:`INPUT_KEYS` that say that it is an image, which masks can be of."""

MASK_KEYS = ("mask", "masks")
"""Keys, in any case, under which a batch dictionary holds the region of interest of each image."""

TOKEN_KEYS = ("input_ids", "inputs_embeds", "attention_mask", "token_type_ids", "position_ids")
"""Keys under which a batch dictionary holds what a text model is given, as of Hugging Face's tokenizers."""

_LABEL_WORDS = {*LABEL_KEYS, "class", "classes", "category", "cls"}


def names_labels(key: object) -> bool:
    """Whether a key says that it holds labels, as ``"gt_label"`` and ``"fine_label"`` do."""
    words = str(key).lower().split("_")
    return bool(_LABEL_WORDS & set(words)) and words[-1] not in {"mask", "masks", "name", "names"}
