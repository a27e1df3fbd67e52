"""Detection of the syntax of a delimited text file from its first characters."""

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from modalities.tabular.upload.layout.table_layout import usual_width
from modalities.tabular.upload.read_options import ReadOptions
from modalities.tabular.upload.types.value_kinds import is_value, kind_of

BLANKS = " "  # as a delimiter: any run of blanks and tabs
WIDE_BLANKS = "  "  # as a delimiter: any run of at least two blanks, as in columns of fixed width
_BLANK_RUNS = {BLANKS, WIDE_BLANKS}  # tabs separate fields like blanks
DELIMITERS = (",", ";", "\t", "|", "::", "^", "~", "\x01")
NO_DELIMITER = "\x1f"  # of a file with a single column
SAMPLE_CHARS = 128 * 1024
SAMPLE_ROWS = 200

_MAX_FIELD = 2**31 - 1  # characters; CsvNormalizer limits those of rows
_COMMENTS = ("#", "//", "%")
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>[^\r\n"])"?[ \t]*(?:\r\n|\n|\r)', re.IGNORECASE)
# The share of a cell's kind in the score of a delimiter: a wrong delimiter leaves odd texts.
_KIND_SCORES = {"empty": 1.0, "number": 1.0, "date": 1.0, "word": 1.0, "text": 0.8}
_ODD_SCORE = 0.1  # of a text that seems to contain several fields
_ODD = re.compile(r"[;\t|]|::|\\$|\S {2,}\S")
_SCORED_ROWS = 50
_MIN_WIDE_ROWS = 5
_BLANKS_FACTOR = 0.8  # blanks are usual inside texts
_GROUPED_OR_DECIMAL = re.compile(r"-?\d+,\d+")


@dataclass(frozen=True)
class CsvDialect:
    """Syntax of a file. `quote`, `escape` and `comment` are "" where the file has none."""

    delimiter: str
    quote: str
    escape: str
    comment: str
    newline: str

    @property
    def column_separator(self) -> str:
        """Return the one character that separates the fields after `CsvNormalizer`."""
        return self.delimiter if len(self.delimiter) == 1 and self.delimiter != BLANKS else "\x1f"


class SampleRow(NamedTuple):
    """A row of the sample: the lines that it covers, from 0, and its fields."""

    line: int
    end: int  # the line after the row
    fields: list[str]


class Sample:
    """First lines of a file. `cut`: the file has more lines than these."""

    def __init__(self, text: str, *, cut: bool) -> None:
        self.lines = list(io.StringIO(text, newline=""))
        if cut and len(self.lines) > 1:
            self.lines.pop()
        self.cut = cut
        self.text = "".join(self.lines)

    def rows(
        self, dialect: CsvDialect, *, skip: int = 0, limit: int = SAMPLE_ROWS
    ) -> list[SampleRow]:
        """Return the first `limit` rows from line `skip` on, without blank lines."""
        rows: list[SampleRow] = []
        with contextlib.suppress(csv.Error):  # an unterminated field: use the rows before it
            for row in iterate_rows(self.lines[skip:], dialect):
                rows.append(SampleRow(row.line + skip, row.end + skip, row.fields))
                if len(rows) == limit:
                    break
        # The last row of a cut sample may be incomplete.
        return rows[:-1] if self.cut and 1 < len(rows) < limit else rows


def iterate_rows(lines: Sequence[str] | Iterator[str], dialect: CsvDialect) -> Iterator[SampleRow]:
    """Yield the rows that are neither blank nor comments; raise csv.Error for a broken one."""
    csv.field_size_limit(_MAX_FIELD)  # a setting of the process
    separator = separator_pattern(dialect)
    source = _CountedLines(iter(lines), dialect.comment)
    converted = iter(source)
    if separator is not None:
        converted = (convert_line(line, dialect, separator) for line in source)
    reader = csv.reader(
        converted,
        delimiter=dialect.column_separator,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape or None,
        skipinitialspace=True,
    )
    start = 0
    for row in reader:
        if any(field.strip() for field in row):
            yield SampleRow(max(start, source.row_start), source.line, row)
        start = source.line
        source.row_start = 0


class _CountedLines:
    """Lines without comments. `line` counts all lines; `row_start` skips comments above a row."""

    def __init__(self, lines: Iterator[str], comment: str) -> None:
        self._lines = lines
        self._comment = comment
        self.line = 0
        self.row_start = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.line += 1
            if self._comment and line.startswith(self._comment):
                self.row_start = self.line
                continue
            yield line


def separator_pattern(dialect: CsvDialect) -> re.Pattern[str] | None:
    """Return the pattern of a delimiter that is not one character, with quoted fields before it."""
    if dialect.delimiter == dialect.column_separator:
        return None
    quoted = "(?!)"
    if dialect.quote:
        quote = re.escape(dialect.quote)
        quoted = rf"(?<![^ \t\r\n\x1f]){quote}(?:[^{quote}]|{quote}{quote})*+{quote}"
        if dialect.delimiter != BLANKS:
            quoted = rf"{quote}(?:[^{quote}]|{quote}{quote})*+{quote}"
    if dialect.delimiter == WIDE_BLANKS:
        return re.compile(r"((?!))|^[ \t]+|[ \t]+$|[ \t]+(?=[\r\n])|( {2,}|\t+)", re.MULTILINE)
    if dialect.delimiter == BLANKS:
        return re.compile(rf"({quoted})|^[ \t]+|[ \t]+$|[ \t]+(?=[\r\n])|([ \t]+)", re.MULTILINE)
    return re.compile(rf"({quoted})|({re.escape(dialect.delimiter)})")


def convert_line(text: str, dialect: CsvDialect, separator: re.Pattern[str]) -> str:
    """Replace each delimiter outside quoted fields by `dialect.column_separator`."""
    column_separator = dialect.column_separator

    def convert(match: re.Match[str]) -> str:
        return match[1] or (column_separator if match[2] else "")

    return separator.sub(convert, text)


def detect_dialect(sample: Sample, options: ReadOptions) -> tuple[CsvDialect, int]:
    """Return the dialect and the number of lines that only state it, such as `sep=;`."""
    newline = "\n" if "\n" in sample.text else "\r"
    stated = _SEPARATOR_LINE.match(sample.text)
    skip = options.skip_lines if options.skip_lines is not None else int(stated is not None)
    comment = _detect_comment(sample.lines[skip:]) if options.comment is None else options.comment
    base = CsvDialect(NO_DELIMITER, '"', "", comment, newline)
    delimiter = options.delimiter or (stated["delimiter"] if stated else None)
    candidates = (delimiter,) if delimiter is not None else (*DELIMITERS, BLANKS, WIDE_BLANKS)
    scored = []
    for candidate in candidates:
        dialect = _with_quotes(replace(base, delimiter=candidate), sample, options)
        scored += [
            (_score(sample, variant, skip), variant)
            for variant in (dialect, *_escaped_delimiters(dialect, sample, options))
        ]
    score, best = max(scored, key=lambda pair: pair[0])
    if score <= 0 and delimiter is None:
        best = _with_quotes(base, sample, options)
    return best, skip


def _with_quotes(dialect: CsvDialect, sample: Sample, options: ReadOptions) -> CsvDialect:
    quote = options.quote
    if quote is None:
        quote = _detect_quote(sample, dialect)
    escape = options.escape
    if escape is None:
        escape = _detect_escape(sample.text, dialect, quote) if quote else ""
    return replace(dialect, quote=quote, escape=escape)


def _detect_comment(lines: Sequence[str]) -> str:
    """Return the mark that begins the first line; "" if that line may be a header."""
    filled = [line for line in lines if line.strip()]
    for mark in _COMMENTS:
        count = next((i for i, line in enumerate(filled) if not line.startswith(mark)), len(filled))
        if count > 1 or (count == 1 and re.match(rf"{re.escape(mark)}+ *[^\W\d]", filled[0])):
            return mark
    return ""


def _boundary(dialect: CsvDialect) -> str:
    return r"[ \t]" if dialect.delimiter == BLANKS else re.escape(dialect.delimiter)


def _detect_quote(sample: Sample, dialect: CsvDialect) -> str:
    """Return an apostrophe if fields are quoted with it and none with a quotation mark.

    Return "" if quotation marks begin fields but do not end them: then they are part of the text.
    """
    mark, text = _boundary(dialect), sample.text
    single = re.findall(
        rf"(?:^|{mark})[ ]*('(?:[^'\n]|'')*+')[ ]*(?=(?:{mark})|[\r\n]|$)", text, re.MULTILINE
    )
    # Two marks begin a field that is empty, or belong to JSON within one: {""a"":1,""b"":2}.
    inner = rf'"(?!{mark}|"|[\r\n]|\Z)'
    opened = len(re.findall(rf'(?:^|{mark})[ ]*"(?!{inner})', text, re.M))
    if len(single) > 1 and not opened and "".join(single).count("'") > 0.9 * text.count("'"):
        return "'"
    if not opened:
        return '"'
    closed = max(
        len(
            re.findall(
                rf'(?:^|{mark})[ ]*"{body}*+"[ ]*(?=(?:{mark})|[\r\n]|\Z)', text, re.M | re.S
            )
        )
        for body in (r'(?:[^"]|"")', r'(?:[^"\\]|\\.|"")')
    )
    # A cut sample may end inside a field.
    return '"' if 2 * closed >= opened - sample.cut else ""


def _detect_escape(text: str, dialect: CsvDialect, quote: str) -> str:
    r"""Return a backslash if it precedes quotation marks inside quoted fields: "a \"b\" c"."""
    mark, quote = _boundary(dialect), re.escape(quote)
    escaped = len(re.findall(rf"\\{quote}(?!{mark}|[\r\n]|\Z)", text))
    escaped_end = len(re.findall(rf"\\{quote}{quote}(?={mark}|[\r\n]|\Z)", text))
    doubled = len(re.findall(rf"[^\\{quote}\s]{quote}{quote}(?!{mark}|[\r\n]|\Z)", text))
    return "\\" if escaped + escaped_end > doubled else ""


def _escaped_delimiters(
    dialect: CsvDialect, sample: Sample, options: ReadOptions
) -> list[CsvDialect]:
    r"""Return the dialect with backslashes before delimiters, as in Bonn\, Germany, if it fits."""
    if options.escape is not None or dialect.escape or f"\\{dialect.delimiter}" not in sample.text:
        return []
    return [replace(dialect, escape="\\")]


def _score(sample: Sample, dialect: CsvDialect, skip: int) -> float:
    """Return how well a dialect fits: 0 if it does not split the rows."""
    marks = (dialect.delimiter, "\t") if dialect.delimiter in _BLANK_RUNS else (dialect.delimiter,)
    if not any(mark in sample.text for mark in marks):
        return 0.0
    rows = [row.fields for row in sample.rows(dialect, skip=skip)]
    width = usual_width(rows) if rows else 0
    if width < 2 or not _is_plausible(rows, dialect.delimiter, sample.text):
        return 0.0
    body = [row for row in rows if len(row) == width]
    consistency = len(body) / len(rows)
    cells = [field for row in body[:_SCORED_ROWS] for field in row]
    kinds = sum(_cell_score(cell) for cell in cells) / len(cells)
    starts_well = abs(len(rows[0]) - width) <= 1 and len(rows[0]) > 1
    score = consistency**2 * (0.3 + 0.7 * kinds) * (1.0 if starts_well else 0.9)
    return score * _BLANKS_FACTOR if dialect.delimiter in _BLANK_RUNS else score


def _cell_score(cell: str) -> float:
    kind = kind_of(cell)
    return _ODD_SCORE if kind == "text" and _ODD.search(cell) else _KIND_SCORES[kind]


def _is_plausible(rows: Sequence[Sequence[str]], delimiter: str, text: str) -> bool:
    """Return False for a comma or a blank that is part of the texts or numbers of one column."""
    width = usual_width(rows)
    body = [row for row in rows if len(row) == width]
    single_name = len(rows[0]) == 1
    if delimiter == WIDE_BLANKS:
        return len(body) == len(rows) >= _MIN_WIDE_ROWS
    if delimiter == BLANKS:
        if single_name or len(body) < len(rows) - 1 or abs(len(rows[0]) - width) > 1:
            return False
        columns = zip(*body[1:], strict=True)
        return any(all(is_value(value) for value in column) for column in columns)
    if delimiter != "," and single_name and "," in rows[0][0]:  # a,b above red|blue,1
        commas = Counter(line.count(",") for line in text.splitlines()[:_SCORED_ROWS] if line)
        if len(commas) == 1:
            return False
    if delimiter != "," or not single_name or width != 2:
        return True
    if not re.search(r",(?! )", text):  # "Berlin, Germany"
        return False
    return not all(_GROUPED_OR_DECIMAL.fullmatch(",".join(row)) for row in body)
