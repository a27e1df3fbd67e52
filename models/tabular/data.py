"""Training rows: a table on disk, and batches of its tokens in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import split
from models.placement import CPU, has_room, upload
from models.tabular.schema import ColumnSchema

MAX_HOLDOUT_ROWS = 10_000  # used by each evaluation
MIN_HOLDOUT_ROWS = 20  # with fewer, nothing is evaluated


CONSTANT = ""  # name of a column that no upload has


@dataclass(frozen=True)
class LabeledRows:
    """A table, usually memory-mapped, and the indices of its training and holdout rows.

    `target_column` is the column of the labels, if there is one.
    """

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
        """Split the rows at random; at least one row is left for training.

        A table of identifiers only gets a constant column, the only one that is learned. Samples
        leave it out, because it is not in the model's manifest.
        """
        schema = tuple(schema)
        if not any(column.in_samples and column.type != "id" for column in schema):
            table = table.append_column(CONSTANT, pa.array(np.zeros(len(table), bool)))
            schema = (*schema, ColumnSchema(CONSTANT, "boolean"))
        return cls(
            table,
            schema,
            target_column,
            *split.random_split(len(table), holdout_fraction, seed),
        )

    def take(self, index: NDArray[np.int64]) -> pa.Table:
        """Return rows by index. Reads only the columns that samples have."""
        names = [column.name for column in self.schema if column.in_samples]
        return self.table.select(names).take(pa.array(index))


class TokenBatches:
    """Shuffled batches of token rows.

    Each epoch visits each row once, or more often if its label is rare, except for an incomplete
    last batch, which is dropped. The order depends on (seed, epoch) alone, so a resumed run sees
    the same batches.
    """

    def __init__(
        self,
        tokens: Tensor,
        batch_size: int,
        seed: int,
        visits: NDArray[np.float64] | None = None,
        device: torch.device = CPU,
    ) -> None:
        """Store `tokens` (S, N) by row: on the device, if they leave half of its memory.

        `visits` (N,) is the mean number of times, at least 1, that an epoch visits each row.
        """
        # int32 halves the memory, which holds the tokens of all rows.
        self._tokens, self._seed = tokens.T.to(torch.int32, copy=True).contiguous(), seed
        self._device = device
        if has_room(device, self._tokens.nbytes):
            self._tokens = self._tokens.to(device)
        self.batch_size = min(batch_size, len(self._tokens))
        self._repeat_ends = np.zeros(1) if visits is None else np.cumsum(visits - 1.0)
        self._repeats = int(self._repeat_ends[-1])  # per epoch
        self.steps_per_epoch = (len(self._tokens) + self._repeats) // self.batch_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def batch_at(self, step: int) -> Tensor:
        """Return the (B, S) batch of a zero-based training step, stored as contiguous (S, B)."""
        return self.batch_with_repeats_at(step)[0]

    def batch_with_repeats_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch, and the (B,) mask of rows beyond the first visit of the epoch."""
        epoch, batch_index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = self._order_of(epoch)
            self._order, self._epoch = upload(order, self._tokens.device), epoch
        part = self._order[batch_index * self.batch_size : (batch_index + 1) * self.batch_size]
        rows, is_repeated = part % len(self._tokens), part >= len(self._tokens)
        tokens = self._tokens[rows]
        if tokens.device != self._device:
            tokens, is_repeated = upload(tokens, self._device), upload(is_repeated, self._device)
        return tokens.T.long().contiguous().T, is_repeated

    def _order_of(self, epoch: int) -> Tensor:
        """Return the rows of an epoch in order; a repeated row has N added to its index."""
        n, rng = len(self._tokens), np.random.default_rng((self._seed, epoch))
        order = rng.permutation(n + self._repeats)
        if self._repeats:
            # Systematic sampling: each row is repeated as often as `visits` demands, up to 1.
            targets = np.arange(self._repeats) + rng.random()
            repeated = np.searchsorted(self._repeat_ends[:-1], targets, side="right")
            order = np.concatenate([np.arange(n), n + repeated])[order]
        return torch.from_numpy(order)
