"""Checks of training settings against the values of a table, before a job is created."""

import json
from collections.abc import Sequence

import numpy as np

from core.storage import StoredObject, get_storage
from core.tables import Dataset
from modalities.tabular.schema import Column, Schema
from modalities.tabular.typed_parquet import TypedParquet
from models.settings import InvalidSettings
from models.tabular.constraints.checks import satisfies
from models.tabular.constraints.declarations import Constraint

MAX_CHECKED_ROWS = 200_000
MAX_VIOLATING_FRACTION = 0.5  # of the rows, which training leaves out


def check_constraints(dataset: Dataset, constraints: Sequence[Constraint]) -> None:
    """Raise InvalidSettings for a constraint that most rows break."""
    schema = Schema.from_dict(dataset.summary)
    checked = [(i, c) for i, c in enumerate(constraints) if c.kind in ("inequality", "sum")]
    if not checked:
        return
    with get_storage().open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        rows = TypedParquet(path)
        for index, constraint in checked:
            _check_constraint(rows, schema, constraint, index)


def _check_constraint(
    rows: TypedParquet, schema: Schema, constraint: Constraint, index: int
) -> None:
    names = [*constraint.columns, *([] if constraint.total is None else [constraint.total])]
    columns: tuple[Column, ...] = tuple(schema[name] for name in names)
    total, violating, first = 0, 0, 0
    for batch in rows.batches(columns):
        broken = ~satisfies(constraint, batch)
        if not first and broken.any():
            first = total + int(np.argmax(broken)) + 1
        total, violating = total + len(broken), violating + int(broken.sum())
        if total >= MAX_CHECKED_ROWS:
            break
    if violating > MAX_VIOLATING_FRACTION * total:
        among = "rows" if total == rows.rows else "first rows"
        raise InvalidSettings(
            f"constraints/{index}",
            f"Constraint {index}: {violating:,} of the {total:,} {among} break it, and training "
            f"would leave them out; the first is row {first:,}. Correct or remove the constraint.",
        )


def check_min_value_count(dataset: Dataset, min_value_count: int) -> None:
    """Raise InvalidSettings if `min_value_count` leaves no value of a category."""
    if not min_value_count:
        return
    schema = Schema.from_dict(dataset.summary)
    profile = json.loads(get_storage().read(StoredObject.from_dict(dataset.objects["profile"])))
    learned = {column.name for column in schema.columns if column.learned}
    for column in profile["columns"]:
        if column["type"] != "category" or column["name"] not in learned or not column["top"]:
            continue
        largest = column["top"][0]["count"]
        if largest < min_value_count:
            raise InvalidSettings(
                "min_value_count",
                f"Column {column['name']!r}: no value occurs in at least {min_value_count} rows; "
                f"the most common one occurs in {largest}. Lower `min_value_count`, exclude the "
                "column, or set its `identifier` to `regenerate`.",
            )
