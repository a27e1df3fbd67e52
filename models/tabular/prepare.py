"""Preparation of a tabular training run: rows that satisfy the constraints, and their tokenizer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.checkpoint import load_tokenizer
from models.tabular.constraint_checks import satisfies
from models.tabular.constraints import Constraint
from models.tabular.data import LabeledRows
from models.tabular.schema import UnsupportedColumn
from models.tabular.settings import TableSettings
from models.tabular.tokenizer import Tokenizer
from models.training_callbacks import TrainingCallbacks


def constraints_from_settings(settings: TableSettings) -> list[Constraint]:
    return [Constraint.from_dict(constraint) for constraint in settings.constraints]


def filter_rows(
    rows: LabeledRows, settings: TableSettings, callbacks: TrainingCallbacks
) -> LabeledRows:
    """Drop the rows that violate a constraint. Raises UnsupportedColumn if none is left."""
    constraints = constraints_from_settings(settings)
    total = len(rows.train) + len(rows.holdout)
    rows = replace(
        rows,
        train=_satisfying(rows, rows.train, constraints),
        holdout=_satisfying(rows, rows.holdout, constraints),
    )
    violating = total - len(rows.train) - len(rows.holdout)
    if not len(rows.train):
        raise UnsupportedColumn(
            constraints[0].columns[0], "no row satisfies the declared constraints"
        )
    if violating:
        callbacks.warn(
            0, f"{violating} of {total} rows violate a constraint and are not used for training."
        )
    return rows


def _satisfying(
    rows: LabeledRows, index: NDArray[np.int64], constraints: list[Constraint]
) -> NDArray[np.int64]:
    mask = np.ones(len(index), bool)
    for constraint in constraints:
        names = [*constraint.columns, *([] if constraint.total is None else [constraint.total])]
        mask &= satisfies(constraint, rows.table.select(names).take(pa.array(index)))
    return index[mask]


def fit_or_load_tokenizer(
    rows: LabeledRows, settings: TableSettings, seed: int, state: Path | None
) -> Tokenizer:
    """Load the tokenizer of `state`, or fit one to the training rows."""
    if state is None:
        tokenizer = Tokenizer.fit(
            rows.take(rows.train),
            rows.schema,
            target_column=rows.target_column,
            seed=seed,
            always_sub_bins=settings.architecture == "gan",
            constraints=constraints_from_settings(settings),
            min_value_count=settings.min_value_count,
        )
        all_rows = np.union1d(rows.train, rows.holdout)
        return (
            tokenizer.with_row_hashes(rows.take(all_rows))
            if settings.store_row_hashes
            else tokenizer
        )
    return load_tokenizer(state)
