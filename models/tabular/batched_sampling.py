"""The rows that an order names, some thousand at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.partial_rows import PartialRows
from models.tabular.sampling import SampleBatch, TableSampler
from models.tabular.sampling_plan import RowSamplingPlan, Where

ROWS_PER_BATCH = 16_384
PARTIAL_ROWS_PER_BATCH = 1_024  # each takes many candidates


def iter_chunks(plan: RowSamplingPlan) -> Iterator[tuple[NDArray[np.int64], tuple[Where, ...]]]:
    """Numbers, and what they meet in turn, for `drawn`."""
    for part in plan.ranges:
        for numbers in part.iter_chunks(ROWS_PER_BATCH):
            yield numbers, part.conditions


def iter_batches(sampler: TableSampler, plan: RowSamplingPlan) -> Iterator[SampleBatch]:
    """All rows, some thousand at a time, unique among each other where a rule wants it.

    Raises, as rows are drawn, InvalidCondition, InvalidKnown, CannotComplete, NoHashes and TooRare.
    """
    if plan.partial_rows:
        known = PartialRows.parse(sampler.tokenizer, plan.partial_rows)
        for numbers in plan.ranges[0].iter_chunks(PARTIAL_ROWS_PER_BATCH):
            index = numbers - plan.ranges[0].start
            yield sampler.complete(plan.seed, numbers, known.take(index))
        return
    seen: set[Any] = set()
    for numbers, wheres in iter_chunks(plan):
        yield generate_batch(
            sampler,
            plan.seed,
            numbers,
            wheres,
            seen,
            exclude_training_rows=plan.exclude_training_rows,
        )


def generate_batch(
    sampler: TableSampler,
    seed: int,
    indices: NDArray[np.int64],
    conditions: tuple[Where, ...],
    seen: set[Any] | None = None,
    *,
    exclude_training_rows: bool = False,
) -> SampleBatch:
    """One row for each number; with several conditions, number k meets condition k mod their
    number. Rows that have to be unique are other than those of `seen`, which they join."""
    if len(conditions) == 1:
        return sampler.sample(
            seed, indices, conditions[0], seen, exclude_training_rows=exclude_training_rows
        )
    turn = indices % len(conditions)
    parts = [
        sampler.sample(
            seed, indices[turn == i], where, seen, exclude_training_rows=exclude_training_rows
        )
        for i, where in enumerate(conditions)
        if (turn == i).any()
    ]
    place = np.argsort(np.concatenate([np.flatnonzero(turn == i) for i in range(len(conditions))]))
    rows = pa.concat_batches([part.rows for part in parts]).take(pa.array(place))
    kept = sum(len(part.rows) for part in parts)
    return SampleBatch(rows, kept / sum(len(part.rows) / part.acceptance_rate for part in parts))
