"""Inference of the form of dates of which some lack the day or the month."""

import re
from collections.abc import Sequence

import pyarrow as pa

from modalities.tabular.forms.date_inference import are_seasons, infer_dates
from modalities.tabular.forms.date_templates import DATES, PERIODS
from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.moments import MomentForm

_MIN_FRACTION = 0.02  # share of the texts of each exactness
_MAX_PARTS = 3
_PARTS = re.compile(r"\d+|[^\W\d_]+|[?]+")
_HAS_YEAR = re.compile(r"(?:^|[^\d])(?:1[0-9]|2[01])\d\d(?:$|[^\d])")
_UNKNOWN = re.compile(r"[?]|[xX]{2}|(?:^|[^\d])00(?:$|[^\d])")
_UNKNOWN_MARKS = ("??", "?", "00", "XX", "xx")
_DAY, _MONTH = re.compile(r"%-?d[ .,/-]*"), re.compile(r"%-?[mbB][ .,/-]*")


def infer_partial_dates(texts: Sequence[str]) -> MomentForm | None:
    """Return the form of dates of which some lack the day or the month.

    Examples are 2013, 2013-07 and 2013-07-14 in one column, and 2013-??-??.
    """
    parts = [_PARTS.findall(text) for text in texts]
    most = max(map(len, parts))
    has_unknown = [_UNKNOWN.search(text) is not None for text in texts]
    exact = [
        text
        for text, each, is_unknown in zip(texts, parts, has_unknown, strict=True)
        if len(each) == most and not is_unknown
    ]
    dated = sum(_HAS_YEAR.search(text) is not None for text in texts)
    if not exact or len(exact) == len(texts) or most > _MAX_PARTS or dated < len(texts):
        return None
    for format in infer_dates(exact, (*DATES, *PERIODS)):
        formats, rest = [format], _unread(format, texts)
        for coarser in _coarser_formats(format):
            unread = _unread(coarser, rest)
            if len(rest) - len(unread) >= max(1, _MIN_FRACTION * len(texts)):
                formats, rest = [*formats, coarser], unread
        form = parse_format("|".join(formats)) if len(formats) > 1 else None
        if form is not None and len(rest) <= (1 - MIN_FIT_FRACTION) * len(texts):
            return form
    return None


def _unread(format: str, texts: Sequence[str]) -> list[str]:
    """Return the texts of other forms. Seasons such as 2011-12 are not months."""
    form = parse_format(format)
    if form is None or are_seasons(texts):
        return list(texts)
    missing = form.parse(pa.array(texts, pa.string())).is_null().to_pylist()
    return [text for text, is_missing in zip(texts, missing, strict=True) if is_missing]


def _coarser_formats(format: str) -> list[str]:
    """Return formats without the day, and without the month, or with a mark in their place."""
    month = _DAY.sub("", format).rstrip(" .,/-")
    coarser = [month, _MONTH.sub("", month).rstrip(" .,/-")]
    for mark in _UNKNOWN_MARKS:
        month = re.sub(r"%-?d", mark, format)
        coarser += [month, re.sub(r"%-?[mbB]", mark, month)]
    return [each for each in coarser if each != format]
