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
from models.tables.schema import ColumnSchema

MEASURED = 10_000  # held-out rows that are looked at
ENOUGH = 20  # of them to judge by


@dataclass(frozen=True)
class LabelledRows:
    """`table` memory-mapped as a rule; `label` names the column that comes first."""

    table: pa.Table
    schema: tuple[ColumnSchema, ...]
    label: str | None
    train: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @classmethod
    def split(
        cls,
        table: pa.Table,
        schema: Sequence[ColumnSchema],
        *,
        label: str | None,
        held_out: float,
        seed: int,
    ) -> Self:
        """Keep a share of the rows for measuring; at least one is left to learn from."""
        return cls(table, tuple(schema), label, *split.of_all(len(table), held_out, seed))

    def part(self, index: NDArray[np.int64]) -> pa.Table:
        """Only the columns that samples have are read."""
        kept = [column.name for column in self.schema if column.kept]
        return self.table.select(kept).take(pa.array(index))


class Batches:
    """Each row once an epoch, in an order that depends on (seed, epoch) alone: a run that is
    resumed at a step sees what an unbroken one would have seen."""

    def __init__(self, tokens: Tensor, size: int, seed: int) -> None:
        """`tokens` (S, N)."""
        # Half the memory: all rows are kept in it.
        self._tokens, self._seed = tokens.T.to(torch.int32, copy=True).contiguous(), seed
        self.size = min(size, len(self._tokens))
        self.per_epoch = len(self._tokens) // self.size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def at(self, step: int) -> Tensor:
        """The (S, B) batch of a step, which counts from 0."""
        epoch, within = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            rng = np.random.default_rng((self._seed, epoch))
            self._order, self._epoch = torch.from_numpy(rng.permutation(len(self._tokens))), epoch
        index = self._order[within * self.size : (within + 1) * self.size]
        return self._tokens[index].T.long().contiguous()
