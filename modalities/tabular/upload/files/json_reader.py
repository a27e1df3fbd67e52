"""Reader of JSON: objects one after another, such as one per line (NDJSON), or in one array.

The text is read twice: first to detect the columns and their types, then to read the values.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from core.datasets.data_quality import Issue, Severity
from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.schema import Column
from modalities.tabular.upload.files.json_documents import (
    NestedObjects,
    Row,
    are_alike,
    are_names,
    array_rows,
    document_rows,
    find_rows,
    flatten,
)
from modalities.tabular.upload.files.python_values import ColumnTypes, build_batches
from modalities.tabular.upload.files.text_file import TextFile
from modalities.tabular.upload.raw_table import (
    MAX_EXAMPLES,
    RawTable,
    normalize_names,
    table_error,
)

EXAMINED_ROWS = 10_000  # that show which nested objects have the same keys in most rows

_BLANKS = re.compile(r"[ \t\r\n]*")


def open_json(file: TextFile, limits: Limits) -> RawTable:
    """Open a table of JSON objects."""
    notes = [file.note] if file.note else []
    issues = [file.guess] if file.guess else []
    rows = _Rows(file, limits)
    rows.examine()
    column_types = _column_types(rows, limits)
    if not column_types:
        raise table_error("table_empty", f"{printable(file.name)} holds no values.")
    if rows.member:
        notes.append(f"The rows are those of {printable(rows.member)}.")
    if not rows.has_names:
        notes.append("The first array is a row, as its texts have the marks of the next one.")
    keys = list(column_types)
    names = normalize_names(keys, limits, issues)
    _report_nested(rows, issues)
    types = [column_types[key].arrow_type() for key in keys]
    schema = pa.schema(list(zip(names, types, strict=True)))
    values = ([row.get(key) for key in keys] for row in rows)
    mixed = {n for n, key in zip(names, keys, strict=True) if column_types[key].is_mixed}
    unsigned = [n for n, key in zip(names, keys, strict=True) if column_types[key].is_uint64]
    lists = {n for n, key in zip(names, keys, strict=True) if key in rows.lists}
    return RawTable(
        "json" if _is_array(file) else "ndjson",
        schema,
        build_batches(values, schema),
        type_hints={name: Column(name, "category", arrow="uint64") for name in unsigned},
        untyped=frozenset(mixed | lists),
        notes=notes,
        issues=issues,
        read={"encoding": file.encoding},
    )


def _report_nested(rows: "_Rows", issues: list[Issue]) -> None:
    if rows.objects:
        hint = "The values of these objects became columns of their own, as in `user.name`."
        issues.append(_names_issue("nested_objects", "info", rows.objects, hint))
    if rows.lists:
        hint = (
            "Each list, or object of which rows have a few of many keys, became one JSON text, "
            "which is learned as a whole. To learn the single values, split them into columns."
        )
        issues.append(_names_issue("lists", "warning", rows.lists, hint))


def _names_issue(code: str, severity: Severity, names: Iterable[str], hint: str) -> Issue:
    shown = sorted(map(printable, names))
    return Issue(code, severity, len(shown), tuple(shown[:MAX_EXAMPLES]), hint)


def _is_array(file: TextFile) -> bool:
    return next((text for chunk in file.chunks() if (text := chunk.strip())), "").startswith("[")


def _column_types(rows: "_Rows", limits: Limits) -> dict[str, ColumnTypes]:
    column_types: dict[str, ColumnTypes] = {}
    for row in rows:
        for name, value in row.items():
            if name not in column_types:
                column_types[name] = ColumnTypes()
            column_types[name].add(value)
        if len(column_types) > limits.columns_max:
            message = (
                f"The objects have more than {limits.columns_max:,} different keys; remove some "
                "of them."
            )
            raise table_error("too_many_columns", message)
    return column_types


class _Rows:
    """The rows of a file, flattened. The attributes are complete after the first iteration.

    `member` is the key of the rows in a document; `has_names` is False for arrays without names.
    `objects` and `lists` name nested values, of which the latter become texts.
    """

    def __init__(self, file: TextFile, limits: Limits) -> None:
        self.member = ""
        self.has_names = True
        self.objects: set[str] = set()
        self.lists: set[str] = set()
        self._whole: set[str] = set()
        self._file = file
        self._limits = limits

    def examine(self) -> None:
        """Find nested objects that are not divided, because each row has others of their keys."""
        nested = NestedObjects()
        for line, value in islice(self._values(), EXAMINED_ROWS):
            if isinstance(value, dict):
                with _nesting_limit(line):
                    nested.add(value)
        self._whole = nested.varied()

    def __iter__(self) -> Iterator[Row]:
        for line, value in self._values():
            if not isinstance(value, dict):
                raise _line_error(line, "does not begin a JSON object; write one object per row")
            objects = {key for key, each in value.items() if isinstance(each, dict)}
            self.objects |= objects - self._whole
            with _nesting_limit(line):
                row = self._flat_row(line, value)
            yield row

    def _flat_row(self, line: int, value: Row) -> Row:
        row: Row = {}
        for key, each in flatten(value, self._whole):
            if key in row:
                raise _line_error(line, "has the same key twice; rename one of them")
            row[key] = each
            if isinstance(each, list | dict):
                self.lists.add(key)
                row[key] = json.dumps(each, ensure_ascii=False) if each else None
        return row

    def _values(self) -> Iterator[tuple[int, Any]]:
        values = _Values(self._file, self._limits)
        iterator = iter(values)
        first = next(iterator, None)
        if first is None:
            return
        self.member = values.member
        line, value = first
        second = next(iterator, None)
        rest = chain([] if second is None else [second], iterator)
        if are_names(value):
            self.has_names = second is None or not are_alike(value, second[1])
            numbers = [f"column_{i}" for i in range(1, len(value) + 1)]
            arrays = rest if self.has_names else chain([first], rest)
            yield from array_rows(arrays, value if self.has_names else numbers)
            return
        is_document = isinstance(value, dict) and second is None and not values.in_array
        found = document_rows(value) if is_document else None
        if found is None:
            yield from chain([first], rest)
            return
        self.member, rows = found
        pairs = ((line, row) for row in rows)
        if rows and are_names(rows[0]):
            yield from array_rows(pairs, next(pairs)[1])
        else:
            yield from pairs


class _Values:
    """JSON values of a file with the lines in which they begin.

    The values are those of one array, or follow each other, separated by blanks or line ends. In
    a document that is too large to be decoded, they are those of its `member` with the rows.
    """

    def __init__(self, file: TextFile, limits: Limits) -> None:
        self._chunks = file.chunks()
        self._limits = limits
        self._decoder = json.JSONDecoder(object_pairs_hook=_object)
        self._text = ""
        self._position = 0
        self._line = 1
        self.member = ""
        self.in_array = False

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        in_array = self.in_array = self._next_character() == "["
        if not in_array and self._find_rows():
            in_array = self.in_array = True
        if in_array:
            self._position += 1
        while (character := self._next_character()) and not (in_array and character == "]"):
            line = self._line
            yield line, self._decode()
            if in_array and self._next_character() == ",":
                self._position += 1
            elif in_array and self._next_character() != "]":
                raise _line_error(self._line, "is not valid JSON; a comma or ] is missing")
        if in_array:
            if not character:
                raise _line_error(self._line, "is not valid JSON; the array does not end")
            self._position += 1
            if self._next_character() and not self.member:
                raise _line_error(self._line, "has text after the end of the JSON array")

    def _find_rows(self) -> bool:
        """Move to the rows of a document that has more characters than a row may have."""
        while len(self._text) <= self._limits.row_chars:
            if not self._read_more():
                return False
        with suppress(ValueError):
            self._decoder.raw_decode(self._text, self._position)
            return False
        found = find_rows(self._text, self._position)
        if found is None:
            return False
        self.member, self._position = found
        return True

    def _next_character(self) -> str:
        """Move to the next character that is not blank and return it; "" at the end."""
        while True:
            match = _BLANKS.match(self._text, self._position)
            end = match.end() if match else self._position
            self._line += self._text.count("\n", self._position, end)
            self._position = end
            if end < len(self._text) or not self._read_more():
                return self._text[end : end + 1]

    def _decode(self) -> Any:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except _DuplicateKeyError as error:
                problem = "has the same key twice; rename one of them"
                raise _line_error(self._line, problem) from error
            except RecursionError as error:
                raise _line_error(self._line, "is nested too deeply") from error
            except ValueError as error:
                if len(self._text) - self._position > self._limits.row_chars:
                    problem = f"has more than {self._limits.row_chars:,} characters"
                    raise _line_error(self._line, f"is not valid JSON, or {problem}") from error
                if self._read_more():
                    continue
                problem = "is not valid JSON; write one JSON object per line, or one array"
                raise _line_error(self._line, problem) from error
            # A number at the end of the chunk may go on in the next one.
            if end == len(self._text) and self._read_more():
                continue
            self._line += self._text.count("\n", self._position, end)
            self._position = end
            return value

    def _read_more(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._text = self._text[self._position :] + chunk
        self._position = 0
        return True


class _DuplicateKeyError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _DuplicateKeyError
    return row


@contextmanager
def _nesting_limit(line: int) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise _line_error(line, "is nested too deeply") from error


def _line_error(line: int, problem: str) -> DatasetUnreadable:
    return table_error("row_invalid", f"Line {line:,} {problem}.", pointer=f"/file/lines/{line}")
