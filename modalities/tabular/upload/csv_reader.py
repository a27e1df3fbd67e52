"""Reader of CSV and other delimited text files.

pyarrow parses the fields. This module first checks what pyarrow would accept silently: rows of
unlimited length, unterminated quotes and blanks around fields.
"""

import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import pyarrow as pa
from pyarrow import csv

from core.datasets.errors import MAX_ERRORS, printable
from core.errors import DatasetUnreadable, FieldError, SemblanceError
from core.settings import Limits
from modalities.tabular.upload.csv_dialect import SAMPLE_CHARS, CsvDialect, detect_dialect
from modalities.tabular.upload.raw_table import RawTable, normalize_names, table_error
from modalities.tabular.upload.text_file import TextFile

_READ_BYTES = 1024 * 1024


def open_csv(file: TextFile, limits: Limits) -> RawTable:
    chunks = file.chunks()
    sample = ""
    for chunk in chunks:
        sample += chunk
        if len(sample) >= SAMPLE_CHARS:
            break
    dialect = detect_dialect(sample, cut=len(sample) >= SAMPLE_CHARS)
    if dialect is None:
        raise table_error("table_empty", f"{printable(file.name)} is empty.")
    notes = [file.note] if file.note else []
    raw_names = dialect.header or [""] * dialect.width
    names = normalize_names(raw_names, limits, notes)
    normalizer = _CsvNormalizer(chain([sample], chunks), dialect, limits)
    schema = pa.schema([(name, pa.string()) for name in names])
    return RawTable(
        "tsv" if dialect.delimiter == "\t" else "csv",
        schema,
        _batches(normalizer, dialect, names, notes, file.name),
        untyped=frozenset(names),
        decimal_comma=dialect.delimiter != ",",
        notes=notes,
    )


def _batches(
    normalizer: "_CsvNormalizer", dialect: CsvDialect, names: list[str], notes: list[str], name: str
) -> Iterator[pa.RecordBatch]:
    wrong_rows = _FieldCountErrors(has_header=dialect.header is not None)
    try:
        reader = csv.open_csv(
            pa.PythonFile(normalizer, "r"),
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=normalizer.limits.row_chars * 4,
                column_names=names,
                skip_rows_after_names=int(dialect.header is not None),
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,
                invalid_row_handler=wrong_rows,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        yield from reader
    except (pa.ArrowException, OSError, ValueError) as error:
        if normalizer.error is not None:
            raise normalizer.error from error
        if not wrong_rows.errors:
            message = f"{printable(name)} cannot be read as a table; export it again as CSV."
            raise table_error("table_unreadable", message) from error
    if wrong_rows.errors:
        raise wrong_rows.to_error(name)
    if normalizer.stripped:
        notes.append(f"Blanks around {normalizer.stripped:,} fields were stripped.")


class _FieldCountErrors:
    """Collector of rows with too few or too many fields, called by pyarrow for each of them."""

    def __init__(self, *, has_header: bool) -> None:
        self._has_header = has_header
        self.errors: list[FieldError] = []

    def __call__(self, row: Any) -> str:
        number = row.number - int(self._has_header)
        message = (
            f"Row {number} has {row.actual_columns} fields; the table has "
            f"{row.expected_columns} columns."
        )
        self.errors.append(FieldError(f"/file/rows/{number}", "wrong_field_count", message))
        return "skip" if len(self.errors) < MAX_ERRORS else "error"

    def to_error(self, name: str) -> DatasetUnreadable:
        at_least = "at least " if len(self.errors) == MAX_ERRORS else ""
        detail = (
            f"{printable(name)} has {at_least}{len(self.errors)} rows with a wrong number of "
            f"fields. {self.errors[0].message}"
        )
        return DatasetUnreadable(detail, code="wrong_field_count", field_errors=self.errors)


class _CsvNormalizer(io.RawIOBase):
    """Stream of the text as UTF-8 for pyarrow, without blanks around fields and quotes.

    Each read returns part of a sequence of complete rows. Errors are also stored in `error`,
    because pyarrow replaces the exceptions that a Python file raises.
    """

    def __init__(self, chunks: Iterable[str], dialect: CsvDialect, limits: Limits) -> None:
        self.limits = limits
        self.error: SemblanceError | None = None
        self.stripped = 0
        self._chunks = chunks
        self._newline = dialect.newline
        self._quote = dialect.quote
        delimiter, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
        blank = "[ ]" if dialect.delimiter == "\t" else "[ \t]"
        begin, end = rf"(?<![^{delimiter}\r\n])", rf"(?=[{delimiter}\r\n]|\Z)"
        quoted = rf"{quote}(?:[^{quote}]|{quote}{quote})*+{quote}"
        self._quoted = re.compile(
            rf"{begin}{blank}*+{quote}(?:[^{quote}]|{quote}{quote})*+({quote}?)"
        )
        self._blanks = re.compile(
            rf"{begin}(?P<before>{blank}*+)(?P<quoted>{quoted})(?P<after>{blank}*+){end}"
            rf"|{blank}++{end}|{begin}{blank}++"
        )
        self._any_blank = re.compile(rf"{blank}{end}|{begin}{blank}")
        self._rows = self._whole_rows()
        self._data = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._data:
                rows = next(self._rows, None)
                if rows is None:
                    return b""
                self._data = memoryview(self._strip(rows).encode("utf-8"))
        except SemblanceError as error:
            self.error = error
            raise
        size = _READ_BYTES if size < 0 else size
        data, self._data = self._data[:size], self._data[size:]
        return bytes(data)

    def _whole_rows(self) -> Iterator[str]:
        rest, line = "", 1
        for chunk in self._chunks:
            rest += chunk
            cut = self._end_of_rows(rest)
            if cut:
                yield rest[:cut]
                line += rest.count(self._newline, 0, cut)
                rest = rest[cut:]
            if len(rest) > self.limits.row_chars:
                message = (
                    f"The row that begins in line {line:,} does not end within "
                    f"{self.limits.row_chars:,} characters; look for an unclosed quotation mark."
                )
                raise table_error("row_too_long", message)
        if self._open_quote(rest) is not None:
            message = f"The row that begins in line {line:,} has an unclosed quotation mark."
            raise table_error("unterminated_quote", message)
        if rest:
            yield rest

    def _end_of_rows(self, text: str) -> int:
        """Return the offset after the last complete row; 0 if there is none."""
        if self._quote not in text:
            return text.rfind(self._newline) + 1
        end = len(text)
        for match in reversed(list(self._quoted.finditer(text))):
            if not match[1]:  # no closing quotation mark: the row may continue
                end = match.start()
                continue
            cut = text.rfind(self._newline, match.end(), end) + 1
            if cut:
                return cut
            end = match.start()
        return text.rfind(self._newline, 0, end) + 1

    def _open_quote(self, text: str) -> int | None:
        for match in self._quoted.finditer(text):
            if not match[1]:
                return match.start()
        return None

    def _strip(self, rows: str) -> str:
        if not self._any_blank.search(rows):
            return rows
        return self._blanks.sub(self._strip_field, rows)

    def _strip_field(self, match: re.Match[str]) -> str:
        quoted = match["quoted"]
        if quoted is None:
            self.stripped += 1
            return ""
        self.stripped += bool(match["before"] or match["after"])
        return quoted
