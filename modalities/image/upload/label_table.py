"""Reader of files that may list labels: CSV in any common form, JSON and JSON Lines.

All are read as a table: a header and rows of text.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable

TABLE_SUFFIXES = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".lst", ".json", ".jsonl", ".ndjson", ".dat", ".data"}
)
SAMPLE_ROWS = 2_000
_SEARCHED_ROWS = 200_000

Row = list[str | None]

_DELIMITERS = ",;\t|"
_MAX_KEYS = 1_000
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")


class LabelTable(NamedTuple):
    """A table in an archive. Names of columns are "1", "2"… if the file has no header."""

    name: str
    header: list[str]
    read_rows: Callable[[], Iterator[Row]]

    def sample(self, is_image: Callable[[str], bool] | None = None) -> list[Row]:
        """Return the first rows, or the first that name an image if the archive holds only some."""
        rows = list(islice(self.read_rows(), SAMPLE_ROWS))
        if is_image is None or len(rows) < SAMPLE_ROWS or _name_images(rows, is_image):
            return rows
        naming = (
            row for row in islice(self.read_rows(), _SEARCHED_ROWS) if _name_images([row], is_image)
        )
        return list(islice(naming, SAMPLE_ROWS)) or rows


def _name_images(rows: Sequence[Row], is_image: Callable[[str], bool]) -> bool:
    return any(field and is_image(field) for row in rows for field in row)


def read_table(content: bytes, name: str, is_image: Callable[[str], bool]) -> LabelTable:
    """Read the table in the file `name`. `is_image` recognizes names of images.

    Raises DatasetUnreadable if the file is not a table.
    """
    suffix = name.rpartition(".")[2].lower()
    text = _decode(content, name)
    if suffix in {"jsonl", "ndjson"}:
        return _objects_table(list(_json_lines(text, name)), name)
    if suffix == "json":
        return _json_table(text, name)
    return _csv_table(text, name, is_image)


def _decode(content: bytes, name: str) -> str:
    for encoding in (
        ("utf-8-sig", "utf-16")
        if content[:2] in {b"\xff\xfe", b"\xfe\xff"}
        else (
            "utf-8-sig",
            "cp1252",
        )
    ):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise invalid_table(name, "the file is not text in UTF-8")


def _csv_table(text: str, name: str, is_image: Callable[[str], bool]) -> LabelTable:
    delimiter = _find_delimiter(text, name)

    def read_lines() -> Iterator[tuple[int, list[str]]]:
        lines = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        try:
            for line in lines:
                if any(line):
                    yield lines.line_num, [field.strip() for field in line]
        except csv.Error as error:
            problem = f"line {lines.line_num} is not valid CSV: {error}"
            raise invalid_table(name, problem) from error

    first = next(read_lines(), (0, []))[1]
    if not first:
        raise invalid_table(name, "the file is empty")
    has_header = not any(map(is_image, first))
    named = [field.lower() for field in first if field]
    if has_header and len(set(named)) < len(named):
        raise invalid_table(name, "the first line names a column twice")
    header = [field if has_header and field else str(i + 1) for i, field in enumerate(first)]

    def read_rows() -> Iterator[Row]:
        for number, line in islice(read_lines(), int(has_header), None):
            # Spreadsheets leave out empty fields at the end of a line, or add some.
            if any(line[len(header) :]) or len(line) < min(2, len(header)):
                problem = f"line {number} has {len(line)} fields instead of {len(header)}"
                raise invalid_table(name, problem)
            row: Row = [*line, *[""] * (len(header) - len(line))]
            yield row[: len(header)]

    return LabelTable(name, header, read_rows)


def _find_delimiter(text: str, name: str) -> str:
    """Return the delimiter that divides the first lines into the same number of fields, over 1."""
    lines = [line for line in islice(io.StringIO(text), 20) if line.strip()]
    is_free_form = name.lower().endswith((".txt", ".lst", ".dat", ".data"))
    best, best_count = ",", 0
    for delimiter in _DELIMITERS + (" " if is_free_form else ""):
        counts = [line.count(delimiter) for line in lines]
        if counts and min(counts) == max(counts) > best_count:
            best, best_count = delimiter, counts[0]
    if not best_count and lines:
        # Fields with a delimiter in quotes: the header decides.
        best = max(_DELIMITERS, key=lines[0].count)
    return best


def _json_lines(text: str, name: str) -> Iterator[Any]:
    for number, line in enumerate(io.StringIO(text), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise invalid_table(name, f"line {number} is not valid JSON") from error


def _json_table(text: str, name: str) -> LabelTable:
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise invalid_table(
            name, "the file is not valid JSON in UTF-8, or an object repeats a key"
        ) from error
    return _document_table(document, name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(unique := dict(pairs)) < len(pairs):
        raise ValueError("an object repeats a key")
    return unique


def _document_table(document: Any, name: str) -> LabelTable:
    """Read a list of items, or an object of paths and labels, possibly below a key."""
    if isinstance(document, dict) and {"images", "annotations"} <= document.keys():
        return _annotations_table(document, name)
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        if isinstance(document.get("labels"), list):
            document = document["labels"]
        elif len(lists) == 1 and lists[0] and isinstance(lists[0][0], dict):
            document = lists[0]
    if isinstance(document, list):
        if document and all(isinstance(item, dict) for item in document):
            return _objects_table(document, name)
        return _pairs_table(document, name)
    if isinstance(document, dict):
        if document and all(_is_list_of_texts(value) for value in document.values()):
            pairs = [(path, label) for label, paths in document.items() for path in paths]
            return _pairs_table(pairs, name)
        if document and all(isinstance(value, dict) for value in document.values()):
            return _objects_table([{"path": p, **item} for p, item in document.items()], name)
        return _pairs_table(list(document.items()), name)
    raise invalid_table(
        name,
        'the document must be {"<path>": "<label>", …} or a list of {"path": …, "label": …}',
    )


def _annotations_table(document: dict[str, Any], name: str) -> LabelTable:
    """Read the lists of iNaturalist, where an annotation joins an image and a category."""
    try:
        files = {item["id"]: item["file_name"] for item in document["images"]}
        categories = {item["id"]: item["name"] for item in document.get("categories", [])}
        pairs = [
            (files[item["image_id"]], categories.get(item["category_id"], item["category_id"]))
            for item in document["annotations"]
            if item["image_id"] in files
        ]
    except (KeyError, TypeError) as error:
        raise invalid_table(name, "images and annotations do not have the keys of COCO") from error
    return _pairs_table(pairs, name)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(v, str) for v in value)


def _pairs_table(pairs: Sequence[Any], name: str) -> LabelTable:
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise invalid_table(name, "each entry must be a path and a label")
        _to_text(pair[1], name)

    def read_rows() -> Iterator[Row]:
        return ([path, _to_text(label, name)] for path, label in pairs)

    return LabelTable(name, ["path", "label"], read_rows)


def _objects_table(items: Sequence[Any], name: str) -> LabelTable:
    if not all(isinstance(item, dict) for item in items):
        raise invalid_table(name, "each entry must be an object with a path and a label")
    header = list(dict.fromkeys(key for item in items[:SAMPLE_ROWS] for key in item))[:_MAX_KEYS]
    nested = {
        key
        for item in items[:SAMPLE_ROWS]
        for key, value in item.items()
        if isinstance(value, dict | list) and not _is_one_hot(value)
    }
    header = [key for key in header if key not in nested]

    def read_rows() -> Iterator[Row]:
        return ([_to_text(item.get(key), name) for key in header] for item in items)

    return LabelTable(name, header, read_rows)


def _is_one_hot(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(v, int | float) for v in value)
        and sum(value) == 1
        and max(value) == 1
    )


def _to_text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if _is_one_hot(value):
        return str(value.index(1))
    raise invalid_table(name, "paths and labels must be text or numbers")


def is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def invalid_table(name: str, problem: str) -> DatasetUnreadable:
    message = f"{printable(name)} is invalid: {problem}."
    return unreadable_error("labels_file_invalid", message, pointer=file_pointer(name))
