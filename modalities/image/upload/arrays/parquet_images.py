"""Reader of Parquet and Arrow files with encoded images, as Hugging Face writes them.

A column holds the files of the images, on its own or as `bytes` of a structure; another column may
hold the labels.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.datasets.data_quality import Issue
from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import HEAD_BYTES, IMAGE_TYPES, detect_file_type
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.image_files import load_images
from modalities.image.upload.image_tables import ImageTable, open_image_table
from modalities.image.upload.labels.label_choices import LabelChoice
from modalities.image.upload.labels.label_columns import (
    NoLabels,
    choose_label_column,
    is_categorical,
)
from modalities.image.upload.labels.label_table import SAMPLE_ROWS, to_text
from modalities.image.upload.labels.labeling import Part
from modalities.image.upload.labels.labels import UNLABELED, LabelEncoder, rename_labels
from modalities.image.upload.labels.split_names import role_of_name
from modalities.image.upload.options import ImageOptions

_BATCH_ROWS = 64


class ImageColumns(NamedTuple):
    """Columns of a Parquet file. `class_names` are the names of integer labels."""

    image: str
    label: str | None
    class_names: list[str] | None
    problem: str | None  # why there is no label


def read_parquet_images(
    files: Sequence[SourceFile], options: ImageOptions, limits: Limits, *, format: str, out: Path
) -> DecodedDataset:
    """Write the images of all files to `out`, the training split first.

    Raises DatasetUnreadable if a file holds no images.
    """
    options.reject("folder_level", "parts", format="Parquet and Arrow files")
    tables = [open_image_table(file, limits) for file in files]
    columns = [_find_columns(table, options, limits) for table in tables]
    rows = [table.n_rows for table in tables]
    total = sum(rows)
    if total > limits.images_max:
        message = f"There are {total:,} images; the maximum is {limits.images_max:,} per dataset."
        raise unreadable_error("too_many_images", message)
    encoder = LabelEncoder(limits)
    codes = np.concatenate(
        [_read_codes(*each, encoder) for each in zip(tables, columns, strict=True)]
    )
    roles = _roles(files)
    is_test = np.repeat(np.array(roles) == "test", rows)
    # Public test files often have no labels.
    kept = ~is_test | (codes != UNLABELED) if (codes != UNLABELED).any() else np.ones(total, bool)
    names = [f"{file.name}[{i}]" for file, n in zip(files, rows, strict=True) for i in range(n)]
    used = np.flatnonzero(kept)

    def read_contents() -> Iterator[bytes]:
        flags = iter(kept.tolist())
        for table, each in zip(tables, columns, strict=True):
            yield from (content for content in _contents(table, each.image) if next(flags))

    loaded, store, loader = load_images(
        read_contents, [names[i] for i in used], is_test[used], options, limits, out=out
    )
    order = used[loaded]
    return DecodedDataset(
        format=format,
        class_names=rename_labels(encoder.sorted_names(), options.class_names, limits),
        y=encoder.code_to_index()[codes[order]],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=lambda i: names[order[i]],
        notes=[*_notes(columns[0], total - len(used)), *encoder.notes(), *loader.notes()],
        issues=[*loader.issues(), *_issues(files[0], columns[0])],
        layout={
            "labels_from": "none" if columns[0].label is None else "parquet",
            "parts": [part._asdict() for part in _parts(files, rows, is_test, kept)],
            "label_sources": [choice._asdict() for choice in _choices(tables[0], limits)],
            "ignored": [],
        },
    )


def _is_image_struct(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    names = [kind.field(i).name for i in range(kind.num_fields)]
    return "bytes" in names and _is_binary(kind.field(names.index("bytes")).type)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _find_columns(table: ImageTable, options: ImageOptions, limits: Limits) -> ImageColumns:
    schema = table.schema
    candidates = [f.name for f in schema if _is_image_struct(f.type) or _is_binary(f.type)]
    image = next((name for name in candidates if _starts_with_image(table, name)), None)
    if image is None:
        message = (
            f"{printable(table.name)} has no column of image files. The column must hold the bytes "
            "of PNG, JPEG or other image files; paths are not enough."
        )
        raise unreadable_error("archive_empty", message, pointer=file_pointer(table.name))
    features = _features(schema)
    scalars = [f.name for f in schema if _is_scalar(f.type)]
    label, problem = _label_column(table, scalars, features, options, limits)
    names = features.get(label or "", {}).get("names")
    return ImageColumns(image, label, names if isinstance(names, list) else None, problem)


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_dictionary(kind)
    )


def _starts_with_image(table: ImageTable, column: str) -> bool:
    first = list(islice((content for content in _contents(table, column) if content), 1))
    return bool(first) and detect_file_type(first[0][:HEAD_BYTES]) in IMAGE_TYPES


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return Hugging Face's description of the columns."""
    try:
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return (
        {name: feature for name, feature in features.items() if isinstance(feature, dict)}
        if isinstance(features, dict)
        else {}
    )


def _label_column(
    table: ImageTable,
    scalars: Sequence[str],
    features: dict[str, Any],
    options: ImageOptions,
    limits: Limits,
) -> tuple[str | None, str | None]:
    """Return the label column, or None and the reason."""
    if options.label_column is not None:
        if options.label_column in scalars:
            return options.label_column, None
        message = f"{printable(table.name)} has no column {printable(options.label_column)}."
        raise unreadable_error("labels_file_invalid", message, pointer="/meta/label_column")
    if options.labels_from == "none" or not scalars:
        return None, None
    declared = [n for n in scalars if features.get(n, {}).get("_type") == "ClassLabel"]
    candidates = declared or list(scalars)
    if len(declared) == 1:
        return declared[0], None
    sample = [[to_text(value) for value in row] for row in _sample(table, candidates)]
    try:
        index = choose_label_column(candidates, sample, range(len(candidates)), limits)
    except NoLabels as reason:
        return None, str(reason)
    return candidates[index], None


def _sample(table: ImageTable, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the first rows."""
    batches = table.batches(columns, _BATCH_ROWS)
    rows = (
        row
        for batch in batches
        for row in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    )
    return list(islice(rows, SAMPLE_ROWS))


def _choices(table: ImageTable, limits: Limits) -> Iterator[LabelChoice]:
    columns = [f.name for f in table.schema if _is_scalar(f.type)]
    features = _features(table.schema)
    for name, values in zip(columns, zip(*_sample(table, columns), strict=True), strict=False):
        class_names = features.get(name, {}).get("names")
        names = class_names if isinstance(class_names, list) else None
        labels = [_label_name(value, names) for value in values]
        if is_categorical(labels, limits):
            distinct = sorted({label for label in labels if label})
            yield LabelChoice.of(distinct, None, label_column=name)


def _contents(table: ImageTable, column: str) -> Iterator[bytes]:
    """Yield the image files, empty for missing ones."""
    for batch in table.batches([column], _BATCH_ROWS):
        values = batch.column(0)
        if pa.types.is_struct(values.type):
            values = values.field("bytes")
        for value in values:
            yield value.as_py() or b""


def _read_codes(
    table: ImageTable, columns: ImageColumns, encoder: LabelEncoder
) -> NDArray[np.int32]:
    codes = np.full(table.n_rows, UNLABELED, np.int32)
    if columns.label is None:
        return codes
    row = 0
    for batch in table.batches([columns.label], 1024):
        for value in batch.column(0).to_pylist():
            label = _label_name(value, columns.class_names)
            if label is not None:
                codes[row] = encoder.encode(label, where=table.name)
            row += 1
    return codes


def _label_name(value: Any, class_names: Sequence[str] | None) -> str | None:
    if class_names is not None and isinstance(value, int):
        return str(class_names[value]) if 0 <= value < len(class_names) else None
    text = to_text(value)
    return text if text and text.strip() else None


def _roles(files: Sequence[SourceFile]) -> list[str]:
    """Return "train" or "test" for each file; all are for training if none is named so."""
    roles = ["test" if role_of_name(file.name) == "test" else "train" for file in files]
    return roles if "train" in roles else ["train"] * len(files)


def _parts(
    files: Sequence[SourceFile],
    rows: Sequence[int],
    is_test: NDArray[np.bool_],
    is_used: NDArray[np.bool_],
) -> Iterator[Part]:
    start = 0
    for file, count in zip(files, rows, strict=True):
        span = slice(start, start + count)
        test = int((is_test[span] & is_used[span]).sum())
        used = int(is_used[span].sum())
        yield Part(printable(file.name), train=used - test, test=test, left_out=count - used)
        start += count


def _notes(columns: ImageColumns, n_left_out: int) -> Iterator[str]:
    if columns.label is not None:
        yield f"The labels are from the column {printable(columns.label)}."
    if n_left_out:
        yield f"{n_left_out:,} test images without a label were left out."


def _issues(file: SourceFile, columns: ImageColumns) -> list[Issue]:
    if columns.problem is None:
        return []
    hint = f"No labels were read: {printable(file.name)} {columns.problem}."
    return [Issue("labels_not_read", "error", 1, (printable(file.name),), hint)]
