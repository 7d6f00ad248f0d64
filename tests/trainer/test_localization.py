"""Masks and boxes that a monitor finds in its maps, in real trainings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks import Localization, Probe, SaliencyMonitor, Storage, localize
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional import box_iou, mask_boxes, mask_iou
from saliency_callbacks.sinks import MemorySink, read_index, read_maps, read_outlines
from tests.trainer import interference
from tests.trainer.interference import Case, assert_equal
from tests.trainer.runs import Classifier, digits, small_net, train_loader, trainer, val_loader


def _masks() -> torch.Tensor:
    masks = digits(100, 106).tensors[0][:, 0] > 0.5
    masks[2] = False
    return masks


def _probe() -> Probe:
    images, labels = digits(100, 106).tensors
    return Probe.from_tensors(images, labels, masks=_masks())


def _monitor(sink: MemorySink | None = None, **changes: Any) -> SaliencyMonitor:
    given: dict[str, Any] = {"localization": Localization(), "probe": _probe(), "on_error": "raise", **changes}
    return SaliencyMonitor(["gradient", "grad_cam"], sinks=[] if sink is None else [sink], **given)


def _fit(path: Path, monitor: SaliencyMonitor) -> L.Trainer:
    torch.manual_seed(0)
    run = trainer(path, monitor)
    run.fit(Classifier(small_net()), train_loader(), val_loader())
    return run


def test_what_is_found_is_scored_kept_and_monitored(tmp_path: Path) -> None:
    sink = MemorySink()
    run = _fit(tmp_path, _monitor(sink))
    snapshot = [one for one in sink.snapshots if one.attributions][-1]
    images, _ = digits(100, 106).tensors
    for method in ("gradient", "grad_cam"):
        found = snapshot.localized[method]
        alone = localize(snapshot.attributions[method], images)
        assert torch.equal(found.masks, alone.masks), "as without a Trainer"
        shows_nothing = ~found.masks.flatten(1).any(dim=1)
        expected = {
            "region_iou": mask_iou(found.masks, _masks()).masked_fill(shows_nothing, torch.nan),
            "region_box_iou": box_iou(found.boxes, mask_boxes(_masks())),
        }
        for name, values in expected.items():
            tag = f"saliency/{method}/{name}"
            torch.testing.assert_close(snapshot.sample_scores[tag], values, equal_nan=True)
            assert values.isnan()[2], "a sample has no mask"
            assert values.isfinite().any()
            assert snapshot.scores[tag] == pytest.approx(float(values.nanmean()))
            assert tag in run.callback_metrics
    entries = read_index(tmp_path / "saliency")["observations"]
    (entry,) = (one for one in entries if (one["step"], one["stage"]) == (snapshot.step, snapshot.stage))
    _, kept = read_outlines(read_maps(tmp_path / "saliency", entry), entry)
    assert torch.equal(kept["grad_cam"].masks, snapshot.localized["grad_cam"].masks)


def test_without_it_nothing_is_found(tmp_path: Path) -> None:
    sink = MemorySink()
    _fit(tmp_path, _monitor(sink, localization=None))
    assert all(not snapshot.localized for snapshot in sink.snapshots)
    assert not any("_iou" in tag for snapshot in sink.snapshots for tag in snapshot.scores)


class _WithOpenCV(Dataset):
    """Draws from OpenCV's random numbers, as a user's augmentation may."""

    def __init__(self) -> None:
        self._inner = digits(0, 40)

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = self._inner[index]
        noise = cv2.randn(np.zeros((8, 8), np.float32), 0, 0.1)
        return image + torch.from_numpy(noise), label


def _opencv_loaders() -> Any:
    cv2.setRNGSeed(3)
    return DataLoader(_WithOpenCV(), 8, shuffle=True), [val_loader()]


@pytest.mark.parametrize("loaders", [interference.digit_loaders, _opencv_loaders])
def test_training_is_bit_identical(tmp_path: Path, loaders: Any) -> None:
    sink, case = MemorySink(), Case(loaders=loaders)
    plain = case.final_state(tmp_path)
    n_threads = cv2.getNumThreads()
    observed = case.final_state(tmp_path, lambda: _monitor(sink, storage=Storage(save_maps=False)))
    assert_equal(plain, observed)
    assert cv2.getNumThreads() == n_threads
    assert sink.snapshots[1].localized["gradient"].masks.any()


def _bright(images: torch.Tensor) -> torch.Tensor:
    return images[:, 0] > 0.5


def test_all_samples_of_a_large_probe_are_scored(tmp_path: Path) -> None:
    few, whole = MemorySink(), MemorySink()
    for sink, shown in ((few, 4), (whole, 20)):
        _fit(tmp_path, _monitor(sink, probe=Probe(20, shown=shown, masks=_bright)))
    for one, other in zip(few.snapshots[:-1], whole.snapshots[:-1], strict=True):
        assert len(one.localized["gradient"].masks) == 4
        tags = [tag for tag in other.scores if "_iou" in tag]
        assert tags
        assert {tag: one.scores[tag] for tag in tags} == pytest.approx(
            {tag: other.scores[tag] for tag in tags}, nan_ok=True
        )


def test_what_cannot_be_localized_is_an_error_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    run = trainer(tmp_path, _monitor(on_error="warn"))
    with pytest.raises(ConfigurationError, match=r"pip install 'saliency-callbacks\[localization\]'"):
        run.fit(Classifier(small_net()), train_loader(), val_loader())
    assert run.global_step == 0


def test_settings_may_be_a_mapping_and_are_named_where_they_belong() -> None:
    monitor = SaliencyMonitor(localization={"mask": "otsu"})
    assert monitor.localization == Localization("otsu")
    with pytest.raises(ConfigurationError, match=r"localization=Localization\(mask=…\)"):
        SaliencyMonitor(mask="otsu")
