"""Detection of the dialect and the layout of a delimited text file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.datasets.data_quality import Issue
from core.datasets.errors import printable
from core.errors import DatasetUnreadable
from modalities.tabular.upload.files.csv_dialect import (
    CsvDialect,
    Sample,
    SampleRow,
    detect_dialect,
)
from modalities.tabular.upload.layout.header_names import has_names
from modalities.tabular.upload.layout.short_rows import header_above_short_rows, pad
from modalities.tabular.upload.layout.table_layout import (
    HeaderMismatchError,
    TableLayout,
    detect_layout,
    layout_with_header,
    usual_width,
)
from modalities.tabular.upload.raw_table import table_error
from modalities.tabular.upload.read_options import ReadOptions

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class CsvLayout:
    """Position of the table in the file; lines count from 1.

    `names` has "" for columns without a name. With `has_short_rows`, rows lack empty fields at
    their end. `offset` is the number of characters before the
    first row of values, which begins in `first_line`.
    """

    names: tuple[str, ...]
    header_line: int | None
    skip_lines: int
    offset: int
    first_line: int
    issues: tuple[Issue, ...] = ()
    has_short_rows: bool = False


def detect_csv(
    sample: Sample, options: ReadOptions, name: str
) -> tuple[CsvDialect, CsvLayout] | None:
    """Return the dialect and the layout, or None if there is no row.

    Raises:
        DatasetUnreadable: The header does not fit the rows, or an option does not fit the file.
    """
    dialect, skip = detect_dialect(sample, options)
    rows = sample.rows(dialect, skip=skip)
    if not rows:
        return None
    is_plain = dialect.column_separator == dialect.delimiter
    above = header_above_short_rows([row.fields for row in rows]) if is_plain else None
    if above is not None:
        width = len(rows[above].fields)
        padded = [row._replace(fields=pad(row.fields, width)) for row in rows[above:]]
        rows = [*rows[:above], *padded]
    try:
        layout = _layout(rows, options)
        commented = _commented_header(sample, rows, layout, dialect, skip)
    except HeaderMismatchError as error:
        raise _header_error(rows[error.row].line + 1, error, name) from error
    if commented is not None:
        return commented
    first_line = rows[layout.first - 1].end if layout.first else rows[0].line
    header_line = None if layout.header is None else rows[layout.header].line + 1
    return dialect, CsvLayout(
        layout.names,
        header_line,
        (header_line or first_line + 1) - 1,
        sum(map(len, sample.lines[:first_line])),
        first_line + 1,
        _title_issues([rows[i] for i in layout.title_rows], sample) + layout.issues(),
        has_short_rows=above is not None,
    )


def _layout(rows: Sequence[SampleRow], options: ReadOptions) -> TableLayout:
    fields = [row.fields for row in rows]
    if options.header is None and options.skip_lines is None:
        return detect_layout(fields)
    if options.header is None:
        index = 0 if has_names(fields[0], fields[1:]) else None
        return layout_with_header(fields, index)
    if options.header is False:
        start = 0
        if options.skip_lines is None:
            detected = detect_layout(fields)
            start = detected.first if detected.header is None else detected.header
        layout = layout_with_header(fields[start:], None)
        return replace(layout, first=start)
    if options.header is True:
        if options.skip_lines is not None:
            return layout_with_header(fields, 0)
        detected = detect_layout(fields)
        index = detected.first if detected.header is None else detected.header
        return layout_with_header(fields, index)
    index = next((i for i, row in enumerate(rows) if row.line <= options.header - 1 < row.end), -1)
    if index < 0:
        message = (
            f"Line {options.header:,}, which `read.header` states, is empty, a comment, skipped or "
            "too far below the beginning of the file."
        )
        raise table_error("header_invalid", message)
    return layout_with_header(fields, index)


def _commented_header(
    sample: Sample,
    rows: Sequence[SampleRow],
    layout: TableLayout,
    dialect: CsvDialect,
    skip: int,
) -> tuple[CsvDialect, CsvLayout] | None:
    """Return the layout if the last comment above rows without a header holds the names."""
    if not dialect.comment or layout.header is not None or layout.first:
        return None
    first = rows[0].line
    above = [i for i in range(skip, first) if sample.lines[i].startswith(dialect.comment)]
    if not above:
        return None
    text = sample.lines[above[-1]].lstrip(dialect.comment)
    header = Sample(text.lstrip(" "), cut=False).rows(replace(dialect, comment=""))
    body = [row.fields for row in rows]
    if not header or len(header[0].fields) != usual_width(body):
        return None
    if not has_names(header[0].fields, body) or usual_width(body) < 2:
        return None
    if len(above) == 1:
        dialect = replace(dialect, comment="")
    offset = sum(map(len, sample.lines[:first]))
    names = tuple(header[0].fields)
    return dialect, CsvLayout(names, above[-1] + 1, above[-1], offset, first + 1)


def _title_issues(titles: Sequence[SampleRow], sample: Sample) -> tuple[Issue, ...]:
    if not titles:
        return ()
    examples = tuple(
        f"line {row.line + 1}: {printable(sample.lines[row.line].strip())}"
        for row in titles[:_MAX_EXAMPLES]
    )
    hint = (
        "These lines above the values are not rows and were left out. Set `read.skip_lines` or "
        "`read.header` if the table begins elsewhere."
    )
    return (Issue("title_lines", "info", len(titles), examples, hint),)


def _header_error(line: int, error: HeaderMismatchError, name: str) -> DatasetUnreadable:
    message = (
        f"The header of {printable(name)} in line {line:,} has {error.names} names; the rows below "
        f"have {error.width} fields. Correct it, or set `read.header` to the line of the names or "
        "to false, or set `read.delimiter`."
    )
    return table_error("header_mismatch", message, pointer=f"/file/lines/{line}")
