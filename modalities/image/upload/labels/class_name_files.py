"""Names of numbered classes from files such as `classes.txt`, `obj.names` or `words.txt`.

Numbers and WordNet ids (`n01440764`) are named; labels that are words keep their names.
"""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from core.datasets.errors import printable
from core.datasets.table_names import WORKBOOK_SUFFIXES
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import is_hidden
from modalities.image.upload.labels.label_files import read_tables
from modalities.image.upload.labels.label_table import LabelTable
from modalities.image.upload.labels.split_names import words_of

_FILE = re.compile(
    r".*(class|label|categor|name|synset|words|idx|index|map).*\.(txt|names|json|csv|tsv|xlsx?|ya?ml)"
    r"|.*\.names|(data|dataset|config)\.ya?ml",
    re.IGNORECASE,
)
_CODE = re.compile(r"\d+|n\d{8}")
_PAIR = re.compile(r"\s*(?P<key>\d+|n\d{8})\s*[\s,;:=|]\s*(?P<name>\S.*?)\s*")
_COLUMN_WORDS = frozenset({"name", "names", "class", "label", "category", "title", "sign"})
_MAX_FILES = 20
_MAX_BYTES = 4 * 1024 * 1024


_YAML = re.compile(
    r"^names:[ \t]*(?:\[(?P<list>[^\]]*)\]|\{(?P<map>[^}]*)\}|(?P<block>(?:\n\s*(?:-|\d+:).*)+))",
    re.MULTILINE,
)


def names_classes(table: LabelTable) -> bool:
    """Return True for a table with the name of such a file, of numbers and as many names."""
    rows = table.sample()
    columns = list(zip(*rows, strict=True))
    return (
        _FILE.fullmatch(posixpath.basename(table.name)) is not None
        and len(columns) == 2
        and len(rows) > 1
        and all(len(set(column)) == len(rows) for column in columns)
        and any(all(_CODE.fullmatch(key or "") for key in column) for column in columns)
    )


def find_class_names(
    archive: Archive, documents: Sequence[int], labels: Sequence[str], limits: Limits
) -> tuple[dict[str, str], str] | None:
    """Return a name for each of `labels` and a note about the file that gives them.

    `documents` are the indices of files in `archive`. None if no file names all labels.
    """
    if not labels or not all(_CODE.fullmatch(label) for label in labels):
        return None
    files = [
        i
        for i in documents
        if _FILE.fullmatch(posixpath.basename(archive.names[i])) and not is_hidden(archive.names[i])
    ]
    for i, reader in archive.open_members(files[:_MAX_FILES]):
        content = read_up_to(reader, _MAX_BYTES)
        for candidate in _candidates(content, archive.names[i], labels, limits):
            if names := _select(candidate, labels):
                return names, f"The classes have the names in {printable(archive.names[i])}."
    return None


def _candidates(
    content: bytes, name: str, labels: Sequence[str], limits: Limits
) -> Iterator[dict[str, str]]:
    """Yield the names by label in the ways in which a file can be read."""
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in {".csv", ".tsv", *WORKBOOK_SUFFIXES}:
        with suppress(DatasetUnreadable):
            for table in read_tables(content, name, lambda _: False, limits):
                yield from _read_columns(table, labels)
        if suffix in WORKBOOK_SUFFIXES:
            return
    text = content.decode("utf-8-sig", errors="replace")
    if suffix in {".yaml", ".yml"}:
        yield _read_yaml(text)
    elif suffix == ".json":
        yield _read_json(text)
    elif text.lstrip()[:1] in {"{", "["}:  # a literal of Python
        yield _read_items(text.strip().strip("{}[]"))
    else:
        yield _read_lines(text, labels)


def _read_columns(table: LabelTable, labels: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the texts of each column next to one that holds all labels."""
    rows = [[(field or "").strip() for field in row] for row in table.sample()]
    columns = list(zip(*rows, strict=True))
    order = sorted(range(len(columns)), key=lambda i: not _is_name_column(table.header[i]))
    for keys in columns:
        numbers = [_number(key) for key in keys]
        if {_number(label) for label in labels}.issubset(numbers):
            for i in order:
                yield dict(zip(numbers, columns[i], strict=True)) | dict(
                    zip(keys, columns[i], strict=True)
                )


def _is_name_column(name: str) -> bool:
    return not _COLUMN_WORDS.isdisjoint(words_of(name))


def _read_yaml(text: str) -> dict[str, str]:
    """Read `names` of the description of a dataset, as YOLO has it: a list or a mapping."""
    match = _YAML.search(text)
    if match is None:
        return {}
    if match["block"] is None:
        return _read_items(match["list"] or match["map"] or "")
    lines = [line.strip() for line in match["block"].splitlines() if line.strip()]
    return _read_items(",".join(line.removeprefix("-") for line in lines))


def _read_items(text: str) -> dict[str, str]:
    """Read names, or numbers and names, that commas divide: `'cat', 'dog'` or `0: 'cat'`."""
    items = [item.strip() for item in text.replace("\n", " ").split(",") if item.strip()]
    pairs = [item.partition(":") for item in items]
    if all(colon and key.strip(" '\"").isdecimal() for key, colon, _ in pairs):
        return {_number(key.strip(" '\"")): name.strip(" '\"") for key, _, name in pairs}
    return {str(i): item.strip(" '\"") for i, item in enumerate(items)}


def _select(names: Mapping[str, str], labels: Sequence[str]) -> dict[str, str] | None:
    """Return the names of the labels if there are different ones for all of them."""
    found = {label: names.get(label, names.get(_number(label), "")) for label in labels}
    distinct = {name.casefold() for name in found.values()}
    is_named = all(name and not name.isdecimal() for name in found.values())
    return found if is_named and len(distinct) == len(labels) else None


def _number(label: str) -> str:
    """Return a number without leading zeros."""
    return str(int(label)) if label.isdecimal() else label


def _read_lines(text: str, labels: Sequence[str]) -> dict[str, str]:
    """Read lines of a number and a name, or of names, which are then counted from 0 or from 1."""
    lines = [line.strip().strip(",\"'") for line in text.splitlines() if line.strip()]
    pairs = [match for line in lines if (match := _PAIR.fullmatch(line))]
    if len(pairs) >= max(1, len(lines) - 1):  # one line may be a header
        return {_number(pair["key"]): pair["name"].strip("\"'") for pair in pairs}
    numbers = {int(label) for label in labels if label.isdecimal()}
    first = int(numbers == set(range(1, len(lines) + 1)))
    return {str(i): line for i, line in enumerate(lines, first)}


def _read_json(text: str) -> dict[str, str]:
    """Read a list of names, or an object of numbers and names in either direction."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, list) and all(isinstance(name, str) for name in document):
        return {str(i): name for i, name in enumerate(document)}
    if not isinstance(document, dict):
        return {}
    names = {}
    for key, value in document.items():
        if isinstance(value, str):
            names[_number(key)] = value
        elif isinstance(value, int) and names.setdefault(str(value), key) != key:
            return {}  # labels of images, not names of classes
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
            names[value[0]] = value[1]  # {"0": ["n01440764", "tench"]}, as for ImageNet
    return names
