"""Rows as the loop sees them: a table on disk, tokens in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import split
from models.tabular.schema import ColumnSchema

MAX_HOLDOUT_ROWS = 10_000  # held-out rows that are looked at
MIN_HOLDOUT_ROWS = 20  # of them to judge by


@dataclass(frozen=True)
class LabeledRows:
    """`table` memory-mapped as a rule; `label` names the column that comes first."""

    table: pa.Table
    schema: tuple[ColumnSchema, ...]
    target_column: str | None
    train: NDArray[np.int64]
    holdout: NDArray[np.int64]

    @classmethod
    def split(
        cls,
        table: pa.Table,
        schema: Sequence[ColumnSchema],
        *,
        target_column: str | None,
        holdout_fraction: float,
        seed: int,
    ) -> Self:
        """Keep a share of the rows for measuring; at least one is left to learn from."""
        return cls(
            table,
            tuple(schema),
            target_column,
            *split.random_split(len(table), holdout_fraction, seed),
        )

    def take(self, index: NDArray[np.int64]) -> pa.Table:
        """Only the columns that samples have are read."""
        kept = [column.name for column in self.schema if column.in_samples]
        return self.table.select(kept).take(pa.array(index))


class TokenBatches:
    """Each row once an epoch, in an order that depends on (seed, epoch) alone: a run that is
    resumed at a step sees what an unbroken one would have seen."""

    def __init__(self, tokens: Tensor, batch_size: int, seed: int) -> None:
        """`tokens` (S, N)."""
        # Half the memory: all rows are kept in it.
        self._tokens, self._seed = tokens.T.to(torch.int32, copy=True).contiguous(), seed
        self.batch_size = min(batch_size, len(self._tokens))
        self.steps_per_epoch = len(self._tokens) // self.batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def batch_at(self, step: int) -> Tensor:
        """The (S, B) batch of a step, which counts from 0."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, epoch))
            self._order, self._epoch = torch.from_numpy(rng.permutation(len(self._tokens))), epoch
        index = self._order[within * self.batch_size : (within + 1) * self.batch_size]
        return self._tokens[index].T.long().contiguous()
