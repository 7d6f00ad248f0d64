"""The names under which batches usually hold inputs, labels and masks."""

from __future__ import annotations

import re

__all__ = [
    "IMAGE_KEYS",
    "INPUT_KEYS",
    "LABEL_KEYS",
    "MASK_KEYS",
    "TOKEN_KEYS",
    "names_labels",
    "names_something_else",
]

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

_LABEL_WORDS = {
    *LABEL_KEYS,
    *("class", "classes", "category", "categories", "cls", "lbl"),
    *("gt", "truth", "groundtruth", "annotation"),
    *("diagnosis", "dx", "disease", "pathology", "finding", "findings", "grade", "species", "sentiment"),
}
_OTHER_WORDS = {
    *("mask", "masks", "name", "names", "map", "maps", "box", "boxes", "bbox", "bboxes"),
    *("weight", "weights", "path", "paths", "file", "files", "text", "texts", "description"),
}
_COUNTS = {"n", "num", "number"}
_ID_WORDS = {"id", "ids", "ident", "idx", "index", "indices", "uid", "uuid", "key", "position", "length", "lengths"}


def names_labels(key: object) -> bool:
    """Whether a key says that it holds labels, as ``"gt_label"``, ``"classId"`` and ``"image/class/label"`` do."""
    words = _words(key)
    is_other = words[-1] in _OTHER_WORDS or words[0] in _COUNTS
    return bool(_LABEL_WORDS & set(words)) and not is_other


def names_something_else(key: object) -> bool:
    """Whether a key says that it holds no labels: inputs, masks, boxes, positions, numbers of something."""
    words, name = _words(key), str(key).lower()
    is_input = name in {*INPUT_KEYS, *MASK_KEYS, *TOKEN_KEYS}
    return is_input or words[-1] in _OTHER_WORDS | _ID_WORDS or words[0] in _COUNTS


def _words(key: object) -> list[str]:
    separate = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key)).lower()
    return re.split(r"[^a-z0-9]+", separate.strip("_")) or [""]
