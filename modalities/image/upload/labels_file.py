"""Reader of labels.csv and labels.json, files in an archive that list the labels of its images."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from core.datasets.errors import (
    MAX_ERRORS,
    ErrorCollector,
    file_pointer,
    printable,
    unreadable_error,
)
from core.errors import DatasetUnreadable
from modalities.image.upload.folder_labels import (
    TEST_NAMES,
    TRAIN_NAMES,
    LabelAssignment,
    test_mask_by_folder,
)
from modalities.image.upload.labels import UNLABELED, LabelEncoder

LABELS_FILE_NAMES = frozenset({"labels.csv", "labels.json"})


class _Row(NamedTuple):
    path: str
    label: str | None
    split: str | None  # None if the file does not specify splits


def assign_by_labels_file(
    content: bytes, name: str, *, images: Sequence[str], labels: LabelEncoder
) -> LabelAssignment:
    """Assign labels and splits as listed in a labels file, whose content is `content`.

    Each image must be listed exactly once. An empty label means unlabeled. Paths are relative to
    the folder of the labels file, or else to the root of the archive. If no row has a split, the
    folder names decide. Raises DatasetUnreadable if the list and the images do not match.
    """
    rows = _read_json(content, name) if name.lower().endswith(".json") else _read_csv(content, name)
    indices = {image: i for i, image in enumerate(images)}
    codes = np.full(len(images), UNLABELED, np.int32)
    is_test = np.zeros(len(images), bool)
    listed = np.zeros(len(images), bool)
    has_splits = False
    errors = ErrorCollector()
    for row in rows:
        index = _find_image(row.path, name.rpartition("/")[0], indices)
        if index is None:
            problem = f"is listed in {printable(name)}, but is not in the archive"
            errors.add(row.path, "labels_file_invalid", problem)
            continue
        if listed[index]:
            problem = f"is listed twice in {printable(name)}"
            errors.add(row.path, "labels_file_invalid", problem)
            continue
        listed[index] = True
        if row.label and row.label.strip():
            codes[index] = labels.encode(row.label, where=row.path)
        if row.split is not None:
            has_splits = True
            is_test[index] = _is_test(row, name)
    for missing in np.flatnonzero(~listed)[: MAX_ERRORS + 1] if not errors else ():
        errors.add(images[missing], "label_missing", f"is not listed in {printable(name)}")
    if errors:
        raise errors.to_error(f"images and rows of {printable(name)} do not match")
    return LabelAssignment(codes, is_test if has_splits else test_mask_by_folder(images))


def _find_image(path: str, folder: str, indices: dict[str, int]) -> int | None:
    path = unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./")
    if folder and (index := indices.get(f"{folder}/{path}")) is not None:
        return index
    return indices.get(path)


def _is_test(row: _Row, name: str) -> bool:
    split = (row.split or "train").strip().lower()
    if split not in TRAIN_NAMES | TEST_NAMES:
        raise _invalid(name, f"the split of {printable(row.path)} must be train or test")
    return split in TEST_NAMES


def _read_csv(content: bytes, name: str) -> Iterator[_Row]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    lines = csv.reader(text, strict=True)
    try:
        header = [field.strip().lower() for field in next(lines, [])]
        if not {"path", "label"} <= set(header) or len(set(header)) < len(header):
            raise _invalid(
                name,
                "the first line must contain the columns path and label, and optionally split",
            )
        path, label = header.index("path"), header.index("label")
        split = header.index("split") if "split" in header else None
        for line in lines:
            if not line:
                continue
            if len(line) != len(header):
                problem = f"line {lines.line_num} has {len(line)} fields instead of {len(header)}"
                raise _invalid(name, problem)
            yield _Row(line[path], line[label], None if split is None else line[split])
    except UnicodeDecodeError as error:
        raise _invalid(name, "the file is not valid UTF-8") from error
    except csv.Error as error:
        raise _invalid(name, f"line {lines.line_num} is not valid CSV: {error}") from error


def _read_json(content: bytes, name: str) -> Iterator[_Row]:
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _invalid(
            name, "the file is not valid JSON in UTF-8, or an object repeats a key"
        ) from error
    for item in _json_items(document, name):
        yield _json_row(item, name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(unique := dict(pairs)) < len(pairs):
        raise ValueError("an object repeats a key")
    return unique


def _json_items(document: object, name: str) -> Iterable[object]:
    if isinstance(document, dict):
        items = document.get("labels")
        return items if isinstance(items, list) else document.items()
    if isinstance(document, list):
        return document
    raise _invalid(
        name,
        'the document must be {"<path>": "<label>", …} or a list of {"path": …, "label": …}',
    )


def _json_row(item: object, name: str) -> _Row:
    if isinstance(item, dict):
        path, label, split = item.get("path"), item.get("label"), item.get("split")
    elif isinstance(item, list | tuple) and len(item) == 2:
        (path, label), split = item, None
    else:
        raise _invalid(name, "each entry must be a path and a label")
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(path, str) or not isinstance(label, str | None):
        raise _invalid(name, "paths and labels must be text")
    if not isinstance(split, str | None):
        raise _invalid(name, f"the split of {printable(path)} must be train or test")
    return _Row(path, label, split)


def _invalid(name: str, problem: str) -> DatasetUnreadable:
    message = f"{printable(name)} is invalid: {problem}."
    return unreadable_error("labels_file_invalid", message, pointer=file_pointer(name))
