"""Inference of the form of dates and times without marks, such as 20240131 and 20240131T0915."""

import re
from collections.abc import Sequence

import pyarrow as pa

from modalities.tabular.forms.clock_numbers import clock_number_formats
from modalities.tabular.forms.date_inference import MIN_OLD_DAYS
from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moments import MomentForm

# Formats of digits only, their length, and the number of different texts that show them.
_MIN_DATES, _MIN_MONTHS, _MIN_TIMES = 3, 10, 20
_DIGIT_FORMATS = (
    ("%Y%m%d", 8, _MIN_DATES),
    ("%Y%m%d%H%M%S", 14, _MIN_DATES),
    ("%Y%m%d%H%M", 12, _MIN_DATES),
    ("%Y%m", 6, _MIN_MONTHS),
    ("%d%m%Y", 8, _MIN_MONTHS),
    ("%m%d%Y", 8, _MIN_MONTHS),
    ("%H%M", 4, _MIN_TIMES),
    ("%H%M%S", 6, _MIN_TIMES),
)
_MIN_HOURS = 5  # different ones of times such as 0915
_PROBED_TEXTS = 8
_DATE_AND_TIME = re.compile(
    r"(?P<date>\d{8})(?P<separator>[T _-]?)(?P<hour>\d{2})(?P<minute>\d{2})"
    r"(?P<second>\d{2})?(?P<zone>Z)?"
)


def infer_compact(texts: Sequence[str]) -> list[MomentForm] | None:
    """Return the form of the texts, if there is one; None if they have marks or other letters."""
    if all(text.isdigit() for text in texts[:_PROBED_TEXTS]):
        return _infer_digits(texts) or _infer_clock_numbers(texts)
    if all(text.removesuffix(".0").isdigit() for text in texts[:_PROBED_TEXTS]):
        return _infer_clock_numbers(texts)
    matches = [match for match in map(_DATE_AND_TIME.fullmatch, texts) if match is not None]
    if len(matches) >= MIN_FIT_FRACTION * len(texts):
        return _infer_date_and_time(texts, matches[0])
    return None


def _infer_digits(texts: Sequence[str]) -> list[MomentForm]:
    """Return the form of digits that all are plausible dates or times."""
    distinct = set(texts)
    for format, length, minimum in _DIGIT_FORMATS:
        if len(distinct) < minimum or {len(text) for text in distinct} != {length}:
            continue
        form = parse_format(format)
        assert form is not None  # noqa: S101 - a constant
        if not form.has_date and len({text[:2] for text in distinct}) < _MIN_HOURS:
            continue
        years = {text[-4:] if format.endswith("Y") else text[:4] for text in distinct}
        earliest = "1500" if format == "%Y%m%d" and len(distinct) >= MIN_OLD_DAYS else "1900"
        is_plausible = all(earliest <= year < "2100" for year in years)
        is_plausible = is_plausible or not form.has_date
        if length > 8 and _are_serial_numbers([text[8:] for text in distinct]):
            continue
        if is_plausible and form.parse(pa.array(distinct)).null_count == 0:
            return [form]
    return []


def _infer_clock_numbers(texts: Sequence[str]) -> list[MomentForm]:
    forms = map(parse_format, clock_number_formats([*set(texts)]))
    return [form for form in forms if form is not None]


def _infer_date_and_time(texts: Sequence[str], match: re.Match[str]) -> list[MomentForm]:
    """Return the form of dates and times such as `match`, if most texts have it."""
    seconds, zone = "%S" if match["second"] else "", match["zone"] or ""
    form = parse_format(f"%Y%m%d{match['separator']}%H%M{seconds}{zone}")
    if form is None or form.parse(pa.array(texts)).null_count > (1 - MIN_FIT_FRACTION) * len(texts):
        return []
    are_marked = match["separator"] == "T" or match["zone"] is not None
    if not are_marked and _are_serial_numbers([text[9:] for text in texts]):
        return []
    return [form]


def _are_serial_numbers(times: Sequence[str]) -> bool:
    """Return True for digits after dates that would be different minutes of the first hour."""
    return {time[:2] for time in times} == {"00"} and len({time[2:] for time in times}) > 1
