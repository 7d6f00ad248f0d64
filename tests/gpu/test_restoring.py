"""What an explanation takes from a GPU comes back: weights, random numbers, and cuDNN's switch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saliency_callbacks import explain
from saliency_callbacks.methods import SmoothGrad
from saliency_callbacks.randomization import randomization_test
from tests import texts
from tests.trainer.runs import small_net


def test_random_numbers() -> None:
    model, images = small_net(noisy=True).cuda(), torch.rand(4, 1, 8, 8, device="cuda")
    torch.rand(3, device="cuda")
    before = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    explain(model, images, methods=["gradient", SmoothGrad(nt_samples=3)])
    after = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_a_randomization_test(dtype: torch.dtype) -> None:
    model, images = small_net(noisy=True).cuda().to(dtype), torch.rand(4, 1, 8, 8, device="cuda").to(dtype)
    tensors = model.state_dict(keep_vars=True)
    before = {name: (tensor.data_ptr(), tensor.detach().clone()) for name, tensor in tensors.items()}
    result = randomization_test(model, images, methods=["gradient", "grad_cam"], n_draws=2)
    assert result.n_draws == 2
    for name, tensor in model.state_dict(keep_vars=True).items():
        place, content = before[name]
        assert tensor is tensors[name]
        assert tensor.data_ptr() == place
        assert torch.equal(tensor, content)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_are_explained_in_evaluation_mode(layer: type[nn.RNNBase]) -> None:
    """The backward of cuDNN's recurrent kernels refuses evaluation mode; the reference runs without them."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = layer(3, 8, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, signals: torch.Tensor) -> torch.Tensor:
            return self.head(self.recurrent(signals.mT)[0][:, -1])

    model, signals = Recurrent().cuda().eval(), torch.randn(4, 3, 10, device="cuda")
    found = explain(model, signals, methods=["gradient"], target=1)["gradient"].values
    assert torch.backends.cudnn.enabled
    assert not model.training
    expected = explain(model.cpu(), signals.cpu(), methods=["gradient"], target=1)["gradient"].values
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-5)


def test_texts_in_a_recurrent_network() -> None:
    model = texts.Recurrent().cuda()
    ids = torch.randint(1, model.embedding.num_embeddings, (4, 7), device="cuda")
    found = explain(model, ids, methods=["input_x_gradient"], embedding="auto", target=1)
    assert found["input_x_gradient"].values.isfinite().all()
    assert torch.backends.cudnn.enabled
