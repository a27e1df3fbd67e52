"""Area under the ROC curve, and its interval."""

import pytest
import torch

from models.metrics.roc import roc_auc


def test_auc_counts_all_pairs_and_ties_as_one_half() -> None:
    auc = roc_auc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert auc.value == pytest.approx((1 + 1.5 + 2) / 6)
    assert roc_auc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])).value == 1


def test_95_percent_of_the_intervals_cover_the_true_value() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = float(torch.distributions.Normal(0, 2**0.5).cdf(torch.tensor(1.0)))
    covered = 0
    for _ in range(400):
        auc = roc_auc(
            torch.randn(60, generator=generator) + 1, torch.randn(40, generator=generator)
        )
        covered += abs(auc.value - truth) < auc.error
    assert 0.91 < covered / 400 < 0.98
