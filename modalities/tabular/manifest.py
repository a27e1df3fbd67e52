"""Manifests of tabular models: the rows that a model can generate."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute

from modalities.tabular.csv_output import CsvDialect
from modalities.tabular.formatting import format_values, to_json_values
from modalities.tabular.schema import ORDERED_TYPES, Column
from models.tabular.data import CONSTANT, LabeledRows
from models.tabular.differential_privacy.domains import ColumnDomain

TARGET_BINS = 10  # equally frequent ranges of a numeric target
MAX_LISTED_VALUES = 100  # of a column, in the model's manifest


def table_manifest(
    rows: LabeledRows, min_value_count: int, relations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the part of a model's manifest that describes the rows it can generate.

    `relations` describe those that hold in all training rows.
    It omits values that fewer than `min_value_count` rows have, because rare values can identify
    people.
    """
    columns = [
        Column(**column.to_dict())
        for column in rows.schema
        if column.in_samples and column.name != CONSTANT
    ]
    labels: list[dict[str, Any]] = []
    target = next((column for column in columns if column.name == rows.target_column), None)
    if target is not None and target.type in ("category", "boolean"):
        labels = [
            {"name": name, "count": count, "value": value}
            for name, value, count in _value_counts(
                rows.table.column(target.name), target, min_value_count
            )
        ]
    is_ordered = target is not None and target.type in ORDERED_TYPES
    return {
        "labels": labels,
        "target_column": rows.target_column,
        "bins": _target_bins(rows.table.column(rows.target_column), target, min_value_count)
        if target and is_ordered
        else [],
        "relations": relations,
        "columns": [
            {
                **column.to_dict(),
                "domain": _column_domain(rows.table.column(column.name), column, min_value_count),
            }
            for column in columns
        ],
    }


def csv_manifest(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a model's manifest that describes its samples as CSV."""
    return {"csv": CsvDialect.of_upload(summary["read"]).to_dict()}


def declared_manifest(domains: Mapping[str, ColumnDomain], target: str | None) -> dict[str, Any]:
    """Return a table manifest from the declared domains only, for differential privacy.

    It holds nothing from the rows; label counts are therefore None.
    """
    columns = {
        name: Column(name, domain.type, nullable=domain.missing, decimals=domain.decimals or None)
        for name, domain in domains.items()
    }
    labels: list[dict[str, Any]] = []
    if target is not None and domains[target].min is None:
        values = pa.array(domains[target].values)
        names = format_values(values, columns[target]).to_pylist()
        pairs = zip(names, domains[target].values, strict=True)
        labels = [{"name": name, "count": None, "value": value} for name, value in pairs]
    return {
        "labels": labels,
        "target_column": target,
        "bins": [],
        "relations": [],
        "columns": [
            {**columns[name].to_dict(), "domain": _declared_domain(domain)}
            for name, domain in domains.items()
        ],
    }


def _declared_domain(domain: ColumnDomain) -> dict[str, Any]:
    if domain.min is not None:
        return {"min": domain.min, "max": domain.max}
    names = pa.array(domain.values).cast(pa.string()).to_pylist()
    return {"values": names[:MAX_LISTED_VALUES], "more": max(0, len(names) - MAX_LISTED_VALUES)}


def _target_bins(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> list[dict[str, Any]]:
    """Return ranges of about equally many values each, in the form of conditions."""
    present = values.combine_chunks().drop_null()
    ordered = present.take(pyarrow.compute.sort_indices(present))
    has_enough_rows = len(ordered) >= TARGET_BINS * max(min_value_count, 1)
    indices = (
        [len(ordered) * i // TARGET_BINS for i in range(1, TARGET_BINS)] if has_enough_rows else []
    )
    edges = ordered.take(pa.array(indices, pa.int64())).unique()
    edges = edges.filter(pyarrow.compute.greater(edges, ordered[0])) if indices else edges
    edge_values = to_json_values(edges, column)
    if not edge_values:
        return []
    bins = [{"gte": low, "lt": high} for low, high in pairwise([None, *edge_values, None])]
    return [{key: edge for key, edge in bin.items() if edge is not None} for bin in bins]


def _value_counts(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> list[tuple[str, Any, int]]:
    """Return (name, value, count) of each value that is not rare, most common first."""
    value_counts = values.combine_chunks().drop_null().value_counts()
    distinct, counts = value_counts.field(0), value_counts.field(1).to_pylist()
    names = format_values(distinct, column).to_pylist()
    rows = zip(names, distinct.to_pylist(), counts, strict=True)
    return sorted(
        (row for row in rows if row[2] >= min_value_count), key=lambda row: (-row[2], row[0])
    )


def _column_domain(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> dict[str, Any] | None:
    """Return the values or the range that conditions on the column can use; None for an id.

    The ends of a range are set so that at least `min_value_count` rows are at or beyond each.
    """
    if column.type == "id":
        return None
    if column.type in ("category", "boolean"):
        names = [name for name, _, _ in _value_counts(values, column, min_value_count)]
        if column.order:
            names.sort(key=column.order.index)
        return {"values": names[:MAX_LISTED_VALUES], "more": max(0, len(names) - MAX_LISTED_VALUES)}
    present = values.combine_chunks().drop_null()
    if len(present) < max(min_value_count, 1):
        return {"min": None, "max": None}
    ordered = present.take(pyarrow.compute.sort_indices(present))
    skipped = max(min_value_count - 1, 0)
    ends = ordered.take(pa.array([skipped, len(ordered) - 1 - skipped]))
    low, high = to_json_values(ends, column)
    return {"min": low, "max": high}
