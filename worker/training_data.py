"""What is learned from: a dataset's training part, opened for the loop of its kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from core.datasets.tabular import Column, Schema
from core.datasets.tabular.formatting import format_values, to_json_values
from core.datasets.tabular.typed_parquet import typed_batches
from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset
from core.training import TrainingSpec
from models.images.data import LabeledImages
from models.tabular.constraint_checks import detect_constraints
from models.tabular.data import LabeledRows
from models.tabular.dp_domains import ColumnDomain
from models.tabular.schema import ColumnSchema

LABEL_BINS = 10  # of a label that is a number, each as common as the others
MAX_LISTED_VALUES = 100  # of a column, told to those who ask what can be asked for


@contextmanager
def open_images(
    dataset: Dataset, spec: TrainingSpec, storage: Storage, *, include_test_split: bool = False
) -> Iterator[LabeledImages]:
    """The dataset's training part, memory-mapped. `published`: with its test part behind it, which
    training does not even open."""
    content = {name: StoredObject.from_dict(dataset.objects[name]) for name in ("x", "y")}
    n = None if include_test_split else dataset.summary["n_train"]
    try:
        with storage.open(content["x"]) as x, storage.open(content["y"]) as y:
            pixels = np.load(x, mmap_mode="r", allow_pickle=False)[:n]
            labels = np.load(y, allow_pickle=False)[:n]
            if not spec.conditional:
                labels = np.zeros_like(labels)
            yield LabeledImages.split(
                pixels, labels, holdout_fraction=spec.holdout_fraction, seed=spec.seed
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error


@contextmanager
def open_table(dataset: Dataset, spec: TrainingSpec, storage: Storage) -> Iterator[LabeledRows]:
    """The table, without the columns that are dropped."""
    columns = Schema.from_dict(dataset.summary).columns
    try:
        with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
            table = pa.Table.from_batches(list(typed_batches(path, columns)))
            schema = [ColumnSchema.from_dict(c.to_dict()) for c in columns if not c.exclude]
            yield LabeledRows.split(
                table,
                schema,
                target_column=spec.target_column,
                holdout_fraction=spec.holdout_fraction,
                seed=spec.seed,
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error


def image_manifest(dataset: Dataset, spec: TrainingSpec) -> dict[str, Any]:
    """The part of a model's manifest that says what images there are to ask for."""
    counts = [
        {"name": label["name"], "count": label["count"]} for label in dataset.summary["labels"]
    ]
    return {
        "labels": counts if spec.conditional else [],
        "image": {name: spec.hyperparameters[name] for name in ("height", "width", "channels")},
    }


def table_manifest(rows: LabeledRows, min_value_count: int) -> dict[str, Any]:
    """The part of a model's manifest that says what rows there are to ask for; nothing of values
    that fewer than `min_value_count` rows have."""
    columns = [Column.from_dict(column.to_dict()) for column in rows.schema if column.in_samples]
    labels: list[dict[str, Any]] = []
    label = next((column for column in columns if column.name == rows.target_column), None)
    if label is not None and label.type in ("category", "boolean"):
        labels = [
            {"name": name, "count": count, "value": value}
            for name, value, count in _value_counts(
                rows.table.column(label.name), label, min_value_count
            )
        ]
    ordered = label is not None and label.type in ("integer", "number", "datetime")
    return {
        "labels": labels,
        "target_column": rows.target_column,
        "bins": _label_bins(rows.table.column(rows.target_column), label, min_value_count)
        if label and ordered
        else [],
        "detected_constraints": [
            rule.to_dict()
            for rule in detect_constraints(
                rows.table, {c.name: c.type for c in columns if c.type != "id"}
            )
        ],
        "columns": [
            {
                **column.to_dict(),
                "domain": _column_domain(rows.table.column(column.name), column, min_value_count),
            }
            for column in columns
        ],
    }


def declared_manifest(domains: Mapping[str, ColumnDomain], label: str | None) -> dict[str, Any]:
    """The same of what a job declares; nothing of any row. How common labels are is not told."""
    columns = {
        name: Column(name, domain.type, nullable=domain.missing, decimals=domain.decimals or None)
        for name, domain in domains.items()
    }
    labels: list[dict[str, Any]] = []
    if label is not None and domains[label].min is None:
        values = pa.array(domains[label].values)
        names = format_values(values, columns[label]).to_pylist()
        pairs = zip(names, domains[label].values, strict=True)
        labels = [{"name": name, "count": None, "value": value} for name, value in pairs]
    return {
        "labels": labels,
        "target_column": label,
        "bins": [],
        "detected_constraints": [],
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


def _label_bins(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> list[dict[str, Any]]:
    """Ranges of about as many values each, as conditions have them."""
    found = values.combine_chunks().drop_null()
    ordered = found.take(pyarrow.compute.sort_indices(found))
    enough = len(ordered) >= LABEL_BINS * max(min_value_count, 1)
    places = [len(ordered) * i // LABEL_BINS for i in range(1, LABEL_BINS)] if enough else []
    edges = ordered.take(pa.array(places, pa.int64())).unique()
    edges = edges.filter(pyarrow.compute.greater(edges, ordered[0])) if places else edges
    told = to_json_values(edges, column)
    bins = [{"gte": low, "lt": high} for low, high in pairwise([None, *told, None])]
    return [{word: end for word, end in bin.items() if end is not None} for bin in bins if told]


def _value_counts(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> list[tuple[str, Any, int]]:
    """Each value but missing and rare ones: its name, itself, and how often it is there; the
    commonest first."""
    counted = values.combine_chunks().drop_null().value_counts()
    found = counted.field(0)
    counts = counted.field(1).to_pylist()
    rows = zip(format_values(found, column).to_pylist(), found.to_pylist(), counts, strict=True)
    return sorted(
        (row for row in rows if row[2] >= min_value_count), key=lambda row: (-row[2], row[0])
    )


def _column_domain(
    values: pa.ChunkedArray, column: Column, min_value_count: int
) -> dict[str, Any] | None:
    """What the column's conditions can be made of: values, or a range; nothing of an id."""
    if column.type == "id":
        return None
    if column.type in ("category", "boolean"):
        names = [name for name, _, _ in _value_counts(values, column, min_value_count)]
        return {"values": names[:MAX_LISTED_VALUES], "more": max(0, len(names) - MAX_LISTED_VALUES)}
    found = values.combine_chunks().drop_null()
    if len(found) < max(min_value_count, 1):
        return {"min": None, "max": None}
    ordered = found.take(pyarrow.compute.sort_indices(found))
    edge = max(min_value_count - 1, 0)  # so many rows lie beyond
    low, high = to_json_values(ordered.take(pa.array([edge, len(ordered) - 1 - edge])), column)
    return {"min": low, "max": high}
