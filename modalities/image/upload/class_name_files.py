"""Names of numbered classes from files such as `classes.txt`, `obj.names` or `words.txt`.

Numbers and WordNet ids (`n01440764`) are named; labels that are words keep their names.
"""

import json
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.datasets.errors import printable
from modalities.image.upload.archive import Archive, read_up_to
from modalities.image.upload.archive_index import is_hidden

_FILE = re.compile(
    r".*(class|label|categor|name|synset|words|idx|index|map).*\.(txt|names|json|csv|tsv)|.*\.names",
    re.IGNORECASE,
)
_CODE = re.compile(r"\d+|n\d{8}")
_PAIR = re.compile(r"\s*(?P<key>\d+|n\d{8})\s*[\s,;:=|]\s*(?P<name>\S.*?)\s*")
_MAX_FILES = 20
_MAX_BYTES = 4 * 1024 * 1024


def find_class_names(
    archive: Archive, documents: Sequence[int], labels: Sequence[str]
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
        text = read_up_to(reader, _MAX_BYTES).decode("utf-8-sig", errors="replace")
        read = _read_json if archive.names[i].lower().endswith(".json") else _read_lines
        names = _select(read(text), labels)
        if names is not None:
            return names, f"The classes have the names in {printable(archive.names[i])}."
    return None


def _select(names: Mapping[str, str], labels: Sequence[str]) -> dict[str, str] | None:
    """Return the names of the labels if there are different ones for all of them."""
    found = {label: names.get(label, names.get(_number(label), "")) for label in labels}
    distinct = {name.casefold() for name in found.values()}
    is_named = all(name and not name.isdecimal() for name in found.values())
    return found if is_named and len(distinct) == len(labels) else None


def _number(label: str) -> str:
    """Return a number without leading zeros."""
    return str(int(label)) if label.isdecimal() else label


def _read_lines(text: str) -> dict[str, str]:
    """Read lines of a number and a name, or of names, which are then counted from 0."""
    lines = [line.strip().strip(",\"'") for line in text.splitlines() if line.strip()]
    pairs = [match for line in lines if (match := _PAIR.fullmatch(line))]
    if len(pairs) >= max(1, len(lines) - 1):  # one line may be a header
        return {_number(pair["key"]): pair["name"].strip("\"'") for pair in pairs}
    return {str(i): line for i, line in enumerate(lines)}


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
        elif isinstance(value, int):
            names[str(value)] = key
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
            names[value[0]] = value[1]  # {"0": ["n01440764", "tench"]}, as for ImageNet
    return names
