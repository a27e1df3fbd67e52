"""Detection, parsing and formatting of dates and times in text columns.

A format is a strftime pattern of a date and, optionally, a separator, a time, a fraction and a
zone, such as `%d.%m.%Y %H:%M` or `%Y-%m-%dT%H:%M:%S.%fZ`. Times with a zone (`Z` or `%z`) are
converted to UTC.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# In order of preference if several fit. The day comes before the month, as in most countries.
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
)
TIMESTAMP_TYPE = pa.timestamp("us")

_TEXT = (
    r"^(?P<date>[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4})"
    r"(?:(?P<separator>[T ])(?P<time>[0-9]{1,2}:[0-9]{2})(?P<seconds>:[0-9]{2})?"
    r"(?P<fraction>\.[0-9]{1,9})?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_FORMAT = re.compile(
    r"(?P<date>%[Ymd][-/.]%[md][-/.]%[Yd])"
    r"(?:(?P<separator>[T ])%H:%M(?P<seconds>:%S)?(?P<fraction>\.%f)?(?P<zone>Z|%z)?)?"
)
_LEADING_ZERO = r"\b0+([0-9])"


@dataclass(frozen=True)
class DatetimeShape:
    """The parts of a format other than its date."""

    separator: str = ""  # "T" or " "; "" if there is no time
    seconds: bool = False
    fraction: bool = False
    zone: str = ""  # "", "Z" or "%z"

    def format(self, date: str) -> str:
        if not self.separator:
            return date
        seconds = ":%S" if self.seconds else ""
        fraction = ".%f" if self.fraction else ""
        return f"{date}{self.separator}%H:%M{seconds}{fraction}{self.zone}"


def parse_format(format: str) -> tuple[str, DatetimeShape] | None:
    """Split a format into its date pattern and shape; return None if it is not supported."""
    match = _FORMAT.fullmatch(format)
    if (
        match is None
        or match["date"] not in DATE_FORMATS
        or (match["fraction"] and not match["seconds"])
    ):
        return None
    shape = DatetimeShape(
        match["separator"] or "",
        bool(match["seconds"]),
        bool(match["fraction"]),
        match["zone"] or "",
    )
    return match["date"], shape


class DatetimeFormats:
    """Accumulator of the formats that fit all texts of a column."""

    def __init__(self) -> None:
        self._dates = list(DATE_FORMATS)
        self._shape: DatetimeShape | None = None
        self._fraction_seen = False
        self.decimals = 0

    def add(self, texts: pa.StringArray) -> None:
        if not self._dates or not len(texts):
            return
        parts = pc.extract_regex(texts, _TEXT)
        shape = None if parts.null_count else self._detect_shape(parts)
        if shape is None or self._shape not in {None, shape}:
            self._dates = []
            return
        self._shape = shape
        days = pc.struct_field(parts, "date")
        self._dates = [date for date in self._dates if _read_dates(days, date).null_count == 0]

    def _detect_shape(self, parts: pa.StructArray) -> DatetimeShape | None:
        """Return the texts' common shape, or None if they differ.

        The fraction is not compared: writers may omit it where it is zero.
        """
        separators = _distinct(parts, "separator")
        zones = {"%z" if zone[:1] in {"+", "-"} else zone for zone in _distinct(parts, "zone")}
        seconds = {bool(text) for text in _distinct(parts, "seconds")}
        fractions = _distinct(parts, "fraction")
        self._fraction_seen |= any(fractions)
        digits = max(len(fraction) for fraction in fractions) - 1
        self.decimals = max(self.decimals, min(6, digits))
        if any(len(values) != 1 for values in (separators, zones, seconds)):
            return None
        return DatetimeShape(separators.pop(), seconds.pop(), False, zones.pop())

    @property
    def formats(self) -> list[str]:
        """The formats that fit, the most likely first."""
        if self._shape is None:
            return []
        shape = self._shape
        if self._fraction_seen:
            shape = DatetimeShape(shape.separator, shape.seconds, True, shape.zone)
        return [shape.format(date) for date in self._dates]


def _distinct(parts: pa.StructArray, name: str) -> set[str]:
    return set(pc.unique(pc.struct_field(parts, name)).to_pylist())


def parse_datetimes(texts: pa.StringArray, format: str) -> pa.TimestampArray:
    """Return timestamps, in UTC if the format has a zone; null where a text has another format."""
    parsed = parse_format(format)
    if parsed is None:
        return pa.nulls(len(texts), TIMESTAMP_TYPE)
    date, shape = parsed
    parts = pc.extract_regex(texts, _TEXT)
    days = _read_dates(pc.struct_field(parts, "date"), date)
    if not shape.separator:
        separator = pc.struct_field(parts, "separator")
        return pc.if_else(pc.equal(separator, ""), days, pa.scalar(None, TIMESTAMP_TYPE))
    time_of_day = _read_time_of_day(parts)
    fits = pc.and_(
        pc.equal(pc.struct_field(parts, "separator"), shape.separator),
        pc.equal(pc.not_equal(pc.struct_field(parts, "zone"), ""), bool(shape.zone)),
    )
    total = pc.add(days.cast(pa.int64()), time_of_day)
    return pc.if_else(fits, total, pa.scalar(None, pa.int64())).cast(TIMESTAMP_TYPE)


def _read_dates(days: pa.StringArray, format: str) -> pa.TimestampArray:
    """Return timestamps, null for dates that do not exist; leading zeros are optional."""
    dates = pc.strptime(days, format=format, unit="s", error_is_null=True)
    formatted = pc.strftime(dates, format=format)
    # strptime accepts February 30: only a real date is formatted as it was written.
    same = pc.equal(_without_zeros(formatted), _without_zeros(days))
    has_full_year = pc.match_substring_regex(days, r"[0-9]{4}")
    return pc.if_else(pc.and_(same, has_full_year), dates, pa.scalar(None, dates.type)).cast(
        TIMESTAMP_TYPE
    )


def _without_zeros(texts: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(texts, _LEADING_ZERO, r"\1")


def _read_time_of_day(parts: pa.StructArray) -> pa.Int64Array:
    """Return microseconds since midnight, in UTC; null for times that do not exist."""
    time = pc.binary_join_element_wise(
        pc.struct_field(parts, "time"), pc.struct_field(parts, "seconds"), ""
    )
    units = pc.extract_regex(time, r"^(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2}):?(?P<s>[0-9]{0,2})$")
    hours, minutes, seconds = (_number(pc.struct_field(units, unit)) for unit in "hms")
    digits = pc.utf8_slice_codeunits(pc.struct_field(parts, "fraction"), 1)
    fraction = _number(pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 6, "0"), 0, 6))
    zone = pc.extract_regex(
        pc.struct_field(parts, "zone"), r"^(?P<sign>[+-]?)(?P<h>[0-9]{0,2}):?(?P<m>[0-9]{0,2})Z?$"
    )
    offset = 3600 * _number(pc.struct_field(zone, "h")) + 60 * _number(pc.struct_field(zone, "m"))
    sign = np.where(_bools(pc.equal(pc.struct_field(zone, "sign"), "-")), -1, 1)
    total = 1_000_000 * (3600 * hours + 60 * minutes + seconds - sign * offset) + fraction
    exists = (hours < 24) & (minutes < 60) & (seconds < 60)
    missing = _bools(pc.is_null(parts)) | ~exists
    return pa.array(total, mask=missing)


def _number(texts: pa.StringArray) -> NDArray[np.int64]:
    """Return the texts as integers; 0 for empty and null texts."""
    integers = pc.if_else(pc.equal(texts, ""), "0", texts).fill_null("0").cast(pa.int64())
    numbers: NDArray[np.int64] = integers.to_numpy(zero_copy_only=False)
    return numbers


def _bools(values: pa.BooleanArray) -> NDArray[np.bool_]:
    bools: NDArray[np.bool_] = values.fill_null(False).to_numpy(zero_copy_only=False)
    return bools


def format_datetimes(
    values: pa.TimestampArray, format: str, decimals: int | None
) -> pa.StringArray:
    """Return the values as text, with `decimals` digits (default 6) of a fraction."""
    parts = parse_format(format)
    assert parts is not None  # noqa: S101 - schema validation rejects other formats
    date, shape = parts
    micros = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    head = DatetimeShape(shape.separator, shape.seconds).format(date)
    texts = pc.strftime(pc.floor_temporal(values, unit="second").cast(pa.timestamp("s")), head)
    pieces = [texts]
    if shape.fraction:
        digits = pa.array([f".{m:06d}"[: 1 + (decimals or 6)] for m in micros % 1_000_000])
        pieces.append(digits)
    if shape.zone:
        pieces.append(pa.array(["Z" if shape.zone == "Z" else "+0000"] * len(values)))
    return pc.binary_join_element_wise(*pieces, "")
