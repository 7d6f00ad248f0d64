"""Twins that memorise permuted labels, with real Trainers on real digits."""

from __future__ import annotations

import json
import logging
import random
from dataclasses import replace
from typing import NamedTuple

import lightning as L
import numpy as np
import pytest
import torch
from lightning_utilities.core import rank_zero
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, SubsetRandomSampler, TensorDataset

from saliency_callbacks import DataRandomizationResult, data_randomization_test
from saliency_callbacks.callbacks.randomization import data as data_randomization
from saliency_callbacks.capture.isolation.rng import isolated_rng
from saliency_callbacks.errors import ConfigurationError, InputError, LayerError, MethodError, SaliencyWarning
from saliency_callbacks.randomization.permuted_labels import PermutedLabels, permute_loader
from tests.trainer.runs import Augmented, Classifier, DictClassifier, Dictionaries, Stream, digits, digits_net

METHODS = ("gradient", "integrated_gradients", "guided_backprop", "grad_cam")
SILENT = {"accelerator": "cpu", "enable_progress_bar": False}
SEEDS = range(3)
INPUTS = digits(400, 464).tensors[0]


class Pair(NamedTuple):
    """An item with names of its own."""

    scan: torch.Tensor
    diagnosis: int


class ConvNet(L.LightningModule):
    """Two convolutions and two linear layers, large enough to memorise some hundred digits."""

    def __init__(self) -> None:
        super().__init__()
        self.net = digits_net()

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Recorded(Classifier):
    """Keeps what it was trained on."""

    def __init__(self, seed=None):
        super().__init__(optimizer="adam", seed=int(torch.randint(1000, ())) if seed is None else seed)
        self.batches = []

    def training_step(self, batch, batch_idx):
        self.batches.append([each.clone() for each in batch])
        return super().training_step(batch, batch_idx)


class Digits(L.LightningDataModule):
    """Digits whose training images a hook of the datamodule shifts by one."""

    def __init__(self, dataset=None):
        super().__init__()
        self.dataset = digits() if dataset is None else dataset

    def train_dataloader(self):
        return DataLoader(self.dataset, batch_size=24, shuffle=True)

    def val_dataloader(self):
        raise AssertionError("a twin has nothing to validate")

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return [batch[0] + 1, *batch[1:]]


@pytest.fixture(scope="module")
def measured():
    """One result a seed, of 400 digits."""
    train = digits(0, 400)

    def build():
        return ConvNet(), DataLoader(train, batch_size=25, shuffle=True)

    return [data_randomization_test(build, INPUTS, methods=METHODS, trainer_kwargs=SILENT, seed=seed) for seed in SEEDS]


def quick(build=None, inputs=INPUTS[:6], **changes):
    """A test that ends after an epoch or two, whatever was learned by then."""
    settings = {"methods": "gradient", "max_epochs": 1, "min_accuracy": 0.01, "trainer_kwargs": SILENT, **changes}
    return data_randomization_test(build or (lambda: (Recorded(), loader())), inputs, **settings)


def loader(dataset=None, **changes):
    return DataLoader(digits() if dataset is None else dataset, **{"batch_size": 24, **changes})


def keeping(modules, data=loader):
    """A ``build`` that keeps the modules it makes."""

    def build():
        modules.append(Recorded())
        return modules[-1], data()

    return build


def test_both_models_learn_their_labels(measured):
    for result in measured:
        assert result.memorised
        assert 0.95 <= result.accuracy <= 1
        assert 0.95 <= result.model_accuracy <= 1
        # What is not in the images takes far longer.
        assert 4 * result.model_epochs < result.epochs < 200


def test_how_alike_the_maps_are(measured):
    found = {name: [result.similarity(name).mean for result in measured] for name in METHODS}
    assert all(abs(value) < 0.15 for value in found["gradient"])
    assert all(abs(value) < 0.15 for value in found["integrated_gradients"])
    # .33 to .52 over six seeds.
    assert np.mean(found["guided_backprop"]) > 0.3
    assert min(found["guided_backprop"]) > max(found["gradient"]) + 0.15
    assert all(value < 0.3 for value in found["grad_cam"])
    # Half of the pixels are 0 in every image, so magnitudes of a product with the image are alike whatever is learned.
    assert all(result.similarity("integrated_gradients", "abs_spearman").mean > 0.75 for result in measured)
    assert all(result.similarity("gradient", "abs_spearman").mean < 0.4 for result in measured)


def test_verdicts(measured):
    for result in measured:
        assert result.verdicts["gradient"] == "depends on the labels"
        assert result.verdicts["integrated_gradients"] == "depends on the labels"
        assert result.verdicts["grad_cam"] != "does not depend on the labels"
    assert measured[0].verdicts["guided_backprop"] == "does not depend on the labels"


def test_what_a_result_holds(measured):
    result = measured[0]
    assert result.methods == METHODS
    assert result.similarities == ("spearman", "abs_spearman")
    assert all(values.shape == (64,) for methods in result.values.values() for values in methods.values())
    assert np.isnan(result.similarity("gradient").std)
    assert result.target.shape == (64,)
    assert result.target_layers == ("net.4",)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["verdicts"] == result.verdicts
    assert plain["accuracy"] == result.accuracy
    assert len(plain["similarity"]["abs_spearman"]["grad_cam"]) == 64
    lines = result.table().splitlines()
    assert lines[0] == "| method | spearman | abs_spearman | verdict |"
    assert len(lines) == 2 + len(METHODS)
    assert lines[4].startswith("| guided_backprop | 0.")
    assert lines[4].endswith("| does not depend on the labels |")


@pytest.mark.parametrize(
    ("values", "changes", "verdict"),
    [
        ([0.1, 0.2], {}, "depends on the labels"),
        ([0.5, 0.4], {}, "does not depend on the labels"),
        ([-0.9, -0.9], {}, "depends on the labels"),
        ([np.nan, np.nan], {}, "undecided: all maps are constant"),
        ([np.nan, np.nan, 0.9], {}, "undecided: 67% of the comparisons"),
        ([0.9], {"accuracy": 0.6349}, "undecided: the twin memorized only 63% of the permuted labels in 7 epochs"),
        ([0.1], {"accuracy": 0.9499}, "undecided: the twin memorized only 94%"),
        ([0.1], {"accuracy": 0.0, "epochs": 0}, "undecided: the twin memorized only 0% of the permuted labels in 0"),
        ([0.9], {"model_accuracy": 0.2}, "undecided: the model itself learned only 20% of the true labels"),
        ([0.9], {"model_accuracy": np.nan}, "does not depend on the labels"),
    ],
)
def test_the_rule_of_a_verdict(values, changes, verdict):
    result = DataRandomizationResult(
        values={"spearman": {"gradient": torch.tensor(values)}},
        accuracy=0.96,
        epochs=7,
        model_accuracy=0.97,
        model_epochs=3,
        min_accuracy=0.95,
        target=torch.zeros(len(values), dtype=torch.long),
        target_layers=(),
        seed=0,
    )
    assert replace(result, **changes).verdicts["gradient"].startswith(verdict)


def test_what_was_not_memorised_is_undecided():
    with pytest.warns(SaliencyWarning, match="of the permuted labels were learned in 1 epoch; 95% are required"):
        result = quick(model=Recorded(), min_accuracy=0.95)
    assert not result.memorised
    assert result.epochs == 1
    assert result.verdicts["gradient"].startswith("undecided: the twin memorized only ")
    assert json.loads(json.dumps(result.to_dict()))["memorised"] is False


def test_a_model_that_did_not_learn_is_undecided():
    with pytest.warns(SaliencyWarning) as caught:
        result = quick(min_accuracy=1.0)
    messages = [str(one.message) for one in caught if one.category is SaliencyWarning]
    assert ["of the permuted labels" in message for message in messages] == [True, False]
    assert "of the true labels" in messages[1]
    assert replace(result, accuracy=1.0).verdicts["gradient"].startswith("undecided: the model itself learned only")


@pytest.mark.parametrize("data", [loader, Digits], ids=["DataLoader", "DataModule"])
def test_only_the_twin_trains_on_permuted_labels(data):
    modules = []
    quick(keeping(modules, data))
    twin, model = modules
    shift = 1 if data is Digits else 0
    images, labels = digits().tensors
    known = {tuple((image + shift).flatten().tolist()): int(label) for image, label in zip(images, labels, strict=True)}

    def seen(module):
        return [
            (known[tuple(image.flatten().tolist())], int(label))
            for batch in module.batches
            for image, label in zip(*batch, strict=True)
        ]

    assert all(true == given for true, given in seen(model))
    assert sum(true == given for true, given in seen(twin)) < 0.5 * len(labels)
    assert sorted(given for _, given in seen(twin)) == sorted(labels.tolist())


def test_a_shared_datamodule_is_left_as_it_was():
    data, modules = Digits(), []
    quick(keeping(modules, lambda: data))
    assert "train_dataloader" not in vars(data)
    assert not isinstance(data.train_dataloader().dataset, PermutedLabels)
    labels = torch.cat([batch[1] for batch in modules[1].batches])
    images = torch.cat([batch[0] for batch in modules[1].batches])
    own = {tuple((image + 1).flatten().tolist()): int(label) for image, label in digits()}
    assert [own[tuple(image.flatten().tolist())] for image in images] == labels.tolist()


@pytest.mark.filterwarnings("ignore:data randomization")
def test_measuring_does_not_disturb_the_training():
    modules = []
    dataset = Augmented(digits())
    quick(keeping(modules, lambda: loader(dataset, shuffle=True)), min_accuracy=1.0, max_epochs=2, model=Recorded())
    twin = modules[0]

    seed, _, permutation = data_randomization._seeds(0)
    with isolated_rng(seed):
        other = Recorded()
        data = permute_loader(loader(dataset, shuffle=True), seed=permutation)
        plain = L.Trainer(**SILENT, max_epochs=2, logger=False, enable_checkpointing=False, enable_model_summary=False)
        plain.fit(other, data)
    assert all(torch.equal(one, two) for one, two in zip(twin.parameters(), other.parameters(), strict=True))


def test_the_same_seed_gives_the_same_result():
    one, two, three = (quick(seed=seed, max_epochs=2) for seed in (0, 0, 1))
    assert torch.equal(one.values["spearman"]["gradient"], two.values["spearman"]["gradient"])
    assert not torch.equal(one.values["spearman"]["gradient"], three.values["spearman"]["gradient"])


def test_global_generators_and_the_model_are_untouched():
    model = Recorded()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    before = [torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()]  # noqa: NPY002
    quick(lambda: (Recorded(), loader(Augmented(digits()), shuffle=True)), model=model)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()
    assert model.training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_given_model_is_not_trained():
    modules = []
    result = quick(keeping(modules), model=Recorded())
    assert len(modules) == 1
    assert np.isnan(result.model_accuracy)
    assert result.to_dict()["model_accuracy"] is None
    assert result.model_epochs == 0


def test_both_models_are_explained_for_the_same_classes():
    model = Recorded(seed=3)
    result = quick(model=model)
    assert torch.equal(result.target, model(INPUTS[:6]).argmax(dim=1))
    assert quick(model=model, target=4).target.tolist() == [4] * 6


def test_progress_is_told(caplog, monkeypatch, tmp_path):
    # That of whichever release was imported last, which may hand nothing on to where records are caught.
    monkeypatch.setattr(rank_zero, "log", logging.getLogger("told"))
    with caplog.at_level(logging.INFO):
        quick(model=Recorded())
    lines = [record.message for record in caplog.records if record.message.startswith("data randomization")]
    assert len(lines) == 1
    assert lines[0].startswith("data randomization: epoch 1, ")
    assert lines[0].endswith("% of the permuted labels learned")
    assert not list(tmp_path.iterdir())


def test_the_progress_bar_is_on(capsys):
    quick(model=Recorded(), trainer_kwargs={"accelerator": "cpu"})
    captured = capsys.readouterr()
    assert "Epoch 0" in captured.out + captured.err


def test_callbacks_of_the_user_are_copied_for_each_training():
    class Counting(L.Callback):
        n_starts = 0

        def on_train_start(self, trainer, pl_module):
            self.n_starts += 1
            pl_module.n_starts = self.n_starts

    own, modules = Counting(), []
    quick(keeping(modules), trainer_kwargs=SILENT | {"callbacks": own})
    assert own.n_starts == 0
    assert [module.n_starts for module in modules] == [1, 1]


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (("image", "label"), {}),
        (("image", "diagnosis"), {"label_key": "diagnosis"}),
        (("scan", "diagnosis"), {"label_key": "diagnosis", "unpack_batch": "tests.trainer.runs.as_pair"}),
    ],
)
def test_batches_of_dictionaries(names, changes):
    def build():
        module = DictClassifier(*names)
        module.net[0].reset_parameters()
        return module, loader(Dictionaries(digits(), *names))

    assert np.isfinite(quick(build, **changes).similarity("gradient").mean)


class Nested(DictClassifier):
    """Is given items with the labels further in."""

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.net(batch["image"]), batch["target"]["stage"])


class SeveralLabels(Recorded):
    """Predicts labels that do not exclude each other."""

    def __init__(self, head=None):
        super().__init__()
        self.head = nn.Identity() if head is None else head

    def forward(self, images):
        return self.head(super().forward(images))

    def training_step(self, batch, batch_idx):
        return F.binary_cross_entropy_with_logits(super().forward(batch[0]), batch[1].float())


@pytest.mark.parametrize(("name", "label_key"), [("stage", "target.stage"), ("stage", None)])
def test_labels_further_in(name, label_key):
    items = [{"image": image, "target": {name: label, "age": 0.5}} for image, label in digits()]

    def build():
        module = Nested("image", "target")
        module.net[0].reset_parameters()
        return module, loader(items)

    result = quick(build, label_key=label_key, max_epochs=80, min_accuracy=0.9, model=None)
    assert np.isfinite(result.similarity("gradient").mean)
    assert result.accuracy >= 0.9


@pytest.mark.parametrize("head", [None, nn.Sigmoid()], ids=["logits", "sigmoid"])
def test_several_labels_a_sample_are_learned_when_all_are_right(head):
    images, labels = digits(0, 12).tensors
    rows = F.one_hot(labels, 10) | F.one_hot((labels + 3) % 10, 10)
    rows[:6] = F.one_hot(labels[:6], 10)

    def build():
        return SeveralLabels(head), DataLoader(TensorDataset(images, rows), 6)

    # Most labels are off, which any model gets right.
    with pytest.warns(SaliencyWarning, match="only 0% of the permuted labels"):
        quick(build, model=build()[0], target=0)
    result = quick(build, max_epochs=200, min_accuracy=0.75, model=build()[0], target=0)
    assert result.accuracy >= 0.75


def test_outputs_that_are_no_scores_of_the_labels():
    images, labels = digits(0, 12).tensors
    rows = F.one_hot(labels, 10) | F.one_hot((labels + 3) % 10, 10)

    class Wide(SeveralLabels):
        def forward(self, images):
            return super().forward(images)[:, :4]

    with pytest.raises(ConfigurationError, match="returns 4 values per sample, which are not scores of the 10 labels"):
        quick(lambda: (Wide(), DataLoader(TensorDataset(images, rows), 6)), model=Wide(), target=0)


def test_batches_of_named_tuples():
    dataset = [Pair(image, int(label)) for image, label in digits()]
    result = quick(lambda: (Recorded(), loader(dataset)), label_key="diagnosis")
    assert np.isfinite(result.similarity("gradient").mean)


def test_labels_that_the_batch_has_not():
    dataset = [(image, int(label), int(label)) for image, label in digits()]
    with pytest.raises(ConfigurationError, match="no class labels were found in the batch"):
        quick(
            lambda: (
                Recorded(),
                loader(dataset, collate_fn=lambda items: (torch.stack([item[0] for item in items]), len(items))),
            ),
            label_key=2,
        )


def test_loaders_with_workers():
    result = quick(lambda: (Recorded(), loader(num_workers=1)), model=Recorded())
    assert result.memorised


def test_the_share_is_that_of_the_items_that_are_trained_on():
    chosen = list(range(10))

    def build():
        return Recorded(), loader(batch_size=5, sampler=SubsetRandomSampler(chosen))

    result = quick(build, max_epochs=60, min_accuracy=1.0, model=Recorded())
    assert result.accuracy == 1
    result = quick(lambda: (Recorded(), loader(Subset(digits(), chosen))))
    assert result.accuracy * 10 == pytest.approx(round(result.accuracy * 10))


def test_double_precision():
    result = quick(trainer_kwargs=SILENT | {"precision": "64-true"})
    assert result.similarity("gradient").invalid == 0


def test_inputs_that_start_alike_are_told():
    with pytest.warns(SaliencyWarning, match="same initial weights"):
        quick(lambda: (Recorded(seed=5), loader()))


def test_a_failed_training_leaves_the_generators():
    class Failing(Recorded):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("out of luck")

    before = torch.get_rng_state()
    data = Digits()
    with pytest.raises(RuntimeError, match="out of luck"):
        quick(lambda: (Failing(), data))
    assert torch.equal(before, torch.get_rng_state())
    assert "train_dataloader" not in vars(data)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Recorded, "expected a pair"),
        (lambda: (nn.Linear(2, 2), loader()), "expected a pair"),
        (lambda: (Recorded(), [loader()]), "expected one torch DataLoader"),
        (lambda: (Recorded(), loader(Stream(digits()))), "Stream cannot be read by position"),
        (lambda: (Recorded(), Digits(digits().tensors[0])), "no label was found"),
        (lambda: (Recorded(), loader([(image, float(label)) for image, label in digits()])), "an integer class"),
        (lambda: (Recorded(), loader([image for image, _ in digits()])), "no label was found"),
        (
            lambda: (Recorded(), loader(Dictionaries(digits(), "scan", "label"))),
            "Say how to read it with `unpack_batch=`",
        ),
    ],
)
def test_what_build_may_not_return(build, message):
    with pytest.raises(ConfigurationError, match=message):
        quick(build)


def test_build_has_to_make_weights():
    def build():
        module = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
        return module, DataLoader(digits(), 12)

    with pytest.raises(ConfigurationError, match=r"layers \['net.1'\] are uninitialized before the first batch"):
        data_randomization_test(build, digits(0, 4).tensors[0], methods="gradient", target=0)


def test_build_has_to_make_new_modules():
    module = Recorded()
    with pytest.raises(ConfigurationError, match="the same Recorded twice"):
        quick(lambda: (module, loader()))
    with pytest.raises(ConfigurationError, match="returned `model` itself"):
        quick(lambda: (module, loader()), model=module)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"min_accuracy": 0}, ConfigurationError, "min_accuracy=0; expected a share"),
        ({"min_accuracy": 95}, ConfigurationError, "min_accuracy=95"),
        ({"max_epochs": 0}, ConfigurationError, "max_epochs=0"),
        (
            {"trainer_kwargs": {"max_epochs": 3}},
            ConfigurationError,
            "expected it as an argument of the test itself, `max_epochs=`",
        ),
        ({"methods": "grad_camm"}, MethodError, "grad_cam"),
        ({"similarities": "sperman"}, ConfigurationError, "spearman"),
        ({"inputs": INPUTS.long()}, InputError, "floating point"),
        ({"methods": "grad_cam", "target_layers": "net.99"}, LayerError, "net.99"),
        ({"model": Recorded().net}, ConfigurationError, "expected the same architecture"),
    ],
)
def test_arguments_are_checked_before_anything_is_trained(changes, error, message):
    modules = []
    with pytest.raises(error, match=message):
        quick(keeping(modules), **{"inputs": INPUTS[:6], **changes})
    assert all(not module.batches for module in modules)
