"""Stream of a delimited text file in the form that pyarrow parses.

pyarrow would accept silently rows of unlimited length, unterminated quotes and blanks around
fields. It knows neither comment lines nor delimiters of several characters.
"""

import contextlib
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from core.errors import DatasetUnreadable, SemblanceError
from core.limits import Limits
from modalities.tabular.upload.files.csv_dialect import (
    BLANKS,
    CsvDialect,
    convert_line,
    iterate_rows,
    separator_pattern,
)
from modalities.tabular.upload.layout.rulers import ruler_lines
from modalities.tabular.upload.layout.short_rows import may_be_padded
from modalities.tabular.upload.raw_table import table_error

_READ_BYTES = 1024 * 1024
NO_BREAK_SPACE = "\u00a0"  # which web pages and word processors leave behind a text
MAX_STRIPPED_TEXTS = 10_000  # more are the padding of a whole table


class CsvNormalizer(io.RawIOBase):
    """Stream of the text as UTF-8, without comments and without blanks around fields and quotes.

    Each read returns part of a sequence of complete rows. Errors are also stored in `error`,
    because pyarrow replaces the exceptions that a Python file raises. `first_line` is the line of
    the file in which `chunks` begin, from 1. With `is_bordered`, rulers and lines without a
    delimiter are left out, such as titles of the pages of a printed list. With `full_width`, rows
    that end with their last value get the other fields.
    """

    def __init__(
        self,
        chunks: Iterable[str],
        dialect: CsvDialect,
        limits: Limits,
        *,
        first_line: int = 1,
        is_bordered: bool = False,
        full_width: int = 0,
    ) -> None:
        self.limits = limits
        self.error: SemblanceError | None = None
        self.is_empty = True
        self.stripped = Counter[int]()  # fields, by column
        self.stripped_texts = Counter[str]()  # of the first MAX_STRIPPED_TEXTS fields
        self._texts_seen = 0
        self._position = self._column = 0  # the end and the column of the last match
        self._is_counted = False  # the field of the last match
        self.comments = 0
        self.lines_between: list[str] = []  # without rulers
        self.padded = 0  # rows
        self.ends_in_row = False  # without a line break
        self._full_width = full_width
        self._is_bordered = is_bordered and not dialect.escape
        self._chunks = chunks
        self._dialect = dialect
        self._newline = dialect.newline
        self._first_line = first_line
        self._separator = separator_pattern(dialect)
        self._compile_patterns(dialect)
        self._rows = self._whole_rows()
        self._data = memoryview(b"")

    def _compile_patterns(self, dialect: CsvDialect) -> None:
        delimiter = re.escape(dialect.column_separator)
        blank = f"[ {NO_BREAK_SPACE}]" if dialect.delimiter == "\t" else f"[ \t{NO_BREAK_SPACE}]"
        begin, end = rf"(?<![^{delimiter}\r\n])", rf"(?=[{delimiter}\r\n]|\Z)"
        if dialect.escape:
            begin += rf"(?<!{re.escape(dialect.escape + dialect.column_separator)})"
        row_begin = rf"(?<![^{_raw_boundary(dialect)}\r\n])"  # before delimiters are converted
        self._quoted = self._stray = None
        quoted = "(?!)"  # matches nothing
        if dialect.quote:
            quote, escape = re.escape(dialect.quote), re.escape(dialect.escape)
            body = rf"(?:[^{quote}{escape}]|{quote}{quote})*+"
            if escape:
                body = rf"(?:[^{quote}{escape}]|{escape}.|{quote}{quote})*+"
            quoted = quote + body + quote
            self._quoted = re.compile(rf"{row_begin}{blank}*+{quote}{body}({quote}?)", re.DOTALL)
            self._stray = re.compile(
                rf"{begin}{blank}*+{quoted}{blank}*+(?:{end}|(?P<stray>))", re.DOTALL
            )
        self._blanks = re.compile(
            rf"{begin}(?P<before>{blank}*+)(?P<quoted>{quoted})(?P<after>{blank}*+){end}"
            rf"|{blank}++{end}|{begin}{blank}++",
            re.DOTALL,
        )
        ends, blanks = (dialect.column_separator, "\n", "\r"), blank[1:-1].replace("\\t", "\t")
        pairs = [pair for e in ends for b in blanks for pair in (e + b, b + e)]
        self._blank_pairs = pairs, [pair for pair in pairs if pair.isascii()]
        self._blank_ends = tuple(blanks)
        self._between = re.compile(
            rf"^(?:[^{delimiter}\r\n]*|{ruler_lines(delimiter)})(?:\r\n|\r|\n|\Z)", re.MULTILINE
        )
        self._null = re.compile(rf"{begin}\\N{end}")
        comment = re.escape(dialect.comment)
        self._comment = re.compile(
            rf"(?P<quoted>{row_begin}{quoted})|^{comment}[^\r\n]*(?:\r\n|\r|\n|\Z)",
            re.MULTILINE | re.DOTALL,
        )

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._data:
                rows = next(self._rows, None)
                if rows is None:
                    return b""
                self.is_empty = False
                self._data = memoryview(self._normalize(rows).encode("utf-8"))
        except SemblanceError as error:
            self.error = error
            raise
        size = _READ_BYTES if size < 0 else size
        data, self._data = self._data[:size], self._data[size:]
        return bytes(data)

    def _whole_rows(self) -> Iterator[str]:
        rest, line = "", self._first_line
        for chunk in self._chunks:
            rest += chunk
            cut = self._end_of_rows(rest)
            if cut:
                self._check_quotes(rest[:cut], line)
                yield rest[:cut]
                line += rest.count(self._newline, 0, cut)
                rest = rest[cut:]
            if len(rest) > self.limits.row_chars:
                message = (
                    f"The row that begins in line {line:,} does not end within "
                    f"{self.limits.row_chars:,} characters; look for an unclosed quotation mark, "
                    'or set `read.quote` to "" if fields are not quoted.'
                )
                raise table_error("row_too_long", message, pointer=f"/file/lines/{line}")
        if (start := self._open_quote(rest)) is not None:
            line += rest.count(self._newline, 0, start)
            raise _quote_error("unterminated_quote", line, "has an unclosed quotation mark")
        if rest:
            self.ends_in_row = True
            self._check_quotes(rest, line)
            yield rest

    def _end_of_rows(self, text: str) -> int:
        """Return the offset after the last complete row; 0 if there is none."""
        cut = text.rfind(self._newline) + 1
        if self._quoted is None or self._has_only_whole_fields(text, cut):
            return cut
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

    def _has_only_whole_fields(self, text: str, end: int) -> bool:
        """Return True if each quotation mark before `end` begins or ends a field, in pairs.

        This is the usual case; the patterns, which are slower, decide all others.
        """
        quote, delimiter = self._dialect.quote, self._dialect.column_separator
        if text.find(quote, 0, end) < 0:
            return True
        if self._separator is not None or not (quote + delimiter).isascii():
            return False
        # As an array of bytes, this is several times faster than `str.count`.
        data = np.frombuffer(f"\n{text[:end]}\n".encode(), np.uint8)
        is_boundary = np.zeros(256, bool)
        is_boundary[[*f"{delimiter}\n\r".encode()]] = True
        at = np.flatnonzero(data == ord(quote))
        begins, ends = is_boundary[data[at - 1]], is_boundary[data[at + 1]]
        return bool(begins.sum() == ends.sum() and begins.sum() + ends.sum() == len(at))

    def _open_quote(self, text: str) -> int | None:
        if self._quoted is not None:
            for match in self._quoted.finditer(text):
                if not match[1]:
                    return match.start()
        return None

    def _check_quotes(self, rows: str, line: int) -> None:
        """Raise for text after a closing quotation mark, which pyarrow would join to the field."""
        if self._stray is None or self._separator is not None:
            return
        if self._has_only_whole_fields(rows, len(rows)):
            return
        for match in self._stray.finditer(rows):
            if match["stray"] is not None:
                line += rows.count(self._newline, 0, match.end())
                problem = "has a quotation mark inside a quoted field"
                raise _quote_error("stray_quote", line, problem)

    def _normalize(self, rows: str) -> str:
        if self._full_width:
            rows = self._pad(rows)
        if self._dialect.comment and self._dialect.comment in rows:
            rows = self._comment.sub(self._drop_comment, rows)
        if self._is_bordered and not (self._dialect.quote and self._dialect.quote in rows):
            rows = self._between.sub(self._drop_line, rows)
        if self._separator is not None:
            rows = convert_line(rows, self._dialect, self._separator)
        if self._dialect.escape and "\\N" in rows:
            rows = self._null.sub("", rows)
        if self._has_outer_blanks(rows):
            self._position = self._column = 0
            self._is_counted = False
            return self._blanks.sub(self._strip_field, rows)
        return rows

    def _pad(self, text: str) -> str:
        lines = list(io.StringIO(text, newline=""))
        with contextlib.suppress(csv.Error):  # pyarrow reports it
            for row in iterate_rows(lines, self._dialect):
                missing = self._full_width - len(row.fields)
                if missing > 0 and may_be_padded(row.fields, self._full_width):
                    line = lines[row.end - 1]
                    body = line.rstrip("\r\n")
                    lines[row.end - 1] = (
                        body + missing * self._dialect.delimiter + line[len(body) :]
                    )
                    self.padded += 1
        return "".join(lines)

    def _has_outer_blanks(self, rows: str) -> bool:
        # Searches for fixed texts are several times faster than a regular expression.
        if rows.startswith(self._blank_ends) or rows.endswith(self._blank_ends):
            return True
        pairs = self._blank_pairs[rows.isascii()]
        if not any(pair in rows for pair in pairs):
            return False
        quote = self._dialect.quote
        if not quote or self._dialect.escape or not self._has_only_whole_fields(rows, len(rows)):
            return True
        unquoted = quote.join(rows.split(quote)[::2])  # without texts such as "May 8, 2024"
        return any(pair in unquoted for pair in pairs)

    def _drop_comment(self, match: re.Match[str]) -> str:
        if match["quoted"]:
            return match[0]
        self.comments += 1
        return ""

    def _drop_line(self, match: re.Match[str]) -> str:
        if any(map(str.isalnum, match[0])):
            self.lines_between.append(match[0].strip())
        return ""

    def _strip_field(self, match: re.Match[str]) -> str:
        self._move_to(match)
        quoted = match["quoted"]
        if quoted is None:
            self._count_field()
            if self._texts_seen < MAX_STRIPPED_TEXTS:
                self._texts_seen += 1
                self.stripped_texts[self._text_beside(match)] += 1
            return ""
        if match["before"] or match["after"]:
            self._count_field()
        return quoted

    def _move_to(self, match: re.Match[str]) -> None:
        """Count the delimiters up to a match. All quoted fields are matches, so none has any."""
        between = match.string[self._position : match.start()]
        self._position = match.end()
        start = between.rfind(self._newline) + 1
        mark, escape = self._dialect.column_separator, self._dialect.escape
        moved = between.count(mark, start)
        if escape:
            moved -= between.count(escape + mark, start)
        self._column = moved if start else self._column + moved
        self._is_counted = self._is_counted and not start and not moved

    def _count_field(self) -> None:
        """Count the field of the last match once, although blanks at both ends are two matches."""
        self.stripped[self._column] += not self._is_counted
        self._is_counted = True

    def _text_beside(self, match: re.Match[str]) -> str:
        """Return the text of the field whose blanks a match is."""
        rows, mark, newline = match.string, self._dialect.column_separator, self._newline
        line_start = rows.rfind(newline, 0, match.start()) + 1
        before = rows[line_start : match.start()].rpartition(mark)[2]
        if before:
            return before.strip()
        line_end = rows.find(newline, match.end())
        after = rows[match.end() : line_end if line_end >= 0 else len(rows)]
        return after.partition(mark)[0].strip()


def _raw_boundary(dialect: CsvDialect) -> str:
    """Return the characters before a quoted field in the file, for a character class."""
    if dialect.delimiter == BLANKS:
        return r" \t"
    return re.escape(dialect.delimiter[-1])


def _quote_error(code: str, line: int, problem: str) -> DatasetUnreadable:
    message = (
        f"Line {line:,} {problem}. Double the quotation marks inside a field, or set `read.escape` "
        'to the character before them, or `read.quote` to "" if fields are not quoted.'
    )
    return table_error(code, message, pointer=f"/file/lines/{line}")
