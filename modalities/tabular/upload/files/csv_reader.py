"""Reader of CSV and other delimited text files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import pyarrow as pa
from pyarrow import csv

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.tabular.upload.files.csv_dialect import (
    NO_DELIMITER,
    SAMPLE_CHARS,
    SAMPLE_ROWS,
    CsvDialect,
    Sample,
    detect_dialect,
    iterate_rows,
)
from modalities.tabular.upload.files.csv_layout import CsvLayout, detect_csv
from modalities.tabular.upload.files.csv_text import CsvNormalizer
from modalities.tabular.upload.files.text_file import TextFile
from modalities.tabular.upload.layout.short_rows import header_above_short_rows
from modalities.tabular.upload.layout.stacked_tables import MAX_ROWS, NumberedRow, choose_table
from modalities.tabular.upload.layout.stray_rows import StrayRows, is_note
from modalities.tabular.upload.layout.transposed_rows import (
    are_transposed,
    to_csv,
    too_many_rows,
    transpose,
    transposed_issue,
)
from modalities.tabular.upload.raw_table import (
    MAX_EXAMPLES,
    RawTable,
    normalize_names,
    stripped_issue,
    table_error,
)
from modalities.tabular.upload.read_options import ReadOptions

_MAX_WRONG_ROWS = 1_000  # reading stops after these
_MAX_FOOTER_ROWS = 10
_SHORT_ROWS = (
    "These rows have fewer fields than there are names. All rows end with a value, so the fields "
    "at their end are missing values."
)
_OF_TRANSPOSED = ReadOptions(delimiter=",", quote='"', escape="", comment="")


@dataclass
class _Table:
    """The lines of one table: their beginning, which `sample` has, and the rest in `chunks`."""

    sample: Sample
    text: str
    chunks: Iterator[str]
    options: ReadOptions
    is_transposed: bool = False
    issues: list[Issue] = field(default_factory=list)


def _open_table(file: TextFile, options: ReadOptions) -> _Table:
    """Exchange rows and columns, or leave out other tables, where the file needs it."""
    chunks = file.chunks()
    text = ""
    for chunk in chunks:
        text += chunk
        if len(text) >= SAMPLE_CHARS:
            break
    sample = Sample(text, cut=len(text) >= SAMPLE_CHARS)
    transposed = _transposed(sample, options)
    if transposed is not None:
        sample = Sample(transposed, cut=False)
        return _Table(sample, transposed, iter(()), _OF_TRANSPOSED, is_transposed=True)
    table = _Table(sample, text, chunks, options)
    if not sample.cut and options.header is None:
        table.sample, table.options = _choose_table(sample, options, table.issues)
        table.text, table.chunks = table.sample.text, iter(())
    return table


def open_csv(file: TextFile, limits: Limits, options: ReadOptions) -> RawTable:
    table = _open_table(file, options)
    detected = detect_csv(table.sample, table.options, file.name)
    if detected is None:
        raise table_error("table_empty", f"{printable(file.name)} is empty.")
    dialect, layout = detected
    notes = [file.note] if file.note else []
    issues = [*table.issues, *layout.issues, *([file.guess] if file.guess else [])]
    if table.is_transposed and options.transpose is None:
        issues.append(transposed_issue(len(layout.names)))
    names = normalize_names(layout.names, limits, issues)
    normalizer = CsvNormalizer(
        chain([table.text[layout.offset :]], table.chunks),
        dialect,
        limits,
        first_line=layout.first_line,
        is_bordered=_is_bordered(table.sample, dialect, layout),
        full_width=len(names) if layout.has_short_rows else 0,
    )
    schema = pa.schema([(name, pa.string()) for name in names])
    stray = StrayRows(layout.names if layout.header_line is not None else ())
    reader = _CsvBatches(file, normalizer, dialect, layout, names)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from stray.remove(reader.read())
        if normalizer.stripped:
            issues.append(stripped_issue(normalizer.stripped, names))
        if normalizer.lines_between:
            issues.append(_lines_between_issue(normalizer.lines_between, dialect.delimiter))
        if normalizer.padded:
            issues.append(Issue("short_rows", "info", normalizer.padded, (), _SHORT_ROWS))
        if normalizer.comments:
            issues.append(_comments_issue(normalizer.comments, dialect.comment))
        issues.extend(stray.issues)
        issues.extend(reader.issues)

    return RawTable(
        "tsv" if dialect.delimiter == "\t" else "csv",
        schema,
        batches(),
        untyped=frozenset(names),
        decimal_comma=options.decimal_comma(default=dialect.delimiter.strip(", ") != ""),
        unnamed=frozenset(
            name
            for name, raw in zip(names, layout.names, strict=True)
            if layout.header_line is not None and not raw.strip()
        ),
        notes=notes,
        issues=issues,
        stripped=normalizer.stripped_texts,
        read={**options.to_dict(), "encoding": file.encoding, "transpose": True}
        if table.is_transposed
        else _used_options(file, dialect, layout, options),
    )


def _transposed(sample: Sample, options: ReadOptions) -> str | None:
    """Return the text with rows and columns exchanged, if the rows are the columns."""
    if options.transpose is False or (options.transpose is None and sample.cut):
        return None
    dialect, skip = detect_dialect(sample, options)
    rows = [row.fields for row in sample.rows(dialect, skip=skip)]
    if options.transpose is None and (len(rows) == SAMPLE_ROWS or not are_transposed(rows)):
        return None
    if sample.cut or len(rows) == SAMPLE_ROWS:
        raise too_many_rows()
    return to_csv(transpose(rows, ""))


def _choose_table(
    sample: Sample, options: ReadOptions, issues: list[Issue]
) -> tuple[Sample, ReadOptions]:
    """Return the lines to the end of one of several tables below each other, and where it begins.

    `sample` is the whole file.
    """
    dialect, skip = detect_dialect(sample, options)
    rows = [
        NumberedRow(row.line + 1, row.end + 1, row.fields)
        for row in sample.rows(dialect, skip=skip, limit=MAX_ROWS + 1)
    ]
    chosen = choose_table(rows, first=options.skip_lines is not None)
    if chosen is None or header_above_short_rows([row.fields for row in rows]) is not None:
        return sample, options
    table, issue = chosen
    issues.append(issue)
    options = replace(options, skip_lines=table.line - 1) if table.index else options
    return Sample("".join(sample.lines[: table.end - 1]), cut=False), options


def _used_options(
    file: TextFile, dialect: CsvDialect, layout: CsvLayout, options: ReadOptions
) -> dict[str, Any]:
    return {
        "delimiter": None if dialect.delimiter == NO_DELIMITER else dialect.delimiter,
        "quote": dialect.quote,
        "escape": dialect.escape,
        "header": False if layout.header_line is None else layout.header_line,
        "skip_lines": layout.skip_lines,
        "comment": dialect.comment,
        "encoding": file.encoding,
        "decimal": options.decimal,
        "thousands": options.thousands,
        "transpose": False,
    }


def _is_bordered(sample: Sample, dialect: CsvDialect, layout: CsvLayout) -> bool:
    """Return True if all rows begin and end with the delimiter, as those of printed lists do.

    Lines without a delimiter are rulers and titles of pages.
    """
    lines = map(str.strip, sample.lines[layout.first_line - 1 :])
    rows = [line for line in lines if dialect.delimiter in line]
    return dialect.delimiter == "|" and all(line[0] == line[-1] == "|" for line in rows)


def _lines_between_issue(lines: Sequence[str], delimiter: str) -> Issue:
    hint = f"These lines between the rows have no {delimiter} and were left out."
    examples = tuple(map(printable, dict.fromkeys(lines)))[:MAX_EXAMPLES]
    return Issue("comment_lines", "info", len(lines), examples, hint)


def _comments_issue(count: int, mark: str) -> Issue:
    hint = (
        f"Lines that begin with {mark} were read as comments. If they are rows, set "
        '`read.comment` to "".'
    )
    return Issue("comment_lines", "info", count, (), hint)


class _CsvBatches:
    """Batches of rows that pyarrow parses. `issues` is complete after the last one."""

    def __init__(
        self,
        file: TextFile,
        normalizer: CsvNormalizer,
        dialect: CsvDialect,
        layout: CsvLayout,
        names: list[str],
    ) -> None:
        self.issues: list[Issue] = []
        self._file = file
        self._normalizer = normalizer
        self._dialect = dialect
        self._layout = layout
        self._names = names
        self._wrong_rows: list[tuple[int, str, int]] = []  # (number from 1, text, fields)
        self._complete = False

    def read(self) -> Iterator[pa.RecordBatch]:
        rows = 0
        try:
            for batch in self._open(self._collect_wrong_row):
                rows += len(batch)
                yield batch
            self._complete = True
        except (pa.ArrowException, OSError, ValueError) as error:
            if self._normalizer.error is not None:
                raise self._normalizer.error from error
            if self._normalizer.is_empty:
                return
            if not self._wrong_rows:
                name = printable(self._file.name)
                message = f"{name} cannot be read as a table; export it again as CSV."
                raise table_error("table_unreadable", message) from error
        if self._wrong_rows:
            if not self._is_footer(rows):
                raise self._field_count_error(rows)
            self.issues.append(self._footer_issue())

    def _open(self, invalid_row_handler: Callable[[Any], str]) -> csv.CSVStreamingReader:
        dialect = self._dialect
        return csv.open_csv(
            pa.PythonFile(self._normalizer, "r"),
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=self._normalizer.limits.row_chars * 4,
                column_names=self._names,
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.column_separator,
                quote_char=dialect.quote or False,
                escape_char=dialect.escape or False,
                newlines_in_values=True,
                ignore_empty_lines=len(self._names) > 1,
                invalid_row_handler=invalid_row_handler,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(self._names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )

    def _collect_wrong_row(self, row: Any) -> str:
        self._wrong_rows.append((row.number, row.text, row.actual_columns))
        return "skip" if len(self._wrong_rows) < _MAX_WRONG_ROWS else "error"

    def _is_footer(self, rows: int) -> bool:
        """Return True if all wrong rows are texts after the last of `rows` rows.

        They have one field, or are sentences and comments in which there are delimiters. So is the
        first part of a row at which the file was cut off.
        """
        numbers = [number for number, _, _ in self._wrong_rows]
        at_end = numbers == list(range(rows + 1, rows + 1 + len(numbers)))
        return (
            self._complete
            and at_end
            and len(numbers) <= _MAX_FOOTER_ROWS
            and len(self._names) > 2
            and (
                self._is_cut_off()
                or all(
                    fields == 1 or is_note(self._fields(text))
                    for _, text, fields in self._wrong_rows
                )
            )
        )

    def _is_cut_off(self) -> bool:
        """Return True if the last row has too few fields and no line break."""
        ((_, _, fields), *others) = self._wrong_rows
        return self._normalizer.ends_in_row and not others and fields < len(self._names)

    def _fields(self, text: str) -> list[str]:
        """Return the fields of a row that the normalizer has written."""
        dialect = replace(self._dialect, delimiter=self._dialect.column_separator, comment="")
        lines = text.splitlines(keepends=True)
        return [field for row in iterate_rows(lines, dialect) for field in row.fields]

    def _footer_issue(self) -> Issue:
        examples = tuple(printable(text.strip()) for _, text, _ in self._wrong_rows[:5])
        hint = (
            "These lines below the table are not rows, or are cut off, and were left out. Add the "
            "missing delimiters if they are rows."
        )
        return Issue("footer_lines", "warning", len(self._wrong_rows), examples, hint)

    def _field_count_error(self, rows: int) -> DatasetUnreadable:
        """Describe the first wrong row once, and the options that may help."""
        number, _, fields = self._wrong_rows[0]
        line = self._line_of(number)
        count = len(self._wrong_rows)
        others = ""
        if count > 1:
            at_least = "at least " if not self._complete else ""
            others = f" {at_least.capitalize()}{count - 1:,} later "
            others += "row differs too." if count == 2 else "rows differ too."
        message = (
            f"Line {line:,} has {fields} field{'' if fields == 1 else 's'}; the table has "
            f"{len(self._names)} columns.{others} {self._advice(fields, rows)}"
        )
        return table_error("wrong_field_count", message, pointer=f"/file/lines/{line}")

    def _advice(self, fields: int, rows: int) -> str:
        delimiter = "" if self._dialect.delimiter == NO_DELIMITER else self._dialect.delimiter
        read = f"The delimiter was read as {delimiter!r} and the quotation mark as "
        read += f"{self._dialect.quote!r}."
        if fields > len(self._names):
            return f"{read} Quote fields with a delimiter inside, or set `read.delimiter`."
        if rows == 0 or len(self._wrong_rows) > rows:
            return f"{read} Set `read.delimiter`, `read.skip_lines` or `read.header`."
        return (
            f"{read} Correct the line, or set `read.quote`, `read.escape` or `read.comment` if "
            "the file needs it."
        )

    def _line_of(self, number: int) -> int:
        """Return the line of a row, from 1, by reading the file again."""
        first_line = self._layout.first_line
        lines = islice(self._file.lines(), first_line - 1, None)
        row = next(islice(iterate_rows(lines, self._dialect), number - 1, None), None)
        return first_line + row.line if row else first_line
