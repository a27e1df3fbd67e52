"""What is learned from: a dataset's training part, opened for the loop of its kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from core.datasets.rows import Column, Schema
from core.datasets.rows.spelling import plain, spelled
from core.datasets.rows.typed import typed_batches
from core.errors import JobError
from core.storage import DamagedObject, Storage, Stored
from core.tables import Dataset
from core.training import TrainingSpec
from models.images.data import LabelledImages
from models.tables.data import LabelledRows
from models.tables.domain import Domain
from models.tables.keeping import discover
from models.tables.schema import ColumnSchema

BINS = 10  # of a label that is a number, each as common as the others
MOST_VALUES = 100  # of a column, told to those who ask what can be asked for


@contextmanager
def images_of(
    dataset: Dataset, spec: TrainingSpec, storage: Storage, *, published: bool = False
) -> Iterator[LabelledImages]:
    """The dataset's training part, memory-mapped. `published`: with its test part behind it, which
    training does not even open."""
    content = {name: Stored.from_dict(dataset.content[name]) for name in ("x", "y")}
    n = None if published else dataset.summary["n_train"]
    try:
        with storage.open(content["x"]) as x, storage.open(content["y"]) as y:
            pixels = np.load(x, mmap_mode="r", allow_pickle=False)[:n]
            labels = np.load(y, allow_pickle=False)[:n]
            if spec.label is None:
                labels = np.zeros_like(labels)
            yield LabelledImages.split(pixels, labels, held_out=spec.holdout, seed=spec.seed)
    except DamagedObject as error:
        raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error


@contextmanager
def rows_of(dataset: Dataset, spec: TrainingSpec, storage: Storage) -> Iterator[LabelledRows]:
    """The table, without the columns that are dropped."""
    columns = Schema.from_dict(dataset.summary).columns
    try:
        with storage.open(Stored.from_dict(dataset.content["rows"])) as path:
            table = pa.Table.from_batches(list(typed_batches(path, columns)))
            schema = [ColumnSchema.from_dict(c.to_dict()) for c in columns if not c.drop]
            yield LabelledRows.split(
                table, schema, label=spec.label, held_out=spec.holdout, seed=spec.seed
            )
    except DamagedObject as error:
        raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error


def about_images(dataset: Dataset, spec: TrainingSpec) -> dict[str, Any]:
    """The part of a model's manifest that says what images there are to ask for."""
    counts = [
        {"name": label["name"], "count": label["count"]} for label in dataset.summary["labels"]
    ]
    return {
        "labels": counts if spec.label is not None else [],
        "image": {name: spec.config[name] for name in ("height", "width", "channels")},
    }


def about_rows(rows: LabelledRows, min_count: int) -> dict[str, Any]:
    """The part of a model's manifest that says what rows there are to ask for; nothing of values
    that fewer than `min_count` rows have."""
    columns = [Column.from_dict(column.to_dict()) for column in rows.schema if column.kept]
    labels: list[dict[str, Any]] = []
    label = next((column for column in columns if column.name == rows.label), None)
    if label is not None and label.type in ("category", "boolean"):
        labels = [
            {"name": name, "count": count, "value": value}
            for name, value, count in _counted(rows.table.column(label.name), label, min_count)
        ]
    ordered = label is not None and label.type in ("integer", "number", "datetime")
    return {
        "labels": labels,
        "label": rows.label,
        "bins": _bins(rows.table.column(rows.label), label, min_count) if label and ordered else [],
        "found_rules": [
            rule.to_dict()
            for rule in discover(rows.table, {c.name: c.type for c in columns if c.type != "id"})
        ],
        "columns": [
            {**column.to_dict(), "known": _known(rows.table.column(column.name), column, min_count)}
            for column in columns
        ],
    }


def about_declared(domains: Mapping[str, Domain], label: str | None) -> dict[str, Any]:
    """The same of what a job declares; nothing of any row. How common labels are is not told."""
    columns = {
        name: Column(name, domain.type, nullable=domain.missing, decimals=domain.decimals or None)
        for name, domain in domains.items()
    }
    labels: list[dict[str, Any]] = []
    if label is not None and domains[label].min is None:
        values = pa.array(domains[label].values)
        names = spelled(values, columns[label]).to_pylist()
        pairs = zip(names, domains[label].values, strict=True)
        labels = [{"name": name, "count": None, "value": value} for name, value in pairs]
    return {
        "labels": labels,
        "label": label,
        "bins": [],
        "found_rules": [],
        "columns": [
            {**columns[name].to_dict(), "known": _declared(domain)}
            for name, domain in domains.items()
        ],
    }


def _declared(domain: Domain) -> dict[str, Any]:
    if domain.min is not None:
        return {"min": domain.min, "max": domain.max}
    names = pa.array(domain.values).cast(pa.string()).to_pylist()
    return {"values": names[:MOST_VALUES], "more": max(0, len(names) - MOST_VALUES)}


def _bins(values: pa.ChunkedArray, column: Column, min_count: int) -> list[dict[str, Any]]:
    """Ranges of about as many values each, as conditions have them."""
    found = values.combine_chunks().drop_null()
    ordered = found.take(pyarrow.compute.sort_indices(found))
    enough = len(ordered) >= BINS * max(min_count, 1)
    places = [len(ordered) * i // BINS for i in range(1, BINS)] if enough else []
    edges = ordered.take(pa.array(places, pa.int64())).unique()
    edges = edges.filter(pyarrow.compute.greater(edges, ordered[0])) if places else edges
    told = plain(edges, column)
    bins = [{"gte": low, "lt": high} for low, high in pairwise([None, *told, None])]
    return [{word: end for word, end in bin.items() if end is not None} for bin in bins if told]


def _counted(values: pa.ChunkedArray, column: Column, min_count: int) -> list[tuple[str, Any, int]]:
    """Each value but missing and rare ones: its name, itself, and how often it is there; the
    commonest first."""
    counted = values.combine_chunks().drop_null().value_counts()
    found = counted.field(0)
    counts = counted.field(1).to_pylist()
    rows = zip(spelled(found, column).to_pylist(), found.to_pylist(), counts, strict=True)
    return sorted((row for row in rows if row[2] >= min_count), key=lambda row: (-row[2], row[0]))


def _known(values: pa.ChunkedArray, column: Column, min_count: int) -> dict[str, Any] | None:
    """What the column's conditions can be made of: values, or a range; nothing of an id."""
    if column.type == "id":
        return None
    if column.type in ("category", "boolean"):
        names = [name for name, _, _ in _counted(values, column, min_count)]
        return {"values": names[:MOST_VALUES], "more": max(0, len(names) - MOST_VALUES)}
    found = values.combine_chunks().drop_null()
    if len(found) < max(min_count, 1):
        return {"min": None, "max": None}
    ordered = found.take(pyarrow.compute.sort_indices(found))
    edge = max(min_count - 1, 0)  # so many rows lie beyond
    low, high = plain(ordered.take(pa.array([edge, len(ordered) - 1 - edge])), column)
    return {"min": low, "max": high}
