"""Detectors, segmenters and models of pictures and texts, in a Trainer, each with one of the targets with names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import pytest
import segmentation_models_pytorch as smp
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.models.segmentation import DeepLabV3
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead
from torchvision.ops import MultiScaleRoIAlign
from transformers import (
    CLIPConfig,
    CLIPModel,
    DetrConfig,
    DetrForObjectDetection,
    PreTrainedTokenizerFast,
    ResNetConfig,
)

from saliency_callbacks import Appearance, ModelReading, Probe, RandomizationTest, SaliencyMonitor, explain
from saliency_callbacks.callbacks.randomization.settings import Cascade
from saliency_callbacks.errors import ConfigurationError, OutputError, ProbeError, TargetError
from saliency_callbacks.methods import ExternalMethod
from saliency_callbacks.sinks import MemorySink
from saliency_callbacks.targets import ContrastTarget, DetectionTarget, SegmentationTarget, SimilarityTarget

pytestmark = pytest.mark.filterwarnings("ignore::saliency_callbacks.errors.SaliencyWarning")

_N = 4
_SIZE = 64


class Shapes(Dataset):
    """A square of one of two colors in each picture, with what a task wants to know of it."""

    def __init__(self, task: str, *, sizes: tuple[int, ...] = (_SIZE,)) -> None:
        self.task = task
        self.sizes = sizes

    def __len__(self) -> int:
        return _N

    def __getitem__(self, index: int) -> Any:
        size = self.sizes[index % len(self.sizes)]
        generator = torch.Generator().manual_seed(index)
        image = torch.rand(3, size, size, generator=generator) / 5
        x, y = torch.randint(4, 36, (2,), generator=generator).tolist()
        label = index % 2
        image[label, y : y + 20, x : x + 20] = 1
        mask = torch.zeros(size, size, dtype=torch.long)
        mask[y : y + 20, x : x + 20] = label + 1
        box = torch.tensor([[x, y, x + 20.0, y + 20.0]])
        if self.task == "queries":
            center = torch.tensor([[x + 10.0, y + 10.0, 20, 20]]) / size
            return {"pixel_values": image, "labels": {"class_labels": torch.tensor([label]), "boxes": center}}
        return {
            "boxes": (image, {"boxes": box, "labels": torch.tensor([label + 1]), "masks": (mask > 0)[None]}),
            "mask": {"image": image, "mask": mask},
            "label": (image, label),
            "texts": {"pixel_values": image, "input_ids": torch.tensor([1, 2 + label, 7])},
        }[self.task]

    def loader(self) -> DataLoader:
        collate = {"boxes": _zipped, "queries": _queries}.get(self.task)
        return DataLoader(self, 2, collate_fn=collate)


def _zipped(items: list[Any]) -> Any:
    return tuple(zip(*items, strict=True))


def _queries(items: list[Any]) -> Any:
    return {
        "pixel_values": torch.stack([item["pixel_values"] for item in items]),
        "labels": [item["labels"] for item in items],
    }


class Task(L.LightningModule):
    """Trains any model by a function of it and a batch."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.loss(self.model, batch)

    def validation_step(self, batch: Any, index: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Pictures(nn.Module):
    """A model of pictures and texts that is given pictures only."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = clip()

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.clip.get_image_features(pixel_values).pooler_output


def _backbone() -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)]
    backbone = nn.Sequential(*layers, nn.ReLU())
    backbone.out_channels = 8
    return backbone


def faster_rcnn() -> nn.Module:
    return FasterRCNN(
        _backbone(),
        rpn_anchor_generator=AnchorGenerator(((16, 24),), ((1.0,),)),
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 2),
        box_head=TwoMLPHead(8 * 9, 16),
        box_predictor=FastRCNNPredictor(16, 3),
        min_size=_SIZE,
        max_size=_SIZE,
        rpn_pre_nms_top_n_test=20,
        rpn_post_nms_top_n_test=5,
    )


def retina_net() -> nn.Module:
    return RetinaNet(
        _backbone(), 3, min_size=_SIZE, max_size=_SIZE, anchor_generator=AnchorGenerator(((20,),), ((1.0,),))
    )


class _Stages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 4, 1), nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.first(images)
        return {"aux": first, "out": self.second(first.relu())}


def deeplab() -> nn.Module:
    return DeepLabV3(_Stages(), DeepLabHead(8, 3, atrous_rates=(1, 2)), FCNHead(4, 3))


def unet() -> nn.Module:
    return smp.Unet("resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(8, 8, 8), classes=1)


def detr() -> nn.Module:
    backbone = ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "d_model": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, num_queries=5, num_labels=2, **sizes, **heads
    )
    return DetrForObjectDetection(config)


def clip() -> nn.Module:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    texts = {**sizes, "vocab_size": 8, "max_position_embeddings": 6, "eos_token_id": 7, "bos_token_id": 0}
    pictures = {**sizes, "image_size": _SIZE, "patch_size": 16}
    return CLIPModel(CLIPConfig(text_config=texts, vision_config=pictures, projection_dim=8))


def tokenizer() -> Any:
    words = {word: number for number, word in enumerate(["<pad>", "a", "red", "green", "square", "[UNK]", ".", "</s>"])}
    plain = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="</s>", model_max_length=77)


def _boxes_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    targets = [{key: value for key, value in one.items() if key != "masks"} for one in batch[1]]
    return torch.stack(list(model(list(batch[0]), targets).values())).sum()


def _dense_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    found = model(batch["image"])["out"]
    return nn.functional.cross_entropy(found, batch["mask"])


def _binary_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(
        model(batch["image"])[:, 0], batch["mask"].clamp(max=1).float()
    )


def _queries_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return model(batch["pixel_values"]).logits.square().mean()


def _texts_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return model(**batch, return_loss=True).loss


def _pictures_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return model(batch[0]).square().mean()


class Case(NamedTuple):
    """A model, what it is trained with, and what is explained."""

    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Any], torch.Tensor]
    task: str
    target: Any


def _prompt(*texts: str) -> SimilarityTarget:
    if len(texts) == 1:
        return SimilarityTarget(prompt=texts[0], tokenizer=tokenizer())
    return SimilarityTarget(prompts=texts, tokenizer=tokenizer())


CASES = {
    "Faster R-CNN": Case(faster_rcnn, _boxes_loss, "boxes", DetectionTarget("green", box="annotation")),
    "RetinaNet": Case(retina_net, _boxes_loss, "boxes", DetectionTarget(1, box=(8, 8, 28, 28))),
    "DETR": Case(detr, _queries_loss, "queries", DetectionTarget(min_score=0)),
    "DeepLab": Case(deeplab, _dense_loss, "mask", SegmentationTarget("green", "mask")),
    "U-Net": Case(unet, _binary_loss, "mask", SegmentationTarget(1, "predicted")),
    "CLIP": Case(clip, _texts_loss, "texts", SimilarityTarget("text")),
    "CLIP of pictures": Case(Pictures, _pictures_loss, "label", _prompt("a red square", "a green square")),
}


def _fit(path: Path, case: Case, *callbacks: L.Callback, epochs: int = 1, checkpoint: Path | None = None) -> Any:
    L.seed_everything(0, verbose=False)
    module = Task(case.make(), case.loss)
    data = Shapes(case.task).loader()
    run = L.Trainer(
        default_root_dir=path,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    run.fit(module, data, data, ckpt_path=checkpoint)
    return module, run


def _monitor(case: Case, **arguments: Any) -> SaliencyMonitor:
    names = Appearance(class_names=["background", "red", "green"])
    defaults = {"target": case.target, "appearance": names, "on_error": "raise", "probe": _N}
    return SaliencyMonitor(["gradient"], **{**defaults, **arguments})


@pytest.mark.parametrize("name", CASES)
def test_each_is_explained_and_trained_as_without(tmp_path: Path, name: str) -> None:
    case, sink = CASES[name], MemorySink()
    explained, _ = _fit(tmp_path / "with", case, _monitor(case, sinks=[sink]))
    plain, _ = _fit(tmp_path / "without", case)
    for own, other in zip(explained.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(own, other)
    first, last = (snapshot for snapshot in sink.snapshots if snapshot.stage in ("initial", "fit"))
    assert first.attributions["gradient"].values.flatten(1).any(dim=1).sum() >= 2
    assert last.attributions["gradient"].values.isfinite().all()
    assert last.metadata["target"] == repr(case.target)
    if name != "CLIP of pictures":
        assert last.predictions is None
    if isinstance(case.target, DetectionTarget):
        assert torch.equal(first.explained.boxes, last.explained.boxes) or first.explained.boxes.isnan().any()
        assert first.explained.boxes.shape == (_N, 4)
    elif isinstance(case.target, SegmentationTarget):
        assert first.explained.masks.shape == (_N, _SIZE, _SIZE)
    else:
        assert first.explained is None


def gradient(model: nn.Module, inputs: torch.Tensor, target: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """The gradient of the explained score, as a person would write it."""
    score = model(inputs.requires_grad_()).gather(1, target[:, None]).sum()
    return torch.autograd.grad(score, inputs)[0]


@pytest.mark.parametrize("name", ["Faster R-CNN", "RetinaNet", "DETR", "DeepLab", "CLIP of pictures"])
def test_a_method_that_runs_the_model_itself_explains_the_same_score(name: str) -> None:
    torch.manual_seed(0)
    case, data = CASES[name], Shapes(CASES[name].task)
    images = torch.stack([next(_pictures_of(data[index])) for index in range(2)])
    unlabeled = {
        "Faster R-CNN": DetectionTarget(2, box=(8, 8, 28, 28)),
        "DeepLab": SegmentationTarget(1, "predicted"),
        "CLIP of pictures": _prompt("a red square"),
    }
    found = explain(
        case.make().eval(),
        {"pixel_values": images} if name == "DETR" else images,
        methods=["gradient", ExternalMethod("own", gradient)],
        target=unlabeled.get(name, case.target),
    )
    assert found["gradient"].values.any()
    torch.testing.assert_close(found["own"].values, found["gradient"].values, rtol=1e-3, atol=1e-6)


def _pictures_of(item: Any) -> Iterator[torch.Tensor]:
    return (one for one in (item.values() if isinstance(item, dict) else item) if isinstance(one, torch.Tensor))


def test_what_is_annotated_is_drawn(tmp_path: Path) -> None:
    case, sink = CASES["Faster R-CNN"], MemorySink()
    _fit(tmp_path, case, monitor := _monitor(case, sinks=[sink], target=DetectionTarget(box="annotation")))
    given = [Shapes("boxes")[index][1] for index in monitor.state.indices]
    drawn = sink.snapshots[0].explained
    assert torch.equal(drawn.boxes, torch.cat([one["boxes"] for one in given]))
    assert drawn.names == tuple({1: "red", 2: "green"}[int(one["labels"])] for one in given)
    assert torch.equal(monitor._probe.masks, torch.cat([one["masks"] for one in given])), "of all objects"


def test_an_annotated_box_has_the_logit_of_the_box_head(tmp_path: Path) -> None:
    case, sink = CASES["Faster R-CNN"], MemorySink()
    module, _ = _fit(tmp_path, case, monitor := _monitor(case, sinks=[sink], target=DetectionTarget(box="annotation")))
    model, probe = module.model.eval(), monitor._probe
    last = sink.snapshots[-1] if sink.snapshots[-1].attributions else sink.snapshots[-2]
    images = probe.inputs.clone().requires_grad_()
    shown, _ = model.transform(list(images))
    features = {"0": model.backbone(shown.tensors)}
    boxes = [each.boxes for each in probe.objects]
    roi = model.roi_heads
    logits, _ = roi.box_predictor(roi.box_head(roi.box_roi_pool(features, boxes, shown.image_sizes)))
    score = logits.gather(1, torch.cat([each.labels for each in probe.objects])[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(score.sum(), images)
    torch.testing.assert_close(last.attributions["gradient"].score, score.detach())
    torch.testing.assert_close(last.attributions["gradient"].values, gradient)


def test_a_query_has_the_gradient_of_its_logit(tmp_path: Path) -> None:
    case, sink = CASES["DETR"], MemorySink()
    module, _ = _fit(tmp_path, case, monitor := _monitor(case, sinks=[sink]))
    last = [snapshot for snapshot in sink.snapshots if snapshot.attributions][-1]
    inputs = monitor._probe.inputs
    images = (inputs if isinstance(inputs, torch.Tensor) else inputs["pixel_values"]).clone().requires_grad_()
    output = module.model.eval()(images)
    center, extent = output.pred_boxes[..., :2], output.pred_boxes[..., 2:]
    places = torch.cat([center - extent / 2, center + extent / 2], dim=-1) * _SIZE
    boxes, labels = monitor.state.pins["boxes"], monitor.state.pins["labels"]
    scores = []
    for row in range(_N):
        low = torch.maximum(places[row, :, :2], boxes[row, :2])
        high = torch.minimum(places[row, :, 2:], boxes[row, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        union = (
            (places[row, :, 2:] - places[row, :, :2]).prod(dim=1) + (boxes[row, 2:] - boxes[row, :2]).prod() - shared
        )
        iou = (shared / union).detach()
        own = output.logits[row, :, labels[row]]
        fits = iou >= 0.5
        scores.append(own[fits].max() if fits.any() else own[iou.argmax()])
    (gradient,) = torch.autograd.grad(torch.stack(scores).sum(), images)
    torch.testing.assert_close(last.attributions["gradient"].values, gradient)


def test_pins_survive_a_checkpoint(tmp_path: Path) -> None:
    case = CASES["DETR"]
    first = _monitor(case)
    _, run = _fit(tmp_path, case, first)
    run.save_checkpoint(tmp_path / "run.ckpt")
    torch.load(tmp_path / "run.ckpt", weights_only=True)
    again = _monitor(case)
    _fit(tmp_path, case, again, epochs=2, checkpoint=tmp_path / "run.ckpt")
    assert {name: one.tolist() for name, one in again.state.pins.items()} == {
        name: one.tolist() for name, one in first.state.pins.items()
    }


@pytest.mark.parametrize("name", ["Faster R-CNN", "DeepLab"])
def test_random_copies_have_floors(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    # The test draws nothing and so is told no names of classes.
    target = DetectionTarget(1, box=(8, 8, 28, 28)) if name == "Faster R-CNN" else SegmentationTarget(2, "mask")
    test = RandomizationTest("gradient", probe=_N, target=target, on_error="raise", cascade=Cascade(at_fit_end=False))
    _, run = _fit(tmp_path, case, test)
    assert run.callback_metrics["randomization/gradient/floor"].isfinite()
    assert run.callback_metrics["randomization/gradient/similarity"] < 0.9


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Faster R-CNN", r"It looks like a detector: give target=DetectionTarget\('dog'\)"),
        ("DETR", "It looks like a detector"),
        ("DeepLab", r"It looks like a segmenter: give target=SegmentationTarget\(1\)"),
        ("U-Net", "It looks like a segmenter"),
        ("CLIP", r"It looks like a model of pictures and texts: give target=SimilarityTarget\(prompt="),
    ],
)
def test_without_a_target_the_right_one_is_suggested(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(OutputError, match=match):
        _fit(tmp_path, CASES[name], _monitor(CASES[name], target=None, on_error="warn"))


@pytest.mark.parametrize(
    ("name", "target", "match"),
    [
        ("Faster R-CNN", DetectionTarget(1, box=(50, 50, 90, 90)), "is not inside of the input, which is 64 wide"),
        ("Faster R-CNN", DetectionTarget("dog"), "label='dog' is no class"),
        ("Faster R-CNN", DetectionTarget(5, box="annotation"), r"no sample .* of class 5; expected one of .* \[1, 2\]"),
        ("Faster R-CNN", DetectionTarget(5, box=(8, 8, 28, 28)), "classes 1 to 2; 0 is the background"),
        ("Faster R-CNN", DetectionTarget(1, box=[[8, 8, 28, 28]] * 3), "box has 3 rows for 4 samples"),
        ("DeepLab", DetectionTarget(1, box="annotation"), "there are no annotated boxes"),
        ("DeepLab", SegmentationTarget(1, torch.ones(8, 8)), r"region has shape \[8, 8\]"),
        ("DeepLab", SegmentationTarget("sky"), "label='sky' is no class"),
        ("CLIP of pictures", ContrastTarget("sky", 0), "a='sky' is no class"),
        ("CLIP of pictures", _prompt("a red square"), None),
        ("CLIP of pictures", _prompt("a red square . . . . ."), "has 8 tokens, but CLIPModel takes 6"),
        ("CLIP of pictures", SimilarityTarget(prompts=["a"], tokenizer=tokenizer()), "1 texts, but labels go up to 1"),
        ("CLIP", _prompt("a red", "a green"), "but the samples have no labels"),
        ("U-Net", _prompt("a red square"), "has no text encoder for the prompts"),
    ],
)
def test_what_does_not_fit_is_told_before_the_training(
    tmp_path: Path, name: str, target: Any, match: str | None
) -> None:
    case, monitor = CASES[name], _monitor(CASES[name], target=target, on_error="warn")
    if match is None:
        _fit(tmp_path, case, monitor)
        return
    with pytest.raises(ConfigurationError, match=match):
        _fit(tmp_path, case, monitor)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SimilarityTarget(prompt="a dog"), "'a dog' is given with no tokenizer"),
        (lambda: SimilarityTarget(prompt="", tokenizer=len), "expected texts"),
        (lambda: SimilarityTarget(prompt="a dog", view=torch.ones(1), tokenizer=len), "view and prompt are both given"),
        (lambda: DetectionTarget(-1), "label=-1"),
        (lambda: DetectionTarget(1, box=(30, 30, 10, 10)), r"box \[30.0, 30.0, 10.0, 10.0\] is empty"),
        (lambda: DetectionTarget(1, box="center"), "box='center'"),
        (lambda: DetectionTarget(1, box=(1, 2, 3)), "box is tuple of 3"),
        (lambda: DetectionTarget(1, min_iou=2), "min_iou=2"),
    ],
)
def test_what_is_wrong_by_itself_is_told_at_once(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(TargetError, match=match):
        make()


def test_pictures_of_different_sizes_are_told_before_the_training(tmp_path: Path) -> None:
    case = CASES["Faster R-CNN"]
    module = Task(case.make(), case.loss)
    data = Shapes("boxes", sizes=(64, 72)).loader()
    run = L.Trainer(
        default_root_dir=tmp_path, max_epochs=1, accelerator="cpu", logger=False, callbacks=[_monitor(case)]
    )
    with pytest.raises(ProbeError, match=r"different sizes \(\[3, 64, 64\], \[3, 72, 72\]\); expected one size"):
        run.fit(module, data, data)
    probe = Probe(indices=[0, 2])
    monitor = _monitor(case, probe=probe, target=DetectionTarget(box="annotation"))
    run = L.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[monitor],
    )
    run.fit(module, data, data)
    assert monitor.state.n_observations == 2


def test_a_chosen_output_is_read(tmp_path: Path) -> None:
    """The auxiliary head of a segmenter, by ``output_fn``."""
    case, sink = CASES["DeepLab"], MemorySink()
    reading = ModelReading(output_fn=lambda output: output["aux"])
    module, _ = _fit(
        tmp_path, case, monitor := _monitor(case, reading=reading, sinks=[sink], target=SegmentationTarget(1))
    )
    expected = module.model.eval()(monitor._probe.inputs)["aux"][:, 1].mean(dim=(1, 2))
    last = [snapshot for snapshot in sink.snapshots if snapshot.attributions][-1]
    torch.testing.assert_close(last.attributions["gradient"].score, expected.detach())
