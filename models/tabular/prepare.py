"""What every run on rows begins with: the rows that keep to the constraints, and their tokenizer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.checkpoint import unpack
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
    """Without the rows that break a rule. Raises UnfitColumn where none is left."""
    constraints = constraints_from_settings(settings)
    before = len(rows.train) + len(rows.holdout)
    rows = replace(
        rows,
        train=_satisfying(rows, rows.train, constraints),
        holdout=_satisfying(rows, rows.holdout, constraints),
    )
    broken = before - len(rows.train) - len(rows.holdout)
    if not len(rows.train):
        raise UnsupportedColumn(
            constraints[0].columns[0], "no row keeps to the constraints that were declared"
        )
    if broken:
        callbacks.warn(0, f"{broken} of {before} rows break a rule; they are not learned from")
    return rows


def _satisfying(
    rows: LabeledRows, index: NDArray[np.int64], constraints: list[Constraint]
) -> NDArray[np.int64]:
    held = np.ones(len(index), bool)
    for constraint in constraints:
        names = [*constraint.columns, *([] if constraint.total is None else [constraint.total])]
        held &= satisfies(constraint, rows.table.select(names).take(pa.array(index)))
    return index[held]


def fit_or_load_tokenizer(
    rows: LabeledRows, settings: TableSettings, seed: int, state: Path | None
) -> Tokenizer:
    """That of the state, or one that fits the training rows."""
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
        everything = np.union1d(rows.train, rows.holdout)
        return (
            tokenizer.with_row_hashes(rows.take(everything))
            if settings.store_row_hashes
            else tokenizer
        )
    tensors, header = unpack(state)
    return Tokenizer.from_tensors(header["tokenizer"], tensors)
