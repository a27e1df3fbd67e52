"""Reader of JSON: objects one after another, such as one per line (NDJSON), or in one array.

The text is read twice: first to detect the columns and their types, then to read the values.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.settings import Limits
from modalities.tabular.upload.python_values import ColumnTypes, build_batches
from modalities.tabular.upload.raw_table import (
    RawTable,
    columns_error,
    normalize_names,
    skipped_note,
    table_error,
)
from modalities.tabular.upload.text_file import TextFile

_BLANKS = re.compile(r"[ \t\r\n]*")


def open_json(file: TextFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """Open a table of JSON objects. Columns of `exclude` are skipped if they hold lists."""
    notes, issues = [file.note] if file.note else [], list[Issue]()
    column_types = _column_types(file, limits)
    if not column_types:
        raise table_error("table_empty", f"{printable(file.name)} holds no values.")
    nested = [name for name, types in column_types.items() if types.types & {dict, list}]
    skipped = [name for name in nested if name in exclude]
    if skipped:
        notes.append(skipped_note(skipped))
    keys = [name for name in column_types if name not in skipped]
    names = normalize_names(keys, limits, issues)
    if nested != skipped:
        nested = [name for name in nested if name not in exclude]
        message = (
            "Lists and objects cannot be learned; flatten them into columns, or list the columns "
            "in `exclude_columns`."
        )
        raise columns_error("column_type", "Unsupported column type", nested, message)
    types = [column_types[key].arrow_type() for key in keys]
    schema = pa.schema(list(zip(names, types, strict=True)))
    rows = ([row.get(key) for key in keys] for row in _objects(file, limits))
    mixed = [n for n, key in zip(names, keys, strict=True) if column_types[key].is_mixed]
    return RawTable(
        "json" if _is_array(file) else "ndjson",
        schema,
        build_batches(rows, schema),
        untyped=frozenset(mixed),
        skipped=frozenset(skipped),
        notes=notes,
        issues=issues,
        read={"encoding": file.encoding},
    )


def _is_array(file: TextFile) -> bool:
    return next((text for chunk in file.chunks() if (text := chunk.strip())), "").startswith("[")


def _column_types(file: TextFile, limits: Limits) -> dict[str, ColumnTypes]:
    column_types: dict[str, ColumnTypes] = {}
    for row in _objects(file, limits):
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


def _objects(file: TextFile, limits: Limits) -> Iterator[dict[str, Any]]:
    for line, value in _Values(file, limits):
        if not isinstance(value, dict):
            raise _line_error(line, "does not begin a JSON object; write one object per row")
        yield value


class _Values:
    """JSON values of a file with the lines in which they begin.

    The values are those of one array, or follow each other, separated by blanks or line ends.
    """

    def __init__(self, file: TextFile, limits: Limits) -> None:
        self._chunks = file.chunks()
        self._limits = limits
        self._decoder = json.JSONDecoder(object_pairs_hook=_object)
        self._text = ""
        self._position = 0
        self._line = 1

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        in_array = self._next_character() == "["
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
            if self._next_character():
                raise _line_error(self._line, "has text after the end of the JSON array")

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


def _line_error(line: int, problem: str) -> DatasetUnreadable:
    return table_error("row_invalid", f"Line {line:,} {problem}.", pointer=f"/file/lines/{line}")
