"""Which names say that a part of a batch holds labels."""

from __future__ import annotations

import pytest

from saliency_callbacks.config.batch_names import names_labels, names_something_else


@pytest.mark.parametrize(
    "name",
    [
        *("label", "Labels", "target", "y", "gt", "gt_label", "ground_truth", "groundTruth", "category", "category_id"),
        *("class_id", "classId", "class_idx", "cls", "diagnosis", "dx", "fine_label", "image/class/label", "label.cls"),
        *("disease", "species", "sentiment", "diagnosis_code", "_label"),
    ],
)
def test_names_of_labels(name: str) -> None:
    assert names_labels(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "image",
            "id",
            "idx",
            "age",
            "gt_mask",
            "gt_boxes",
            "gt_bboxes",
            "class_name",
            "category_names",
            "num_classes",
        ),
        *("class_weights", "label_path", "target_text", "n_classes", "", "_", 3),
    ],
)
def test_other_names(name: object) -> None:
    assert not names_labels(name)


@pytest.mark.parametrize(
    "name", ["image", "masks", "input_ids", "patient_id", "ident", "idx", "num_classes", "gt_boxes"]
)
def test_what_holds_no_labels(name: str) -> None:
    assert names_something_else(name)
    assert not names_something_else("sex")
