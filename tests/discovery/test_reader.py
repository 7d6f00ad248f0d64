"""How a model is asked without a Trainer: logits, and gradients of margins against autograd, for every output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from saliency_callbacks.discovery.reader import PlainReader, true_class_margin
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.functional.effects import margin
from saliency_callbacks.targets.link import LOGITS, Link

_IMAGES = torch.rand(7, 1, 3, 4, generator=torch.Generator().manual_seed(3))
_LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 1])


def _model(n_outputs: int = 3, *after: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, n_outputs), *after)


def _reader(model: nn.Module, link: Link = LOGITS, preprocess=None, **settings) -> PlainReader:
    return PlainReader(model, preprocess, Settings(methods=(), **settings), link)


def _gradients(columns, labels: Tensor) -> Tensor:
    """Return the gradient of the margin of each image's own class, by autograd."""
    images = _IMAGES.clone().requires_grad_()
    margin(columns(images), labels).sum().backward()
    assert images.grad is not None
    return images.grad


@pytest.mark.parametrize("rows", [1, 2, 64, None])
def test_logits_and_gradients_are_those_of_the_model(rows: int | None) -> None:
    model = _model()
    reader = _reader(model, internal_batch_size=rows)
    torch.testing.assert_close(reader.logits(_IMAGES), model(_IMAGES).detach())
    torch.testing.assert_close(reader.gradients(_IMAGES, _LABELS), _gradients(model, _LABELS))


def test_a_single_logit_is_the_second_of_two_classes() -> None:
    model, labels = _model(1), _LABELS.clamp(max=1)
    reader = _reader(model)

    def columns(images: Tensor) -> Tensor:
        return torch.cat([torch.zeros(len(images), 1), model(images)], dim=1)

    torch.testing.assert_close(reader.logits(_IMAGES), columns(_IMAGES).detach())
    torch.testing.assert_close(reader.gradients(_IMAGES, labels), _gradients(columns, labels))


def test_probabilities_are_read_as_their_logits() -> None:
    plain = _model()
    model = nn.Sequential(plain, nn.Softmax(dim=1))
    reader = _reader(model, Link("softmax"))
    torch.testing.assert_close(reader.logits(_IMAGES).softmax(dim=1), plain(_IMAGES).softmax(dim=1).detach())
    torch.testing.assert_close(reader.gradients(_IMAGES, _LABELS), _gradients(plain, _LABELS))


def test_the_probability_of_one_class_is_read_as_its_logit() -> None:
    plain, labels = _model(1), _LABELS.clamp(max=1)
    reader = _reader(nn.Sequential(plain, nn.Sigmoid()), Link("sigmoid"))
    torch.testing.assert_close(reader.logits(_IMAGES)[:, 1:], plain(_IMAGES).detach(), atol=1e-5, rtol=1e-5)
    found = reader.gradients(_IMAGES, labels)
    assert torch.equal(found.sign(), _gradients(_reader_of_columns(plain), labels).sign())


def _reader_of_columns(plain: nn.Module):
    return lambda images: torch.cat([torch.zeros(len(images), 1), plain(images)], dim=1)


def test_what_the_model_takes_is_made_of_display_images() -> None:
    model = _model()
    reader = _reader(model, preprocess=lambda images: (images - 0.5) / 0.25)
    torch.testing.assert_close(reader.logits(_IMAGES), model((_IMAGES - 0.5) / 0.25).detach())
    assert reader.fed(_IMAGES.half()).dtype == torch.float32
    torch.testing.assert_close(reader.logits(_IMAGES.double()), reader.logits(_IMAGES))


@pytest.mark.parametrize(
    "preprocess",
    [
        lambda images: (images - 0.5) / 0.25,
        lambda images: images.sub_(0.5).div_(0.25),
        lambda images: nn.functional.interpolate(images, (6, 8)),
        lambda images: images.expand(-1, 3, -1, -1),
        lambda images: images.double(),
    ],
    ids=["normalized", "in place", "resized", "three channels", "double"],
)
def test_gradients_are_those_by_the_display_image(preprocess) -> None:
    size = preprocess(_IMAGES.clone())
    model = nn.Sequential(nn.Flatten(), nn.Linear(size[0].numel(), 3)).to(size.dtype)
    reader, before = _reader(model, preprocess=preprocess), _IMAGES.clone()
    torch.testing.assert_close(reader.logits(_IMAGES), model(preprocess(_IMAGES.clone())).detach())
    found = reader.gradients(_IMAGES, _LABELS)
    expected = _gradients(lambda images: model(preprocess(images.clone())), _LABELS)
    torch.testing.assert_close(found, expected)
    assert torch.equal(_IMAGES, before)
    assert not _IMAGES.requires_grad


def test_where_a_model_looks_is_known_of_what_cannot_be_differentiated() -> None:
    def preprocess(images: Tensor) -> Tensor:
        return torch.from_numpy(images.detach().numpy().repeat(2, axis=2).repeat(2, axis=3))

    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3, bias=False))
    model[1].weight.data[:, :24] = 0
    found = _reader(model, preprocess=preprocess).gradients(_IMAGES, _LABELS)
    assert found.shape == _IMAGES.shape
    assert (found[:, :, 0] == 0).all()
    assert (found[:, :, 2] > 0).all()


def test_scores_are_taken_out_of_other_outputs() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = _model()

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, self.inner(images)

    model = Wrapped()
    reader = _reader(model, output_fn=lambda output: output[1])
    torch.testing.assert_close(reader.logits(_IMAGES), model.inner(_IMAGES).detach())
    torch.testing.assert_close(reader.gradients(_IMAGES, _LABELS), _gradients(model.inner, _LABELS))


def test_a_model_without_parameters() -> None:
    class Sums(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0].sum(dim=2)

    torch.testing.assert_close(_reader(Sums()).logits(_IMAGES), _IMAGES[:, 0].sum(dim=2))


def test_a_margin_goes_by_the_best_other_class() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 4.0], [2.0, 2.0, 1.0]])
    labels = torch.tensor([0, 1, 0])
    found = true_class_margin(labels, LOGITS)(logits, torch.tensor([0, 1, 2]))
    assert found.tolist() == margin(logits, labels).tolist() == [2, -3, 0]
    # Samples are named by their positions.
    assert true_class_margin(labels, LOGITS)(logits[1:2], torch.tensor([1])).tolist() == [-3]
