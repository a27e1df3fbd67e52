"""Whether a generator makes one and the same item whatever the noise. Only that is looked for: how
good and how varied samples are is for an evaluation to say.

The collapse that Goodfellow et al. (2014, 1406.2661, section 6) warn of, in its last stage.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LEAST = 0.01  # of the real images' spread
FEW = 10  # different rows


def one_picture(made: NDArray[np.uint8], real: NDArray[np.uint8]) -> bool:
    """Whether images (N, H, W[, 3]) of one label are the same, while real ones (M, …) differ."""
    there = float(real.std(axis=0).mean())
    return there > 0 and float(made.std(axis=0).mean()) < LEAST * there


def one_row(made: pa.RecordBatch, real: pa.Table) -> bool:
    """Whether all rows are the same in the columns of `real`, whose rows differ."""
    return len(_different(made.select(real.column_names))) == 1 and len(_different(real)) >= FEW


def _different(rows: pa.Table | pa.RecordBatch) -> set[tuple[Any, ...]]:
    return set(zip(*(column.to_pylist() for column in rows.columns), strict=True))
