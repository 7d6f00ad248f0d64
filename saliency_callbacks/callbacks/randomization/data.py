"""Whether maps depend on what was learned from the labels: the test by a twin that is trained on permuted ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from saliency_callbacks.callbacks.randomization.accuracy import LabelReading
from saliency_callbacks.callbacks.randomization.twin import Recipe, Trained, permuted
from saliency_callbacks.callbacks.runtime import notices
from saliency_callbacks.callbacks.runtime.lightning import LightningHost, without_logging
from saliency_callbacks.callbacks.runtime.packages import LightningModule
from saliency_callbacks.capture.inputs import ModelInputs
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.config.checks import checked_integer, checked_real
from saliency_callbacks.config.dotted_paths import resolve_callable
from saliency_callbacks.engine.run import run_engine
from saliency_callbacks.engine.settings import Settings
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.methods.resolution import resolve_methods
from saliency_callbacks.randomization.data_result import DataRandomizationResult
from saliency_callbacks.randomization.result import Values
from saliency_callbacks.randomization.run import with_primary
from saliency_callbacks.randomization.states import Reference, explain_reference, prepared
from saliency_callbacks.scores.similarities import Similarity
from saliency_callbacks.targets.selectors import Target
from saliency_callbacks.types import AnyMethod

__all__ = ["data_randomization_test"]


def data_randomization_test(
    build: Callable[[], tuple[LightningModule, Any]],
    inputs: Any,
    *,
    model: nn.Module | None = None,
    methods: str | AnyMethod | Sequence[str | AnyMethod] = ("gradient", "grad_cam"),
    target: Target = "predicted",
    min_accuracy: float = 0.95,
    max_epochs: int = 200,
    similarities: str | Sequence[str] = ("spearman", "abs_spearman"),
    target_layers: Any = "auto",
    reshape_transform: Callable[[Tensor], Tensor] | None = None,
    output_fn: Callable[[Any], Any] | None = None,
    attribute_to: int | str | None = None,
    shared: Sequence[int | str] | None = None,
    layout: str | None = None,
    internal_batch_size: int | None = None,
    label_key: int | str | None = None,
    unpack_batch: str | Callable[[Any], tuple[Any, Any]] | None = None,
    trainer_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> DataRandomizationResult:
    """Compare the maps of a model with those of a twin trained on permuted labels, for the same inputs and classes.

    What the twin has memorized is not in the inputs. A method whose maps are the same for both shows the inputs, or the
    architecture, not what was learned. Training continues until the labels are memorized, which takes many more epochs
    than learning the true ones; Lightning's progress bar and one line per epoch show the progress. No global random
    state is changed, and nothing is written.

    Args:
        build: Returns a new, untrained LightningModule and what it is trained on: a LightningDataModule or a
            ``DataLoader`` of a map-style dataset. It is called once per training, and should not set a seed: two models
            that start from the same weights have more similar maps.
        inputs: As for :func:`~saliency_callbacks.explain`.
        model: The trained model, with the parameters of ``build``'s module; ``None`` trains a second one on the true
            labels in the same way.
        methods: Names or method objects; all of them share the passes of each model.
        target: The explained score. ``"predicted"`` is settled with the model that has learned the true labels.
        min_accuracy: Share of its training labels at which a model has learned them, in (0, 1]. Measured after each
            epoch on the whole training set, in evaluation mode. Where a sample can have several labels, all of them
            have to be right.
        max_epochs: After how many epochs to give up.
        similarities: Names of :data:`saliency_callbacks.scores.SIMILARITIES`; ``spearman`` is always computed.
        target_layers: As for :func:`~saliency_callbacks.explain`; found once, with the model.
        reshape_transform: As for :func:`~saliency_callbacks.explain`.
        output_fn: As for :func:`~saliency_callbacks.explain`.
        attribute_to: As for :func:`~saliency_callbacks.explain`.
        shared: As for :func:`~saliency_callbacks.explain`.
        layout: As for :func:`~saliency_callbacks.explain`.
        internal_batch_size: As for :func:`~saliency_callbacks.explain`.
        label_key: Position or key of the label in an item and in a batch, or several with dots between, such as
            ``"target.label"``, where it is in no usual place.
        unpack_batch: A function ``batch -> (inputs, labels)``, or its dotted path, for batches of unusual form.
        trainer_kwargs: Further arguments of Lightning's ``Trainer``. Without them it trains on one device, does not
            validate (``limit_val_batches=0``), and has no logger and no checkpoints.
        seed: Seed of the permutation, of both trainings and of all noise.

    Returns:
        Similarities per method and sample, how much the twin has memorized, and verdicts.

    Raises:
        ConfigurationError: If the training data is iterable or has no class labels, ``model`` is not like what
            ``build`` returns, or an argument cannot be used.

    Warns:
        SaliencyWarning: The twin, or the second model, did not learn its labels within ``max_epochs``; or both started
            from the same weights.

    Reference:
        Adebayo et al. 2018, arXiv 1810.03292, section 4.2.
    """
    settings = Settings(
        methods=resolve_methods(methods),
        target_layers=target_layers,
        reshape_transform=reshape_transform,
        output_fn=output_fn,
        attribute_to=attribute_to,
        shared=shared,
        layout=layout,
        internal_batch_size=internal_batch_size,
        seed=seed,
    )
    recipe = Recipe(
        build=build,
        min_accuracy=checked_real(
            "min_accuracy", min_accuracy, above=0, at_most=1, expected="a share of the labels above 0 and up to 1"
        ),
        max_epochs=checked_integer("max_epochs", max_epochs, 1),
        trainer_kwargs=_checked_kwargs(trainer_kwargs),
        reading=LabelReading(label_key, resolve_callable("unpack_batch", unpack_batch), output_fn, attribute_to),
    )
    question = _Question(inputs, settings, target, with_primary(similarities))
    twin_seed, model_seed, permutation_seed = _seeds(seed)
    _wake_accelerator(recipe.trainer_kwargs)
    reference = None if model is None else question.reference(model)
    with isolated_rng(twin_seed):
        module, data = recipe.make()
        start = _norms(module)
        if model is None:
            # What is wrong with an argument shows here, not after two trainings.
            question.reference(module)
        else:
            _check_alike(model, module)
        with permuted(data, permutation_seed, label_key) as shuffled:
            twin = recipe.train(module, shuffled, "permuted")
    learned: Trained | None = None
    if reference is None:
        with isolated_rng(model_seed):
            module, data = recipe.make()
            _check_other_start(module, twin.module, start)
            learned = recipe.train(module, data, "true")
        reference = question.reference(module, learned)
    return DataRandomizationResult(
        values=question.compared(reference, twin),
        accuracy=twin.accuracy,
        epochs=twin.epochs,
        model_accuracy=math.nan if learned is None else learned.accuracy,
        model_epochs=0 if learned is None else learned.epochs,
        min_accuracy=min_accuracy,
        target=reference.explained,
        target_layers=reference.target_layers,
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class _Question:
    """What is explained of both models, and how it is compared."""

    inputs: Any
    settings: Settings
    target: Target
    similarities: Sequence[Similarity]

    def reference(self, model: nn.Module, trained: Trained | None = None) -> Reference:
        """Explain the model that the twin is compared with, and settle classes and layers."""
        with without_logging(model):
            return explain_reference(model, self._ready(trained), self.settings, self.target, self.similarities)

    def compared(self, reference: Reference, twin: Trained) -> Values:
        """Return similarity → method → value of each sample ``[N]``."""
        inputs = self._ready(twin)
        with without_logging(twin.module):
            explanation = run_engine(twin.module, inputs, reference.settings, [reference.target])
        maps = prepared(explanation.attributions[0], self.similarities)
        return {
            similarity.name: {
                method: similarity.compare(reference.maps[similarity.name][method], of_twin).cpu()
                for method, of_twin in maps[similarity.name].items()
            }
            for similarity in self.similarities
        }

    def _ready(self, trained: Trained | None) -> Any:
        """Return the inputs as a model takes them, which is brought to them from where its training left it."""
        if trained is None:
            return self.inputs
        trained.module.to(ModelInputs.of(self.inputs, self.settings.attribute_to).explained.device)
        return LightningHost(trained.trainer, trained.module).converted(self.inputs)


def _seeds(seed: int) -> list[int]:
    """Return seeds of twin, model and permutation that nobody else uses: ``model`` may have been trained with ours."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2**62, (3,), generator=generator).tolist()


def _wake_accelerator(trainer_kwargs: Mapping[str, Any]) -> None:
    # Generators that do not exist before the training can be neither seeded nor restored.
    if trainer_kwargs.get("accelerator", "auto") in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        torch.cuda.init()


def _norms(module: nn.Module) -> list[float]:
    return [float(parameter.detach().double().norm()) for parameter in module.parameters()]


def _check_other_start(module: nn.Module, twin: nn.Module, start: list[float]) -> None:
    if module is twin:
        raise ConfigurationError(
            f"build() returned the same {type(module).__name__} twice; expected a new module at each call. Create it "
            "inside build()"
        )
    if _norms(module) == start:
        notices.warn(
            "same start",
            "data randomization: build() returned two models with the same initial weights, which makes their maps "
            "more similar. Do not set the seed inside build()",
        )


def _check_alike(model: nn.Module, twin: nn.Module) -> None:
    if model is twin:
        raise ConfigurationError(
            f"build() returned `model` itself, a {type(model).__name__}; expected a new, untrained module. Create it "
            "inside build()"
        )
    shapes, others = (
        {name: list(parameter.shape) for name, parameter in module.named_parameters()} for module in (model, twin)
    )
    if shapes != others:
        differing = sorted(name for name in shapes.keys() | others.keys() if shapes.get(name) != others.get(name))
        raise ConfigurationError(
            f"model, a {type(model).__name__}, and the {type(twin).__name__} that build() returned differ in the "
            f"parameters {differing[:5]}; expected the same architecture. Give the whole LightningModule as `model`"
        )


def _checked_kwargs(trainer_kwargs: Mapping[str, Any] | None) -> Mapping[str, Any]:
    given = {} if trainer_kwargs is None else dict(trainer_kwargs)
    if "max_epochs" in given:
        raise ConfigurationError(
            "trainer_kwargs has 'max_epochs'; expected it as an argument of the test itself, `max_epochs=`"
        )
    return given
