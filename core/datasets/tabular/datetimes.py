"""Points in time as text: which formats are read, read and written with.

A format is strftime's, made of a date, a separator, a time, a fraction and a zone, such as
`%d.%m.%Y %H:%M` or `%Y-%m-%dT%H:%M:%S.%fZ`. `Z` and `%z` are read into UTC.
"""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# In order of preference where several fit: the day first, as most of the world has it.
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
    r"(?:(?P<between>[T ])(?P<time>[0-9]{1,2}:[0-9]{2})(?P<seconds>:[0-9]{2})?"
    r"(?P<fraction>\.[0-9]{1,9})?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_FORMAT = re.compile(
    r"(?P<date>%[Ymd][-/.]%[md][-/.]%[Yd])"
    r"(?:(?P<between>[T ])%H:%M(?P<seconds>:%S)?(?P<fraction>\.%f)?(?P<zone>Z|%z)?)?"
)
_LEADING_ZERO = r"\b0+([0-9])"


@dataclass(frozen=True)
class DatetimeShape:
    """All of a format but its date."""

    separator: str = ""  # "", "T" or " "; without it there is no time
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
    """The date and the rest of a format; None when it is not one of ours."""
    match = _FORMAT.fullmatch(format)
    if (
        match is None
        or match["date"] not in DATE_FORMATS
        or (match["fraction"] and not match["seconds"])
    ):
        return None
    shape = DatetimeShape(
        match["between"] or "", bool(match["seconds"]), bool(match["fraction"]), match["zone"] or ""
    )
    return match["date"], shape


class DatetimeFormats:
    """Which formats fit all texts so far."""

    def __init__(self) -> None:
        self._dates = list(DATE_FORMATS)
        self._shape: DatetimeShape | None = None
        self._fraction_seen = False
        self.decimals = 0

    def add(self, texts: pa.StringArray) -> None:
        if not self._dates or not len(texts):
            return
        found = pc.extract_regex(texts, _TEXT)
        shape = None if found.null_count else self._shape_of(found)
        if shape is None or self._shape not in {None, shape}:
            self._dates = []
            return
        self._shape = shape
        days = pc.struct_field(found, "date")
        self._dates = [date for date in self._dates if _read_dates(days, date).null_count == 0]

    def _shape_of(self, found: pa.StructArray) -> DatetimeShape | None:
        """None when they differ. A fraction that is zero may be left out."""
        parts = {name: _distinct(found, name) for name in ("between", "zone")}
        zones = {"%z" if zone[:1] in {"+", "-"} else zone for zone in parts["zone"]}
        seconds = {bool(text) for text in _distinct(found, "seconds")}
        fractions = _distinct(found, "fraction")
        self._fraction_seen |= any(fractions)
        digits = max(len(fraction) for fraction in fractions) - 1
        self.decimals = max(self.decimals, min(6, digits))
        if any(len(values) != 1 for values in (parts["between"], zones, seconds)):
            return None
        return DatetimeShape(parts["between"].pop(), seconds.pop(), False, zones.pop())

    @property
    def formats(self) -> list[str]:
        """Those that fit, the likeliest first."""
        if self._shape is None:
            return []
        shape = self._shape
        if self._fraction_seen:
            shape = DatetimeShape(shape.separator, shape.seconds, True, shape.zone)
        return [shape.format(date) for date in self._dates]


def _distinct(found: pa.StructArray, name: str) -> set[str]:
    return set(pc.unique(pc.struct_field(found, name)).to_pylist())


def parse_datetimes(texts: pa.StringArray, format: str) -> pa.TimestampArray:
    """In UTC where there is a zone; null where the text has another format."""
    parts = parse_format(format)
    if parts is None:
        return pa.nulls(len(texts), TIMESTAMP_TYPE)
    date, shape = parts
    found = pc.extract_regex(texts, _TEXT)
    days = _read_dates(pc.struct_field(found, "date"), date)
    if not shape.separator:
        between = pc.struct_field(found, "between")
        return pc.if_else(pc.equal(between, ""), days, pa.scalar(None, TIMESTAMP_TYPE))
    clock = _read_clock(found)
    fits = pc.and_(
        pc.equal(pc.struct_field(found, "between"), shape.separator),
        pc.equal(pc.not_equal(pc.struct_field(found, "zone"), ""), bool(shape.zone)),
    )
    total = pc.add(days.cast(pa.int64()), clock)
    return pc.if_else(fits, total, pa.scalar(None, pa.int64())).cast(TIMESTAMP_TYPE)


def _read_dates(days: pa.StringArray, format: str) -> pa.TimestampArray:
    """Null where there is no such day; leading zeros may be missing."""
    read = pc.strptime(days, format=format, unit="s", error_is_null=True)
    written = pc.strftime(read, format=format)
    same = pc.equal(_without_zeros(written), _without_zeros(days))
    long_year = pc.match_substring_regex(days, r"[0-9]{4}")  # 21 is no year
    return pc.if_else(pc.and_(same, long_year), read, pa.scalar(None, read.type)).cast(
        TIMESTAMP_TYPE
    )


def _without_zeros(texts: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(texts, _LEADING_ZERO, r"\1")


def _read_clock(found: pa.StructArray) -> pa.Int64Array:
    """Microseconds since midnight, in UTC; null where there is no such time."""
    time = pc.binary_join_element_wise(
        pc.struct_field(found, "time"), pc.struct_field(found, "seconds"), ""
    )
    parts = pc.extract_regex(time, r"^(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2}):?(?P<s>[0-9]{0,2})$")
    hours, minutes, seconds = (_number(pc.struct_field(parts, part)) for part in "hms")
    digits = pc.utf8_slice_codeunits(pc.struct_field(found, "fraction"), 1)
    fraction = _number(pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 6, "0"), 0, 6))
    zone = pc.extract_regex(
        pc.struct_field(found, "zone"), r"^(?P<sign>[+-]?)(?P<h>[0-9]{0,2}):?(?P<m>[0-9]{0,2})Z?$"
    )
    ahead = 3600 * _number(pc.struct_field(zone, "h")) + 60 * _number(pc.struct_field(zone, "m"))
    sign = np.where(_bools(pc.equal(pc.struct_field(zone, "sign"), "-")), -1, 1)
    total = 1_000_000 * (3600 * hours + 60 * minutes + seconds - sign * ahead) + fraction
    right = (hours < 24) & (minutes < 60) & (seconds < 60)
    missing = _bools(pc.is_null(found)) | ~right
    return pa.array(total, mask=missing)


def _number(texts: pa.StringArray) -> NDArray[np.int64]:
    """Empty and null texts are 0."""
    whole = pc.if_else(pc.equal(texts, ""), "0", texts).fill_null("0").cast(pa.int64())
    numbers: NDArray[np.int64] = whole.to_numpy(zero_copy_only=False)
    return numbers


def _bools(values: pa.BooleanArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = values.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def format_datetimes(
    values: pa.TimestampArray, format: str, decimals: int | None
) -> pa.StringArray:
    """As text; `decimals` digits of the fraction where the format has one."""
    parts = parse_format(format)
    assert parts is not None  # noqa: S101 - formats are checked when they come in
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
