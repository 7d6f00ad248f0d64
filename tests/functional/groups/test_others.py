from __future__ import annotations

import numpy as np
import pytest
import torch

from saliency_callbacks.errors import ConfigurationError
from saliency_callbacks.functional.groups.others import medians_and_spreads_of_others, medians_of_others


def _values(rows: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    # Few different values, so that there are ties.
    return torch.randint(0, 2 * rows, (rows, 3, 50), generator=generator).double()


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 9, 10, 201])
def test_medians_are_those_of_the_other_rows(rows: int) -> None:
    values = _values(rows)
    found, spreads = medians_and_spreads_of_others(values)
    assert torch.equal(found, medians_of_others(values))
    for row in range(rows):
        others = np.delete(values.numpy(), row, axis=0)
        # The lower of the two in the middle.
        middle = np.quantile(others, 0.5, axis=0, method="lower")
        np.testing.assert_array_equal(found[row].numpy(), middle)
        spread = np.quantile(np.abs(others - middle), 0.5, axis=0, method="lower")
        np.testing.assert_array_equal(spreads[row].numpy(), spread)


def test_one_row_has_no_others() -> None:
    with pytest.raises(ConfigurationError, match="values have 1 rows; expected at least two"):
        medians_of_others(torch.zeros(1, 3))
