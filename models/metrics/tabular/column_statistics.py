"""Statistics of the columns of real and synthetic rows."""

from typing import Any

import numpy as np
import pyarrow as pa

from models.metrics.statistics import cramers_v_matrix, describe, histogram
from models.metrics.tabular.frames import (
    MAX_CATEGORIES,
    MAX_CLASSES,
    Binning,
    CategoryMaps,
    Floats,
    NumericFrame,
)

MAX_SHOWN_COLUMNS = 30  # in the association matrix


def describe_columns(
    real: NumericFrame,
    fake: NumericFrame,
    category_maps: CategoryMaps,
    types: dict[str, str],
    target_column: str | None,
) -> list[dict[str, Any]]:
    """Describe each column for all rows (`label` None), and each numeric column for each label."""
    sections = [
        {
            "column": name,
            "type": types[name],
            "label": None,
            **_side_by_side(real, fake, category_maps, name),
        }
        for name in real.columns
    ]
    if (
        target_column not in category_maps.categories
        or len(category_maps.categories[target_column]) > MAX_CLASSES
    ):
        return sections
    for code, label in enumerate(category_maps.categories[target_column].to_pylist()):
        real_rows, fake_rows = (
            frame.take(np.flatnonzero(frame.columns[target_column] == code))
            for frame in (real, fake)
        )
        sections += [
            {
                "column": name,
                "type": types[name],
                "label": label,
                **_side_by_side(real_rows, fake_rows, category_maps, name),
            }
            for name in real.columns
            if name not in category_maps.categories
        ]
    return sections


def _side_by_side(
    real: NumericFrame, fake: NumericFrame, category_maps: CategoryMaps, name: str
) -> dict[str, Any]:
    sides = real.columns[name], fake.columns[name]
    if name in category_maps.categories:
        shares = [_shares(values, category_maps.categories[name]) for values in sides]
        return {"real": shares[0], "synthetic": shares[1], "histogram": None}
    statistics = [describe(values) for values in sides]
    return {"real": statistics[0], "synthetic": statistics[1], "histogram": histogram(*sides)}


def _shares(values: Floats, categories: pa.Array) -> dict[str, Any]:
    codes = values[~np.isnan(values)].astype(np.int64)
    counts = np.bincount(codes, minlength=len(categories))
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    shares = {categories[i].as_py(): float(counts[i] / max(1, len(codes))) for i in order.tolist()}
    return {"count": len(codes), "missing": len(values) - len(codes), "shares": shares}


def compare_associations(
    real: NumericFrame, fake: NumericFrame, binning: Binning
) -> dict[str, Any]:
    shown = list(real.columns)[:MAX_SHOWN_COLUMNS]
    matrices = [
        cramers_v_matrix({name: bins for name, bins in binning(frame).items() if name in shown})
        for frame in (real, fake)
    ]
    return {"columns": shown, "real": matrices[0], "synthetic": matrices[1]}
