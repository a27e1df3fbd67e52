"""The area under the ROC curve, and how far chance may take it."""

import pytest
import torch

from models.metrics.roc import roc_auc


def test_all_pairs_are_counted_and_equal_ones_by_half() -> None:
    found = roc_auc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert found.value == pytest.approx((1 + 1.5 + 2) / 6)
    assert roc_auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])).value == 1


def test_nineteen_of_twenty_intervals_hold_what_is_true() -> None:
    numbers = torch.Generator().manual_seed(0)
    truth = float(torch.distributions.Normal(0, 2**0.5).cdf(torch.tensor(1.0)))
    held = 0
    for _ in range(400):
        found = roc_auc(torch.randn(60, generator=numbers) + 1, torch.randn(40, generator=numbers))
        held += abs(found.value - truth) < found.error
    assert 0.91 < held / 400 < 0.98
