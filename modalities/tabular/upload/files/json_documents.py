"""Rows of JSON documents that are not a plain array of objects, and of nested objects.

Programs write the rows into a member of an object (`{"count": 2, "results": [{…}, {…}]}`), as
arrays below their names, as columns (`{"age": {"0": 31, "1": 40}}`), or as many keys with one value
each (`{"red": "#ff0000", "blue": "#0000ff", …}`).
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

Row = dict[str, Any]

MAX_KEYS, MIN_FILLED = 10, 0.3  # of nested objects with the same keys in most rows
_MARKS = re.compile(r"[:/@#=|;]")  # that names of columns seldom have
MIN_PAIRS = 20  # of an object of texts or numbers that is a table of two columns


def document_rows(document: Mapping[str, Any]) -> tuple[str, Sequence[Any]] | None:
    """Return the member of an object that holds the rows, and the rows; None if none does.

    The member is "" if the object itself holds columns or named rows.
    """
    lists = {key: v for key, v in document.items() if isinstance(v, list) and v}
    tables = [key for key, v in lists.items() if all(isinstance(item, dict) for item in v)]
    if len(tables) == 1:
        return tables[0], lists[tables[0]]
    arrays = [key for key, v in lists.items() if all(isinstance(item, list) for item in v)]
    names = [key for key, v in lists.items() if all(isinstance(item, str) for item in v)]
    if len(arrays) == 1:
        rows = lists[arrays[0]]
        header = next((lists[key] for key in names if len(lists[key]) == len(rows[0])), None)
        return arrays[0], rows if header is None else [header, *rows]
    members = list(document.values())
    if len(members) > 1 and all(isinstance(member, dict) and member for member in members):
        return "", _columns_or_rows(document)
    if len(members) >= MIN_PAIRS and _are_alike(members):
        return "", [{"key": key, "value": value} for key, value in document.items()]
    if len(lists) == len(document) > 0 and len({len(v) for v in lists.values()}) == 1:
        return "", [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return None


def _are_alike(members: Sequence[Any]) -> bool:
    """Return True for values of one kind, which are not the fields of one thing."""
    types = {type(member) for member in members if member is not None}
    return types == {str} or (bool(types) and types <= {int, float})


def _columns_or_rows(document: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return the rows of columns whose keys are row numbers, or of objects with names."""
    keys = list(next(iter(document.values())))
    if all(key.isdigit() for key in keys):
        return [{name: column.get(key) for name, column in document.items()} for key in keys]
    return [{"key": key, **member} for key, member in document.items()]


def array_rows(values: Iterator[tuple[int, Any]], names: Sequence[Any]) -> Iterator[Any]:
    """Yield objects instead of arrays of values below the array of their names.

    A value that does not have one value for each name is returned unchanged.
    """
    for line, value in values:
        is_row = isinstance(value, list) and len(value) == len(names)
        yield line, dict(zip(names, value, strict=True)) if is_row else value


def are_names(value: Any) -> bool:
    """Return True for an array of different texts."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return False
    return len(set(value)) == len(value) > 0


def are_alike(names: Sequence[str], row: Any) -> bool:
    """Return True if texts with marks, such as `country:AF`, are in the place of names, too."""
    if not isinstance(row, list) or len(row) != len(names):
        return False
    marks = ((_MARKS.findall(name), value) for name, value in zip(names, row, strict=True))
    return any(
        found and isinstance(value, str) and _MARKS.findall(value) == found
        for found, value in marks
    )


def flatten(
    row: Mapping[str, Any], whole: Set[str] = frozenset(), prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of an object; those of nested objects as `user.name`.

    The objects of the names `whole` are not divided.
    """
    for key, value in row.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in whole:
            yield from flatten(value, whole, f"{name}.")
        else:
            yield name, value


class NestedObjects:
    """Counts of the keys of nested objects, by name, to recognize those that are lists of things.

    Objects such as `{"EUR": 1.1, "USD": 1}` have a few of many keys in each row.
    """

    def __init__(self) -> None:
        self._objects: Counter[str] = Counter()
        self._keys: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, row: Mapping[str, Any], prefix: str = "") -> None:
        for key, value in row.items():
            if isinstance(value, dict):
                name = f"{prefix}{key}"
                self._objects[name] += 1
                self._keys[name].update(value.keys())
                self.add(value, f"{name}.")

    def varied(self) -> set[str]:
        """Return the names of the objects that have a few of many keys."""
        return {
            name
            for name, counts in self._keys.items()
            if len(counts) > MAX_KEYS
            and counts.total() < MIN_FILLED * len(counts) * self._objects[name]
        }


def find_rows(text: str, start: int) -> tuple[str, int] | None:
    """Return the member of the object at `start` that holds rows, and where they begin.

    The rows are the first array of objects or arrays directly below the object. This is for
    documents that are too large to be decoded as a whole.
    """
    decoder, depth, key, at = json.JSONDecoder(), 0, "", start
    while at < len(text):
        character = text[at]
        if character == '"':
            try:
                string, at = decoder.raw_decode(text, at)
            except ValueError:
                return None
            key = string if depth == 1 and text[at : at + 20].lstrip()[:1] == ":" else key
            continue
        if character == "[" and depth == 1 and text[at + 1 : at + 100].lstrip()[:1] in {"{", "["}:
            return key, at
        depth += (character in "{[") - (character in "}]")
        at += 1
    return None
