"""labels.csv and labels.json: a list inside the archive that says which image has which label."""

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
from core.datasets.images.folder_labels import (
    TEST_NAMES,
    TRAIN_NAMES,
    LabelAssignment,
    test_mask_by_folder,
)
from core.datasets.images.labels import UNLABELED, LabelEncoder
from core.errors import DatasetUnreadable

LABELS_FILE_NAMES = frozenset({"labels.csv", "labels.json"})


class _Row(NamedTuple):
    """`split` is None where the manifest says nothing about parts."""

    path: str
    label: str | None
    split: str | None


def assign_by_labels_file(
    content: bytes, name: str, *, images: Sequence[str], labels: LabelEncoder
) -> LabelAssignment:
    """Every image must be named once, and nothing else; without a label it is unlabelled.

    Paths count from the manifest's folder, or else from the archive's root. Without a word about
    parts, the folders' names decide which images are held out.
    """
    rows = _read_json(content, name) if name.lower().endswith(".json") else _read_csv(content, name)
    places = {image: i for i, image in enumerate(images)}
    codes = np.full(len(images), UNLABELED, np.int32)
    held_out = np.zeros(len(images), bool)
    seen = np.zeros(len(images), bool)
    split_given = False
    faults = ErrorCollector()
    for row in rows:
        place = _place_of(row.path, name.rpartition("/")[0], places)
        if place is None or seen[place]:
            problem = "is not in the archive" if place is None else "is named twice"
            faults.add(
                row.path, "labels_file_invalid", f"{problem}, but {printable(name)} names it"
            )
            continue
        seen[place] = True
        if row.label and row.label.strip():
            codes[place] = labels.encode(row.label, where=row.path)
        if row.split is not None:
            split_given = True
            held_out[place] = _is_held_out(row, name)
    for missing in np.flatnonzero(~seen)[: MAX_ERRORS + 1] if not faults else ():
        faults.add(images[missing], "label_missing", f"is not named in {printable(name)}")
    if faults:
        raise faults.to_error(f"images and lines of {printable(name)} do not fit together")
    return LabelAssignment(codes, held_out if split_given else test_mask_by_folder(images))


def _place_of(path: str, folder: str, places: dict[str, int]) -> int | None:
    path = unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./")
    if folder and (place := places.get(f"{folder}/{path}")) is not None:
        return place
    return places.get(path)


def _is_held_out(row: _Row, name: str) -> bool:
    split = (row.split or "train").strip().lower()
    if split not in TRAIN_NAMES | TEST_NAMES:
        raise _bad(name, f"{printable(row.path)}: split must be train or test")
    return split in TEST_NAMES


def _read_csv(content: bytes, name: str) -> Iterator[_Row]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    lines = csv.reader(text, strict=True)
    try:
        header = [field.strip().lower() for field in next(lines, [])]
        if not {"path", "label"} <= set(header) or len(set(header)) < len(header):
            raise _bad(name, "the first line must name the columns path,label and may name split")
        path, label = header.index("path"), header.index("label")
        split = header.index("split") if "split" in header else None
        for line in lines:
            if not line:
                continue
            if len(line) != len(header):
                raise _bad(name, f"line {lines.line_num} has {len(line)} fields, not {len(header)}")
            yield _Row(line[path], line[label], None if split is None else line[split])
    except UnicodeDecodeError as error:
        raise _bad(name, "is not UTF-8") from error
    except csv.Error as error:
        raise _bad(name, f"line {lines.line_num} is not CSV: {error}") from error


def _read_json(content: bytes, name: str) -> Iterator[_Row]:
    try:
        document = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(name, "is not JSON in UTF-8, or has a key twice") from error
    for item in _json_items(document, name):
        yield _json_row(item, name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _json_items(document: object, name: str) -> Iterable[object]:
    if isinstance(document, dict):
        pairs = document.get("labels")
        return pairs if isinstance(pairs, list) else document.items()
    if isinstance(document, list):
        return document
    raise _bad(name, 'must be {"path": "label"}, or a list of {"path": …, "label": …}')


def _json_row(item: object, name: str) -> _Row:
    if isinstance(item, dict):
        path, label, split = item.get("path"), item.get("label"), item.get("split")
    elif isinstance(item, list | tuple) and len(item) == 2:
        (path, label), split = item, None
    else:
        raise _bad(name, "each entry must be a path and a label")
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(path, str) or not isinstance(label, str | None):
        raise _bad(name, "paths and labels must be text")
    if not isinstance(split, str | None):
        raise _bad(name, f"{printable(path)}: split must be train or test")
    return _Row(path, label, split)


def _bad(name: str, problem: str) -> DatasetUnreadable:
    return unreadable_error(
        "labels_file_invalid", f"{printable(name)}: {problem}", pointer=file_pointer(name)
    )
