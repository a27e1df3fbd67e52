"""Encoding of rows as CSV, in the dialect of the uploaded file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.formatting import form_of_number, format_values
from modalities.tabular.schema import Column


@dataclass(frozen=True)
class CsvDialect:
    """Delimiter and quotation of the fields; `escape` is "" if quotation marks are doubled.

    With `escape_formulas`, texts that a spreadsheet would compute begin with an apostrophe.

    The default is RFC 4180. Lines end with LF instead of CRLF.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    escape_formulas: bool = False

    @classmethod
    def of_upload(cls, options: Mapping[str, Any]) -> Self:
        """Return the dialect in which a table was read; the default if it was not a text."""
        delimiter = options.get("delimiter")
        if not delimiter:
            return cls()
        if len(delimiter) > 1 or ord(delimiter) < ord("\t"):
            return cls()  # delimiters that few programs read
        quote, escape = options.get("quote") or '"', options.get("escape") or ""
        return cls(delimiter, quote, escape)

    @classmethod
    def of_model(cls, manifest: Mapping[str, Any], changes: Mapping[str, Any]) -> Self:
        """Return the dialect of the file that a model was trained on; changes of None keep it."""
        changed = {name: value for name, value in changes.items() if value is not None}
        return cls(**manifest.get("csv", {}) | changed)

    def to_dict(self) -> dict[str, str]:
        """Return the marks, which a model's manifest has."""
        return {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}


RFC_4180 = CsvDialect()
_NUMBER_CHARACTERS = "0123456789.+-eE"


def encode_csv(
    batches: Iterator[pa.RecordBatch], columns: Sequence[Column], dialect: CsvDialect = RFC_4180
) -> Iterator[bytes]:
    """Yield a header and one line per row, with values formatted as in the uploaded table."""
    names = [pa.array([column.name]) for column in columns]
    yield _lines([_quoted(_disarmed(name, dialect), dialect) for name in names], dialect)
    for batch in batches:
        texts = [_text(batch.column(column.name), column, dialect) for column in columns]
        yield _lines(texts, dialect)


def _text(values: pa.Array, column: Column, dialect: CsvDialect) -> pa.Array:
    if column.type == "category":  # the few different texts are faster to quote than all rows
        encoded = values.dictionary_encode()
        quoted = _quoted(_disarmed(encoded.dictionary, dialect), dialect).take(encoded.indices)
    else:
        text = format_values(values, column)
        if column.type == "id":  # a number may begin with a minus, so only texts are disarmed
            text = _disarmed(text, dialect)
        quoted = text if _needs_no_quotes(column, dialect) else _quoted(text, dialect)
    if column.missing is None:
        return quoted
    return quoted.fill_null(_quoted(pa.array([column.missing]), dialect)[0])


def _needs_no_quotes(column: Column, dialect: CsvDialect) -> bool:
    if column.type == "boolean":
        return True
    marks = {dialect.delimiter, dialect.quote, dialect.escape}
    has_digits_only = column.type in ("integer", "number") and form_of_number(column).is_plain
    return has_digits_only and marks.isdisjoint(_NUMBER_CHARACTERS)


def _disarmed(text: pa.Array, dialect: CsvDialect) -> pa.Array:
    """Prefix formulas with an apostrophe, with which spreadsheets show them as text."""
    if not dialect.escape_formulas:
        return text
    is_formula = pc.match_substring_regex(text, r"^[=+\-@\t\r]")
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", text, ""), text)


def _quoted(text: pa.Array, dialect: CsvDialect) -> pa.Array:
    """Enclose fields in quotation marks that would be read differently without."""
    marks = re.escape("".join({dialect.delimiter, dialect.quote, dialect.escape}))
    special = pc.match_substring_regex(text, rf"[{marks}\r\n]|^\s|\s$|^$")
    quote, escape = dialect.quote, dialect.escape or dialect.quote
    escaped = pc.replace_substring(text, escape, escape * 2)
    if escape != quote:
        escaped = pc.replace_substring(escaped, quote, escape + quote)
    return pc.if_else(special, pc.binary_join_element_wise(quote, escaped, quote, ""), text)


def _lines(columns: Sequence[pa.Array], dialect: CsvDialect) -> bytes:
    # A missing value is an empty field. It is quoted in a table of one column, because readers skip
    # empty lines, and between blanks, because readers skip these, too.
    is_visible = len(columns) > 1 and dialect.delimiter != " "
    rows = pc.binary_join_element_wise(
        *columns,
        dialect.delimiter,
        null_handling="replace",
        null_replacement="" if is_visible else dialect.quote * 2,
    )
    return ("\n".join(rows.to_pylist()) + "\n").encode()
