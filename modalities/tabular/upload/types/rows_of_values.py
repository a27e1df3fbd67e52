"""Rows in which the distinct values of a batch occur."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import MAX_STORED_EXAMPLES


@dataclass(frozen=True)
class RowsOfValues:
    """The rows of the distinct values of a batch; `codes` (N,) index them, -1 is none of them."""

    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    first_row: int  # index of the batch's first row

    def count(self, mask: NDArray[np.bool_]) -> int:
        return int(self.counts[mask].sum())

    def examples(self, examples: list[int], mask: NDArray[np.bool_]) -> list[int]:
        """Append the one-based numbers of the rows whose value is in `mask`."""
        if len(examples) >= MAX_STORED_EXAMPLES or not mask.any():
            return examples
        # The appended False is what the code -1 selects.
        indices = np.flatnonzero(np.append(mask, False)[self.codes])[:MAX_STORED_EXAMPLES]
        return [*examples, *(self.first_row + int(i) + 1 for i in indices)][:MAX_STORED_EXAMPLES]

    def select(self, mask: NDArray[np.bool_]) -> "RowsOfValues":
        """Return the rows of the values in `mask` only."""
        index = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        return RowsOfValues(index[self.codes], self.counts[mask], self.first_row)
