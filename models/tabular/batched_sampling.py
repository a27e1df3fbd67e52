"""Batch-wise sampling of the rows of a sampling plan."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.completion.consistent_tokens import follow_from_others
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.rare_conditions import is_rare, sample_rare
from models.tabular.sampling import SampleBatch, TableSampler
from models.tabular.sampling_plan import RowIndexRange, RowSamplingPlan, Where

ROWS_PER_BATCH = 16_384
PARTIAL_ROWS_PER_BATCH = 1_024  # each row takes many particles
FOLLOWING_ROWS_PER_BATCH = 64  # with given values that follow from others: a batch is one turn
RARE_ROWS_PER_BATCH = 16  # which are completed, next to those of frequent conditions


def iter_batches(sampler: TableSampler, plan: RowSamplingPlan) -> Iterator[SampleBatch]:
    """Yield all rows of the plan, batch by batch.

    Rows are unique across batches where a constraint requires it.

    Raises, while rows are sampled: InvalidCondition, InvalidPartialRow, CompletionUnsupported,
    RowHashesMissing, AcceptanceRateTooLow.
    """
    if plan.partial_rows:
        partial_rows = PartialRows.parse(sampler.tokenizer, plan.partial_rows)
        follows = follow_from_others(sampler.tokenizer, partial_rows).any()
        size = FOLLOWING_ROWS_PER_BATCH if follows else PARTIAL_ROWS_PER_BATCH
        for indices in plan.ranges[0].iter_chunks(size):
            offsets = indices - plan.ranges[0].start
            yield complete_rows(sampler, plan.seed, indices, partial_rows.take(offsets))
        return
    seen: set[Any] = set()
    for index_range in plan.ranges:
        for indices in index_range.iter_chunks(_batch_size(sampler, plan, index_range)):
            yield generate_batch(
                sampler,
                plan.seed,
                indices,
                index_range.conditions,
                seen,
                identifier_numbers=index_range.identifier_numbers(indices),
                exclude_training_rows=plan.exclude_training_rows,
            )


def _batch_size(sampler: TableSampler, plan: RowSamplingPlan, index_range: RowIndexRange) -> int:
    """Return the number of rows of a batch, of which few meet rare conditions."""
    if plan.exclude_training_rows:
        return ROWS_PER_BATCH
    conditions = index_range.conditions  # which the rows meet in turn
    if not (num_rare := sum(is_rare(sampler, condition) for condition in conditions)):
        return ROWS_PER_BATCH
    return min(ROWS_PER_BATCH, RARE_ROWS_PER_BATCH * len(conditions) // num_rare)


def generate_batch(
    sampler: TableSampler,
    seed: int,
    indices: NDArray[np.int64],
    conditions: tuple[Where, ...],
    seen: set[Any] | None = None,
    *,
    identifier_numbers: NDArray[np.int64] | None = None,
    exclude_training_rows: bool = False,
) -> SampleBatch:
    """Generate one row for each index.

    With several conditions, row k meets condition k mod len(conditions). `seen` holds the values of
    rows that unique constraints compare with; accepted rows are added to it. `identifier_numbers`
    are the indices by default.
    """
    numbers = indices if identifier_numbers is None else identifier_numbers
    condition_index = indices % len(conditions)
    parts = []
    for i, condition in enumerate(conditions):
        own, own_numbers = indices[condition_index == i], numbers[condition_index == i]
        if not len(own):
            continue
        if not exclude_training_rows and is_rare(sampler, condition):
            parts.append(sample_rare(sampler, seed, own, condition, own_numbers))
            continue
        parts.append(
            sampler.sample(
                seed,
                own,
                condition,
                seen,
                identifier_numbers=own_numbers,
                exclude_training_rows=exclude_training_rows,
            )
        )
    if len(conditions) == 1:
        return parts[0]
    original_order = np.argsort(
        np.concatenate([np.flatnonzero(condition_index == i) for i in range(len(conditions))])
    )
    rows = pa.concat_batches([part.rows for part in parts]).take(pa.array(original_order))
    num_rows = sum(len(part.rows) for part in parts)
    return SampleBatch(
        rows, num_rows / sum(len(part.rows) / part.acceptance_rate for part in parts)
    )
