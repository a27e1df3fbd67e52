"""Inference of the formats of dates and periods without a time."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from modalities.tabular.forms.date_templates import (
    DATES,
    DAYS,
    PADDED_DAYS,
    PERIODS,
    formats_of_template,
    template_pattern,
)
from modalities.tabular.forms.fit import MIN_FIT_FRACTION
from modalities.tabular.forms.moment_formats import parse_format

MIN_OLD_DAYS = 20  # different days, some of which are long ago
MIN_DAYS = 20  # different days of months without a year
MAX_YEARS_RATIO = 1.5  # of the different years of a form to those of another one
_PROBED_TEXTS = 32  # that show which templates are worth trying
_MAX_FORMATS = 3  # that fit equally well
_PADDED_DAY = re.compile(r"\d\d[-/.]\d\d\.?")
_SEASON = re.compile(r"\d{4}[-/]\d{2}")


class _FormatFit(NamedTuple):
    format: str
    texts: int  # different ones that the format reads
    years: int  # different ones of two digits


def choose_templates(texts: Sequence[str]) -> Sequence[str]:
    """Return the templates of dates without a time in order of preference."""
    numbers = [number for text in texts for number in re.findall(r"\d+", text)]
    if all(_PADDED_DAY.fullmatch(text) for text in texts) and len(set(texts)) >= MIN_DAYS:
        return PADDED_DAYS if max(map(int, numbers)) > 12 else ()
    # `Sep 08` is a day rather than a year if there are many days, up to the last ones of a month.
    are_days = len(set(numbers)) >= MIN_DAYS and max(numbers, key=int) in {"29", "30", "31"}
    return (*DATES, *DAYS, *PERIODS) if are_days else (*DATES, *PERIODS, *DAYS)


def infer_dates(texts: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Return the formats of the templates that fit most texts.

    If forms fit equally well, those with much fewer different years are preferred, because days
    and months are spread evenly, and then the first templates.
    """
    distinct = list(dict.fromkeys(texts))
    array, probed = pa.array(distinct), distinct[:_PROBED_TEXTS]
    fits = []
    for template in templates:
        pattern = template_pattern(template)
        matching = sum(pattern.fullmatch(text) is not None for text in probed)
        if 4 * matching < len(probed) or not _has_plausible_years(pattern, distinct):
            continue  # of two forms in one column, each may be rare among a few texts
        for format in formats_of_template(template, pattern, distinct):
            form = parse_format(format)
            valid = 0 if form is None else len(distinct) - form.parse(array).null_count
            if valid >= MIN_FIT_FRACTION / 2 * len(distinct):
                fits.append(_FormatFit(format, valid, _count_years(pattern, distinct)))
    most = max((fit.texts for fit in fits), default=0)
    best = [fit for fit in fits if fit.texts == most]
    fewest_years = min((fit.years for fit in best if fit.years), default=0)
    best.sort(key=lambda fit: fit.years > MAX_YEARS_RATIO * fewest_years)
    return [fit.format for fit in best[:_MAX_FORMATS]]


def _count_years(pattern: re.Pattern[str], texts: Sequence[str]) -> int:
    """Return the number of different years of two digits; 0 if a pattern has none."""
    if "y" not in pattern.groupindex:
        return 0
    return len({match["y"] for match in map(pattern.fullmatch, texts) if match is not None})


def _has_plausible_years(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    """Return False for numbers such as 4.0900, which are no months of the year 900.

    Many dates with a day may be those of the first millennium.
    """
    if "Y" not in pattern.groupindex:
        return True
    years: list[str] = [match["Y"] for match in map(pattern.fullmatch, texts) if match is not None]
    earliest = "0001" if "d" in pattern.groupindex and len(years) >= MIN_OLD_DAYS else "1000"
    implausible = sum(not earliest <= year < "2200" for year in years)
    return implausible <= (1 - MIN_FIT_FRACTION) * len(years)


def are_seasons(texts: Sequence[str]) -> bool:
    """Return True if all texts are two consecutive years, such as 2011/12, which are not months."""
    return all(
        _SEASON.fullmatch(text) and (int(text[:4]) + 1) % 100 == int(text[-2:]) for text in texts
    )
