"""A dataset with its labels shuffled among its items: what can be learned from it is not in the inputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from saliency_callbacks.config.batch_names import LABEL_KEYS
from saliency_callbacks.config.fields import fields_of, with_fields
from saliency_callbacks.config.nested import describe
from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.probe.labels.classes import dataset_labels, label_sets
from saliency_callbacks.probe.labels.columns import chosen_column
from saliency_callbacks.probe.labels.paths import entry_at, keys_to
from saliency_callbacks.probe.loaders import candidate_indices
from saliency_callbacks.probe.stream import is_map_style
from saliency_callbacks.probe.unpack import split_batch

__all__ = ["PermutedLabels", "check_dataset", "label_keys", "permute_labels", "permute_loader"]

_N_CHECKED = 16
_N_COLLATED = 4


class PermutedLabels(Dataset[Any]):
    """Return each item of a dataset with the label of another one.

    Args:
        dataset: A map-style dataset; its items are tuples, lists, named tuples or dictionaries.
        targets: The label that each item gets, ``int64 [len(dataset)]``, or its labels, ``bool [len(dataset), K]``.
        keys: The keys and positions that lead to the label in an item.
        width: Number of entries of a row of 0 and 1, where items have one instead of a class.
    """

    def __init__(self, dataset: Any, targets: Tensor, keys: tuple[Any, ...] = (1,), width: int = 1) -> None:
        self.dataset = dataset
        self.targets = targets
        self.keys = keys
        is_rows = width > 1 and targets.ndim == 1
        self._given = torch.nn.functional.one_hot(targets, width) if is_rows else targets

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        """Return the item at ``index`` with its new label in the old one's type, and with copies of what that is in."""
        return _replaced(self.dataset[index], self.keys, self._given[index])


def permute_labels(
    dataset: Any,
    *,
    seed: int,
    label_key: int | str | None = None,
    positions: Sequence[int] | None = None,
) -> PermutedLabels:
    """Shuffle the labels of a dataset among its items: item i gets the label of item perm[i].

    Labels are taken from the dataset's attributes where these agree with the items, of which one per class is read;
    otherwise all items are read.

    Args:
        dataset: A map-style dataset.
        seed: Seed of the permutation; the global generators are not touched.
        label_key: Position or key of the label in an item, or several with dots between, such as ``"target.label"``. By
            default where a probe finds the labels in a batch.
        positions: The items among which labels are shuffled; all by default.

    Raises:
        ConfigurationError: The dataset is iterable, or its labels are not found, are neither classes nor rows of 0 and
            1, or are all the same.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> dataset = TensorDataset(torch.zeros(4, 1), torch.tensor([0, 0, 1, 1]))
        >>> permuted = permute_labels(dataset, seed=1)
        >>> sorted(int(label) for _, label in permuted)
        [0, 0, 1, 1]
    """
    check_dataset(dataset)
    keys = label_keys(dataset, label_key)
    labels = _labels(dataset, keys, label_key)
    among = torch.arange(len(labels)) if positions is None else torch.as_tensor(list(positions), dtype=torch.long)
    if len(labels[among].unique(dim=0)) < 2:
        raise ConfigurationError(
            f"all {len(among)} labels of {type(dataset).__name__} are {labels[among][:1].tolist()}; expected at least "
            "two classes, because permuting equal labels changes nothing"
        )
    generator = torch.Generator().manual_seed(seed)
    targets = labels.clone()
    targets[among] = labels[among[torch.randperm(len(among), generator=generator)]]
    row = _read(entry_at(dataset[0], keys))
    return PermutedLabels(dataset, targets, keys, 1 if row is None else len(row))


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
            f"the items of {type(loader.dataset).__name__} are whole batches (batch_size=None), whose labels cannot "
            "be permuted one by one. Give a DataLoader that builds batches from single items"
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
            "map-style dataset with __len__ and __getitem__. Load the training data into one, e.g. a TensorDataset"
        )


def label_keys(dataset: Any, label_key: int | str | None) -> tuple[Any, ...]:
    """Return the keys and positions that lead to the label in an item of a dataset.

    By default it is where a probe finds it in a batch: where the labels are that the dataset tells of, else under a
    usual name or in the first part that can be read as labels.

    Raises:
        ConfigurationError: There is no such part.
    """
    item = dataset[0]
    if label_key is not None:
        keys = keys_to(item, label_key)
        if keys is None:
            raise _not_found(item, label_key)
        return keys
    try:
        positions = _spread(len(dataset), _N_COLLATED)
        columns = split_batch(default_collate([dataset[index] for index in positions])).columns
        known = dataset_labels(dataset)
        column, _ = chosen_column(columns, None if known is None else known[positions])
    except Exception:
        # Items that only a function of the dataloader's can bring together.
        column = None
    found = None if column is None else keys_to(item, column.path)
    return _usual_keys(item) if found is None else found


def _usual_keys(item: Any) -> tuple[Any, ...]:
    fields = fields_of(item)
    if isinstance(item, list | tuple) and len(item) > 1:
        return (1,)
    by_name = {} if fields is None else {key.lower(): key for key in fields if isinstance(key, str)}
    found = [by_name[name] for name in LABEL_KEYS if name in by_name]
    if not found:
        raise _not_found(item, None)
    return (next((key for key in found if _read(entry_at(item, (key,))) is not None), found[0]),)


def _labels(dataset: Any, keys: tuple[Any, ...], label_key: int | str | None) -> Tensor:
    """Return the label of each item, ``int64 [len(dataset)]``, or its labels, ``bool [len(dataset), K]``."""
    # A key selects one of possibly several labels; attributes do not say which of them they hold.
    told = dataset_labels(dataset) if label_key is None else None
    if told is not None and all(_is_class(dataset[index], keys, int(told[index])) for index in _samples(told)):
        return told
    rows = [_row(dataset, index, keys, label_key) for index in range(len(dataset))]
    if len({len(row) for row in rows}) > 1:
        raise ConfigurationError(
            f"the labels of {type(dataset).__name__}, under {_shown(keys)}, have {min(map(len, rows))} to "
            f"{max(map(len, rows))} entries; expected one class per item, or a row with a 0 or 1 for each class. Name "
            "another entry with `label_key=`"
        )
    labels = torch.stack(rows)
    if labels.shape[1] == 1:
        return labels[:, 0]
    return labels.bool() if label_sets(labels) is not None else labels.argmax(dim=1)


def _is_class(item: Any, keys: tuple[Any, ...], known: int) -> bool:
    row = _read(entry_at(item, keys))
    if row is None:
        return False
    return int(row if len(row) == 1 else row.argmax()) == known and (len(row) == 1 or int(row.sum()) == 1)


def _spread(size: int, n: int = _N_CHECKED) -> list[int]:
    return sorted(set(np.linspace(0, size - 1, min(n, size)).astype(int).tolist()))


def _samples(labels: Tensor) -> list[int]:
    """Return positions that reveal a transform of the labels: one of each class, and some more."""
    first_of_class = {label: index for index, label in reversed(list(enumerate(labels.tolist())))}
    return sorted({*first_of_class.values(), *_spread(len(labels))})


def _row(dataset: Any, index: int, keys: tuple[Any, ...], label_key: int | str | None) -> Tensor:
    """Return the label of an item as ``int64 [1]``, or its labels as a row of 0 and 1, ``int64 [K]``."""
    entry = entry_at(dataset[index], keys)
    row = _read(entry, is_named=label_key is not None)
    if row is None:
        raise ConfigurationError(
            f"the label of item {index} of {type(dataset).__name__}, under {_shown(keys)}, is {describe(entry)}; "
            "expected an integer class, or a row of zeros and ones. Name another entry with `label_key=`, or let the "
            "dataset return class indices"
        )
    return row


def _shown(keys: tuple[Any, ...]) -> str:
    return repr(keys[0] if len(keys) == 1 else ".".join(map(str, keys)))


def _not_found(item: Any, label_key: int | str | None) -> ConfigurationError:
    looked = "no part that can be read as labels" if label_key is None else f"label_key={label_key!r}"
    return ConfigurationError(
        f"no label was found in the item {describe(item)} ({looked}); expected (input, label, …) or a dictionary. "
        "Name the position or key of the label with `label_key=`, or a dotted path such as 'target.label'"
    )


def _read(value: Any, *, is_named: bool = False) -> Tensor | None:
    """Return a label as ``int64 [1]``, or several as a row of 0 and 1; ``None`` where it is neither."""
    if isinstance(value, list | tuple):
        value = np.asarray(value) if all(isinstance(each, int | float | np.generic) for each in value) else None
    if not isinstance(value, Tensor | np.ndarray | np.generic | int | float):
        return None
    try:
        label = torch.as_tensor(value).detach().cpu()
    except TypeError:
        return None
    if label.is_complex() or not label.numel() or (label.numel() > 1 and label.ndim != 1):
        return None
    is_binary = bool(((label == 0) | (label == 1)).all())
    is_whole = not label.is_floating_point() or is_binary or (is_named and bool((label == label.round()).all()))
    return label.flatten().long() if is_binary or (label.numel() == 1 and is_whole) else None


def _in_type_of(old: Any, label: Tensor) -> Any:
    """Return a label, or a row of labels, in the type and shape of another."""
    if isinstance(old, Tensor):
        return label.to(old.device, old.dtype).reshape(old.shape)
    if isinstance(old, np.ndarray):
        return label.numpy().astype(old.dtype).reshape(old.shape)
    if isinstance(old, list | tuple):
        return type(old)(type(before)(now) for before, now in zip(old, label.tolist(), strict=True))
    return type(old)(label.item()) if isinstance(old, np.generic | bool | float) else int(label)


def _replaced(item: Any, keys: tuple[Any, ...], label: Tensor) -> Any:
    """Return an item with another label, and copies of the containers that it is in."""
    if not keys:
        return _in_type_of(item, label)
    key, *others = keys
    changed = _replaced(entry_at(item, (key,)), tuple(others), label)
    fields = fields_of(item)
    if isinstance(item, Mapping):
        copied: Any = copy.copy(item) if isinstance(item, MutableMapping) else dict(item)
        copied[key] = changed
        return copied
    if fields is not None and key in fields:
        return with_fields(item, {key: changed})
    entries = list(item)
    entries[key] = changed
    if isinstance(item, list):
        return entries
    return type(item)(*entries) if hasattr(item, "_fields") else tuple(entries)
