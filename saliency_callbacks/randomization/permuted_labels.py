"""A dataset with its labels shuffled among its items: what can be learned from it is not in the inputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe.labels.classes import dataset_labels
from saliency_callbacks.probe.loaders import candidate_indices
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.probe.unpack import LABEL_KEYS

__all__ = ["PermutedLabels", "check_dataset", "permute_labels", "permute_loader"]

_N_CHECKED = 16


class PermutedLabels(Dataset[Any]):
    """Return each item of a dataset with the label of another one.

    Args:
        dataset: A map-style dataset; its items are tuples, lists, named tuples or dictionaries.
        targets: The label that each item gets, ``int64 [len(dataset)]``.
        label_key: Position or key of the label in an item; ``None`` for the default one.
    """

    def __init__(self, dataset: Any, targets: Tensor, label_key: int | str | None = None) -> None:
        self.dataset = dataset
        self.targets = targets
        self.label_key = label_key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Return the item at ``index``, a copy of its outermost container, with its new label in the old one's type."""
        item = self.dataset[index]
        slot = _slot(item, self.label_key)
        return _replaced(item, slot, _in_type_of(item[slot], int(self.targets[index])))


def permute_labels(
    dataset: Any,
    *,
    seed: int,
    label_key: int | str | None = None,
    positions: Sequence[int] | None = None,
) -> PermutedLabels:
    """Shuffle the labels of a dataset among its items: item i gets the label of item perm[i].

    Labels are taken from the dataset's attributes where these agree with the items, of which one per class is read;
    otherwise all items are read once.

    Args:
        dataset: A map-style dataset.
        seed: Seed of the permutation; the global generators are not touched.
        label_key: Position or key of the label in an item. By default the second entry of a tuple or list, or one of
            :data:`~saliency_callbacks.probe.unpack.LABEL_KEYS` of a dictionary.
        positions: The items among which labels are shuffled; all by default.

    Raises:
        ConfigurationError: The dataset is iterable, or its labels are not found, are not integer classes, or are all
            the same.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> dataset = TensorDataset(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1]))
        >>> permuted = permute_labels(dataset, seed=1)
        >>> sorted(int(label) for _, label in permuted)
        [0, 0, 1, 1]
    """
    check_dataset(dataset)
    labels = _labels(dataset, label_key)
    among = torch.arange(len(labels)) if positions is None else torch.as_tensor(list(positions), dtype=torch.long)
    if len(labels[among].unique()) < 2:
        raise ConfigurationError(
            f"all {len(among)} labels of {type(dataset).__name__} are {labels[among][:1].tolist()}; expected at least "
            "two classes, as permuting the labels would change nothing"
        )
    generator = torch.Generator().manual_seed(seed)
    targets = labels.clone()
    targets[among] = labels[among[torch.randperm(len(among), generator=generator)]]
    return PermutedLabels(dataset, targets, label_key)


def permute_loader(loader: Any, *, seed: int, label_key: int | str | None = None) -> DataLoader[Any]:
    """Return a dataloader like ``loader``, with the labels of its dataset shuffled; see :func:`permute_labels`.

    Raises:
        ConfigurationError: It is not a ``DataLoader`` of single items, or its dataset cannot be used.
    """
    if not isinstance(loader, DataLoader):
        raise ConfigurationError(
            f"the training data is {describe(loader)}; expected one torch DataLoader whose dataset holds the labels. "
            "Let `build` return one, or a datamodule whose `train_dataloader` returns one"
        )
    check_dataset(loader.dataset)
    if loader.batch_sampler is None:
        raise ConfigurationError(
            f"the items of {type(loader.dataset).__name__} are whole batches (batch_size=None), whose labels cannot be "
            "permuted one by one. Give a DataLoader that makes the batches from single items"
        )
    positions = candidate_indices(loader)
    return _with_dataset(loader, permute_labels(loader.dataset, seed=seed, label_key=label_key, positions=positions))


def _with_dataset(loader: DataLoader[Any], dataset: Dataset[Any]) -> DataLoader[Any]:
    """Return a dataloader that differs from ``loader`` in its dataset alone, which has as many items."""
    # Samplers work with positions, which are the same in both datasets.
    batches: dict[str, Any] = {"batch_sampler": loader.batch_sampler}
    if loader.batch_size is not None:
        batches = {"batch_size": loader.batch_size, "sampler": loader.sampler, "drop_last": loader.drop_last}
    return DataLoader(
        dataset,
        **batches,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )


def check_dataset(dataset: Any) -> None:
    """Raise a ConfigurationError if items cannot be read by their position."""
    if not is_map_style(dataset):
        raise ConfigurationError(
            f"{type(dataset).__name__} cannot be read by position, so its labels cannot be permuted; expected a "
            "map-style dataset with __len__ and __getitem__. Load what you train on into one, e.g. a TensorDataset"
        )


def _labels(dataset: Any, label_key: int | str | None) -> Tensor:
    # A key selects one of possibly several labels; attributes do not say which of them they hold.
    labels = dataset_labels(dataset) if label_key is None else None
    if labels is not None and all(_label(dataset, index, label_key) == labels[index] for index in _samples(labels)):
        return labels
    return torch.tensor([_label(dataset, index, label_key) for index in range(len(dataset))], dtype=torch.long)


def _samples(labels: Tensor) -> list[int]:
    """Return positions that reveal a transform of the labels: one of each class, and some more."""
    first_of_class = {label: index for index, label in reversed(list(enumerate(labels.tolist())))}
    spread = np.linspace(0, len(labels) - 1, min(_N_CHECKED, len(labels))).astype(int).tolist()
    return sorted({*first_of_class.values(), *spread})


def _label(dataset: Any, index: int, label_key: int | str | None) -> int:
    item = dataset[index]
    slot = _slot(item, label_key)
    label = _class_index(item[slot])
    if label is None:
        raise ConfigurationError(
            f"the label of item {index} of {type(dataset).__name__}, under {slot!r}, is {describe(item[slot])}; "
            "expected an integer class. Name another entry with `label_key=`, or let the dataset return class indices"
        )
    return label


def _slot(item: Any, label_key: int | str | None) -> Any:
    """Return the position or key of an item's label."""
    if isinstance(item, Mapping):
        return _key(item, label_key)
    position = 1 if label_key is None else label_key
    is_sequence = isinstance(item, list | tuple)
    if is_sequence and isinstance(position, int) and -len(item) <= position < len(item):
        return position
    if is_sequence and isinstance(position, str) and position in getattr(item, "_fields", ()):
        return item._fields.index(position)
    raise _not_found(item, label_key)


def _key(item: Mapping[Any, Any], label_key: int | str | None) -> Any:
    if label_key is not None:
        if label_key not in item:
            raise _not_found(item, label_key)
        return label_key
    by_name = {key.lower(): key for key in item if isinstance(key, str)}
    found = [by_name[name] for name in LABEL_KEYS if name in by_name]
    if not found:
        raise _not_found(item, label_key)
    return next((key for key in found if _class_index(item[key]) is not None), found[0])


def _not_found(item: Any, label_key: int | str | None) -> ConfigurationError:
    looked = f"label_key={label_key!r}" if label_key is not None else f"no entry 1, and none of the keys {LABEL_KEYS}"
    return ConfigurationError(
        f"no label was found in the item {describe(item)} ({looked}); expected (input, label, ...) or a dictionary. "
        "Name the position or key of the label with `label_key=`"
    )


def _class_index(value: Any) -> int | None:
    if not isinstance(value, Tensor | np.ndarray | np.generic | int):
        return None
    try:
        label = torch.as_tensor(value)
    except TypeError:
        return None
    is_class = label.numel() == 1 and not label.is_floating_point() and not label.is_complex()
    return int(label) if is_class else None


def _in_type_of(old: Any, label: int) -> Any:
    if isinstance(old, Tensor):
        return torch.full_like(old, label)
    if isinstance(old, np.ndarray):
        return np.full_like(old, label)
    return type(old)(label) if isinstance(old, np.generic | bool) else label


def _replaced(item: Any, slot: Any, label: Any) -> Any:
    if isinstance(item, Mapping):
        changed: Any = copy.copy(item) if isinstance(item, MutableMapping) else dict(item)
        changed[slot] = label
        return changed
    entries = list(item)
    entries[slot] = label
    if isinstance(item, list):
        return entries
    return type(item)(*entries) if hasattr(item, "_fields") else tuple(entries)
