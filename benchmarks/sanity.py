"""How methods fare on two small networks, in parameter randomization and in deletion and insertion.

What `saliency-callbacks methods` says of them: the rows of SANITY and FAITHFULNESS in methods/registry.py are printed
at the end, with what is said there now where it differs. COSTS need no measurement: tests compare them with the passes.

    python -m benchmarks.sanity

Two networks trained on digits, 20 random copies each, 16 digits of the validation data, signed Spearman. The demo's
network on pictures of 48×48, and a shallower one on scikit-learn's digits of 8×8. Methods of attention are measured on
a small vision transformer instead, with the latter. Five copies, as a callback draws by default, are few where the maps
of random networks differ much. Gains and stability are those of 64 digits, and once more of the maps of other digits
in place of their own: what it is worth to know where digits are.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saliency_callbacks import Compute, ModelReading, Perturbation, RandomizationResult, randomization_test
from saliency_callbacks.callbacks.faithfulness.trial import Trial
from saliency_callbacks.callbacks.runtime.ranks import ALONE
from saliency_callbacks.callbacks.runtime.settings import engine_settings
from saliency_callbacks.demo import Digits, SmallCNN
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.methods import BUILT_IN, IntegratedGradients, SmoothGrad
from saliency_callbacks.methods.catalog import COSTS, FAITHFULNESS, SANITY, Faithfulness, Sanity
from saliency_callbacks.scores.faithfulness import FaithfulnessResult
from saliency_callbacks.types import Method

N_DRAWS = 20
N_SAMPLES = 16
N_REMOVED = 64
N_TRAIN = 1500
OF_ATTENTION = [name for name, cost in COSTS.items() if "attention" in cost.needs]


def methods() -> list[str | Method]:
    """Return every method; those of many passes with fewer, which change their maps little."""
    fewer: dict[str, Method] = {
        "integrated_gradients": IntegratedGradients(n_steps=16),
        "smooth_grad": SmoothGrad(nt_samples=16),
        "smooth_grad_squared": SmoothGrad(nt_samples=16, nt_type="smoothgrad_sq"),
        "var_grad": SmoothGrad(nt_samples=16, nt_type="vargrad"),
        "smooth_integrated_gradients": IntegratedGradients(n_steps=8, nt_samples=4),
    }
    return [fewer.get(name, name) for name in BUILT_IN if name not in OF_ATTENTION]


def network_on_originals() -> nn.Module:
    """Return two convolutions and two linear layers, for ``[N, 1, 8, 8]``."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class SmallViT(nn.Module):
    """A vision transformer of three blocks with a class token, for ``[N, 1, H, W]``."""

    def __init__(self, n_patches: int, patch: int, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, n_patches + 1, width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
                for _ in range(3)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[N, 10]``."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1) + self.places
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


def transformer_on_originals() -> nn.Module:
    """Return a vision transformer with 16 patches, for ``[N, 1, 8, 8]``."""
    return SmallViT(16, 2)


def originals() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits ``[N, 1, 8, 8]`` in [0, 1] and their labels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(labels)


def train(network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int) -> tuple[Tensor, Tensor]:
    """Train a network and return the images and labels that were held out."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(N_TRAIN).split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval()
    held_out, truth = images[N_TRAIN:], labels[N_TRAIN:]
    print(f"accuracy {float((network(held_out).argmax(dim=1) == truth).float().mean()):.0%}")
    return held_out, truth


def measure(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    layer: str,
    of_methods: Sequence[str | Method] | None = None,
) -> RandomizationResult:
    """Train a network and compare its maps with those of random copies."""
    held_out, truth = train(network, images, labels, epochs=epochs)
    probe = slice(None, N_SAMPLES)
    return randomization_test(
        network,
        held_out[probe],
        target=truth[probe],
        methods=of_methods or methods(),
        n_draws=N_DRAWS,
        target_layers=layer,
        similarities="spearman",
        random_logit=False,
    )


def measure_faithfulness(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    layer: str,
    of_methods: Sequence[str | Method] | None = None,
    of_others: bool = False,
) -> FaithfulnessResult:
    """Remove what the maps of a network show first, and show only that; or what the maps of other digits show."""
    settings = engine_settings(of_methods or methods(), ModelReading(), Compute(), target_layers=layer)
    explanation = run_engine(network, images, settings, [labels])
    perturbation = Perturbation()
    if of_others:
        others = [next_of_another(labels, place) for place in range(len(labels))]
        maps = {
            name: replace(found, raw=replace(found.raw, values=found.values[others]))
            for name, found in explanation.maps[0].items()
        }
        explanation, perturbation = replace(explanation, maps=(maps,)), Perturbation(n_noisy=0)
    return Trial(network, images, len(images), settings, labels, perturbation, ALONE, explanation).run()


def next_of_another(labels: Tensor, place: int) -> int:
    """Return the next sample with another label."""
    following = [(place + step) % len(labels) for step in range(1, len(labels))]
    return next(one for one in following if labels[one] != labels[place])


def sanity_of(result: RandomizationResult) -> dict[str, Sanity]:
    """Return what was measured, as the registry says it."""
    statuses: dict[str, Literal["passes", "fails"]] = {
        "depends on the weights": "passes",
        "does not depend on the weights": "fails",
    }
    return {
        name: Sanity(
            statuses.get(verdict, "undecided"),
            round(result.similarity(name).mean, 2) + 0.0,
            round(result.floor(name).mean, 2) + 0.0,
        )
        for name, verdict in result.verdicts.items()
    }


def faithfulness_of(result: FaithfulnessResult) -> dict[str, Faithfulness]:
    """Return what was measured, as the registry says it."""
    names = ("deletion_gain", "insertion_gain", "stability")
    scores = {name: found.scores() for name, found in result.methods.items()}
    return {name: Faithfulness(*(round(of_method[one], 2) for one in names)) for name, of_method in scores.items()}


def worse(one: Sanity, other: Sanity) -> Sanity:
    """Return the one of two networks on which a method fares worse."""
    order = ("passes", "undecided", "fails")
    return max(one, other, key=lambda found: (order.index(found.status), found.similarity))


def lower(one: Faithfulness, other: Faithfulness) -> Faithfulness:
    """Return the lower value of two networks, of each score."""
    return Faithfulness(
        min(one.deletion_gain, other.deletion_gain),
        min(one.insertion_gain, other.insertion_gain),
        min(one.stability, other.stability),
    )


def report(title: str, rows: Mapping[str, object], published: Mapping[str, object]) -> None:
    """Print the rows of a table of the registry, and which of them say something else now."""
    print(title)
    for name in published:
        now = "" if rows[name] == published[name] else f"  # now {published[name]}"
        print(f'    "{name}": {rows[name]},{now}', flush=True)


def main() -> None:
    """Print tables for each network, and then the rows of the registry."""
    warnings.simplefilter("ignore")
    L.seed_everything(0, verbose=False)
    data = Digits(is_patched=False)
    sanity: dict[str, Sanity] = {}
    faithfulness: dict[str, Faithfulness] = {}
    for make, images, labels, epochs, layer in (
        (SmallCNN, data.images, data.labels, 8, "features"),
        (network_on_originals, *originals(), 15, "4"),
        (transformer_on_originals, *originals(), 20, "auto"),
    ):
        L.seed_everything(0, verbose=False)
        network = make()
        chosen = OF_ATTENTION if make is transformer_on_originals else None
        randomized = measure(network, images, labels, epochs=epochs, layer=layer, of_methods=chosen)
        print(randomized.table(), flush=True)
        rows = slice(N_TRAIN, N_TRAIN + N_REMOVED)
        found, of_others = (
            measure_faithfulness(
                network, images[rows], labels[rows], layer=layer, of_methods=chosen, of_others=are_others
            )
            for are_others in (False, True)
        )
        print(found.table().markdown(), flush=True)
        print(f"With the maps of other digits:\n{of_others.table().markdown()}", flush=True)
        for name, one in sanity_of(randomized).items():
            sanity[name] = worse(sanity.get(name, one), one)
        for name, measured in faithfulness_of(found).items():
            faithfulness[name] = lower(faithfulness.get(name, measured), measured)
    report("SANITY", sanity, SANITY)
    report("FAITHFULNESS", faithfulness, FAITHFULNESS)


if __name__ == "__main__":
    main()
