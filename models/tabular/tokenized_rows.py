"""Rows of a dataset as tokens."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from models.tabular.data import MAX_HOLDOUT_ROWS, LabeledRows
from models.tabular.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenizedRows:
    """Tokens (S, N) of the training rows and of the held-out rows, with their tokenizer."""

    tokenizer: Tokenizer
    train: Tensor
    holdout: Tensor

    @classmethod
    def encode(cls, rows: LabeledRows, tokenizer: Tokenizer, seed: int) -> Self:
        train, holdout = (
            torch.from_numpy(tokenizer.encode(rows.take(index), seed))
            for index in (rows.train, rows.holdout[:MAX_HOLDOUT_ROWS])
        )
        return cls(tokenizer, train, holdout)

    def with_exclusions(self) -> Self:
        """Return a copy whose samples avoid combinations of values that no training row has."""
        return replace(self, tokenizer=self.tokenizer.with_exclusions(self.train.numpy()))
