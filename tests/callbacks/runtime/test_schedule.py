import pytest

from saliency_callbacks.callbacks.runtime.schedule import check_interval, is_due
from saliency_callbacks.errors import ConfigurationError


def _observed(validated: list[int], every_n_epochs: int) -> list[int]:
    last, observed = None, []
    for epoch in validated:
        if is_due(epoch, last, every_n_epochs):
            last = epoch
            observed.append(epoch)
    return observed


@pytest.mark.parametrize(
    ("validated", "every_n_epochs", "expected"),
    [
        (range(5), 1, [0, 1, 2, 3, 4]),
        (range(7), 3, [0, 3, 6]),
        (range(4, 9), 3, [4, 7]),
        # check_val_every_n_epoch=2: the interval is reached at the next validation.
        ([1, 3, 5, 7, 9], 3, [1, 5, 9]),
        # val_check_interval=0.5: both validations of an epoch.
        ([0, 0, 1, 1, 2, 2], 2, [0, 0, 2, 2]),
    ],
)
def test_observed_epochs(validated, every_n_epochs, expected):
    assert _observed(list(validated), every_n_epochs) == expected


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", True, None])
def test_an_interval_is_a_positive_whole_number(value):
    with pytest.raises(ConfigurationError, match=r"every_n_epochs=.*at least 1"):
        check_interval(value)


def test_a_valid_interval():
    assert check_interval(3) == 3
