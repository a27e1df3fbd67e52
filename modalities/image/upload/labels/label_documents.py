"""Tables of labels in JSON and XML documents, in the forms in which people nest them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from xml.etree import ElementTree

from core.errors import DatasetUnreadable
from modalities.image.upload.labels.label_table import (
    SAMPLE_ROWS,
    LabelTable,
    Row,
    invalid_table,
    name_images,
    to_text,
)
from modalities.image.upload.labels.split_names import role_of_name

_MAX_KEYS = 1_000
_MAX_DEPTH = 3
_FILE_KEYS = re.compile(r"(file|image|img|picture|photo|path|name|id)(_?(name|path|id))?s?", re.I)

IsImage = Callable[[str], bool]


def read_document(document: Any, name: str, is_image: IsImage) -> list[LabelTable]:
    """Return the tables of a JSON document: of its parts, or the one that names most images."""
    if parts := _tables_of_parts(document, name, is_image):
        return parts
    problem = None
    try:
        table = _document_table(document, name)
        if _count_images(table, is_image):
            return [table]
    except DatasetUnreadable as error:
        problem = error
    tables = list(_inner_tables(document, name, _MAX_DEPTH))
    counts = [_count_images(table, is_image) for table in tables]
    if any(counts):
        return [tables[counts.index(max(counts))]]
    if problem is not None:
        raise problem
    return [table]


def _count_images(table: LabelTable, is_image: IsImage) -> int:
    """Return how many of the first rows name an image; 0 if there is nothing else in them."""
    if len(table.header) < 2:
        return 0
    return sum(name_images([row], is_image) for row in islice(table.read_rows(), SAMPLE_ROWS))


def _tables_of_parts(document: Any, name: str, is_image: IsImage) -> list[LabelTable]:
    """Return a table for each of the keys `train`, `test` and the like, if they name images."""
    if not isinstance(document, dict):
        return []
    parts = {key: value for key, value in document.items() if isinstance(value, list | dict)}
    if not parts or not all(role_of_name(key) for key in parts):
        return []
    tables = []
    for key, value in parts.items():
        try:
            found = read_document(value, name, is_image)
        except DatasetUnreadable:
            continue
        tables += [table._replace(part=key) for table in found if _count_images(table, is_image)]
    return tables


def _inner_tables(document: Any, name: str, depth: int) -> Iterator[LabelTable]:
    """Yield the tables below the keys of a document, and lists of columns as tables."""
    if isinstance(document, dict):
        columns = _columns_of(document)
        if columns:
            rows = [list(row) for row in zip(*columns.values(), strict=True)]
            yield _rows_table(rows, name, list(columns))
        for value in document.values() if depth else ():
            if isinstance(value, list | dict) and value:
                try:
                    yield _document_table(value, name)
                except DatasetUnreadable:
                    yield from _inner_tables(value, name, depth - 1)
    elif isinstance(document, list) and all(isinstance(item, list) for item in document):
        widths = {len(item) for item in document}
        if len(widths) == 1 and min(widths) > 1:
            yield _rows_table(document, name, [str(i + 1) for i in range(min(widths))])


def _columns_of(document: Mapping[str, Any]) -> dict[str, list[Any]] | None:
    """Return columns of equal length: lists, or objects with the same keys as pandas writes them.

    One of them must have the name of a column of files.
    """
    if not any(_FILE_KEYS.fullmatch(key) for key in document):
        return None
    lists = {key: value for key, value in document.items() if isinstance(value, list)}
    objects = {key: value for key, value in document.items() if isinstance(value, dict)}
    if len({tuple(value) for value in objects.values()}) == 1 and len(objects) == len(document):
        lists = {key: list(value.values()) for key, value in objects.items()}
    return lists if len(lists) > 1 and len({len(value) for value in lists.values()}) == 1 else None


def _rows_table(rows: Sequence[Sequence[Any]], name: str, header: list[str]) -> LabelTable:
    def read_rows() -> Iterator[Row]:
        return ([_to_text(value, name) for value in row] for row in rows)

    for row in rows:
        for value in row:
            _to_text(value, name)
    return LabelTable(name, header, read_rows)


def read_xml(text: str, name: str) -> LabelTable:
    """Read the repeated elements of an XML document as rows."""
    return read_objects([item for item in xml_objects(text, name) if len(item) > 1], name)


def xml_objects(text: str, name: str) -> list[dict[str, str]]:
    """Return the attributes and the texts of the first elements of an XML document.

    Documents with entities are rejected: they may expand to gigabytes.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise invalid_table(name, "documents with a DOCTYPE are not read")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  documents with entities were rejected
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise invalid_table(name, "the file is not valid XML") from error
    elements = [root, *(root if len(root) > 1 else root.iterfind("*/*"))]
    return [_to_object(element) for element in elements]


def _to_object(element: ElementTree.Element) -> dict[str, str]:
    texts = {child.tag: child.text.strip() for child in element if child.text and not len(child)}
    return {**element.attrib, **texts}


def _document_table(document: Any, name: str) -> LabelTable:
    """Read a list of items, or an object of paths and labels, possibly below a key."""
    if isinstance(document, dict):
        if {"images", "annotations"} <= document.keys():
            return _annotations_table(document, name)
        if _columns_of(document):
            raise invalid_table(name, "its columns are lists")
        document = _only_list(document)
    if isinstance(document, list):
        if document and all(isinstance(item, dict) for item in document):
            return read_objects(document, name)
        return _pairs_table(document, name)
    if isinstance(document, dict):
        return _object_table(document, name)
    raise invalid_table(
        name,
        'the document must be {"<path>": "<label>", …} or a list of {"path": …, "label": …}',
    )


def _only_list(document: dict[str, Any]) -> Any:
    """Return the list of a document with `labels` or with one list of objects."""
    lists = [value for value in document.values() if isinstance(value, list)]
    if isinstance(document.get("labels"), list):
        return document["labels"]
    is_only = len(lists) == 1 and lists[0] and isinstance(lists[0][0], dict)
    return lists[0] if is_only else document


def _object_table(document: dict[str, Any], name: str) -> LabelTable:
    """Read an object of labels by path, of objects by path, or of lists of paths by label."""
    if document and all(_is_list_of_texts(value) for value in document.values()):
        pairs = [(path, label) for label, paths in document.items() for path in paths]
        return _pairs_table(pairs, name)
    if document and all(isinstance(value, dict) for value in document.values()):
        return read_objects([{"path": path, **item} for path, item in document.items()], name)
    return _pairs_table(list(document.items()), name)


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
    pairs = [
        (*pair[:1], _only(pair[1])) if isinstance(pair, list | tuple) and len(pair) == 2 else pair
        for pair in pairs
    ]
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise invalid_table(name, "each entry must be a path and a label")
        _to_text(pair[1], name)

    def read_rows() -> Iterator[Row]:
        return ([path, _to_text(label, name)] for path, label in pairs)

    return LabelTable(name, ["path", "label"], read_rows)


def read_objects(items: Sequence[Any], name: str) -> LabelTable:
    """Return the table of a list of objects. Inner objects are columns such as `image.path`."""
    if not all(isinstance(item, dict) for item in items):
        raise invalid_table(name, "each entry must be an object with a path and a label")
    items = [_flatten(item) for item in items]
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


def _flatten(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object whose inner objects have become keys with a dot. Lists of one are values."""
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return {key: _only(value) for key, value in flat.items()}


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_one_hot(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(isinstance(v, int | float) for v in value)
        and sum(value) == 1
        and max(value) == 1
    )


def _to_text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str | int | float):
        return to_text(value)
    if _is_one_hot(value):
        return str(value.index(1))
    raise invalid_table(name, "paths and labels must be text or numbers")
