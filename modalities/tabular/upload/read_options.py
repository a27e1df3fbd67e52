"""Reading options of an upload: everything that is otherwise inferred from the file."""

import codecs
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ReadOptions:
    """Client's choices of how a file is read; None infers the value from the file.

    Attributes:
        delimiter: Text between two fields; a blank means any run of blanks and tabs.
        quote: Quotation mark of fields; "" if no field is quoted.
        escape: Character that precedes a quotation mark in a quoted field; "" if it is doubled.
        header: True if the first line after the skipped ones holds the names, False if none does,
            or the number of the line that does, from 1.
        skip_lines: Number of lines above the table.
        comment: Beginning of lines that are not read; "" if there are none.
        encoding: Name of the text encoding, as Python's codecs accept it.
        decimal: Decimal mark of numbers.
        thousands: Thousands mark of numbers.
        missing: Words that stand for a missing value, in addition to an empty cell.
        transpose: True if the rows of the file are the columns of the table.
        sheet: Name or number (from 1) of the sheet of a workbook.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    header: bool | int | None = None
    skip_lines: int | None = None
    comment: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    transpose: bool | None = None
    sheet: str | int | None = None

    def decimal_comma(self, *, default: bool) -> bool:
        """Return whether the comma is the decimal mark where the texts do not show it."""
        if self.decimal is not None:
            return self.decimal == ","
        return self.thousands == "." if self.thousands in {".", ","} else default

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"missing": list(self.missing)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "missing": tuple(values.get("missing") or ())})


INFER_ALL = ReadOptions()


def is_text_encoding(name: str) -> bool:
    """Return True if `name` is an encoding that Python decodes to text."""
    try:
        return bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False
