"""Training of the generator to tell the label of a row from another one.

The likelihood of a row is mostly that of its columns given each other; how they depend on the label
is a small part of it, which is hardly learned from few rows. So rows are also compared with copies
of themselves that have another label.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from models.placement import upload


@dataclass(frozen=True)
class LabelContrast:
    """The loss of telling rows from their copies, for rows whose first token is their label.

    It is the conditional likelihood of the label as an objective of a generative model (Bouchard &
    Triggs 2004, "The tradeoff between generative and discriminative classifiers"), with one random
    other label in place of all of them (ranking by noise contrast, Ma & Collins 2018, 1809.01812).
    """

    log_visits: Tensor  # (K,) of a row of each label, in an epoch

    @classmethod
    def fit(cls, labels: Tensor, visits: Tensor, num_labels: int, device: torch.device) -> Self:
        """Take the means of the (N,) visits of rows by their (N,) labels."""
        counts = torch.bincount(labels, minlength=num_labels).clamp_min(1)
        means = torch.bincount(labels, visits, minlength=num_labels) / counts
        return cls(upload(means.clamp_min(1).log().float(), device))

    def losses(self, step_losses: Tensor, labels: Tensor, other_labels: Tensor) -> Tensor:
        """Return the (B,) values of -log p(label | columns, label or other label).

        `step_losses` (S, 2 * B) are those of the rows, then those of their copies. Each label is
        weighted by how often an epoch visits its rows, which is more often if it is rare.
        """
        of_rows, of_copies = step_losses.sum(0).chunk(2)
        log_odds = of_copies - of_rows + self.log_visits[labels] - self.log_visits[other_labels]
        return F.softplus(-log_odds)


def add_copies(rows: Tensor, other_labels: Tensor) -> Tensor:
    """Return (S, 2 * B) rows: the (S, B) ones, then copies with the (B,) other labels."""
    return torch.cat([rows, torch.cat([other_labels[None], rows[1:]])], 1)
