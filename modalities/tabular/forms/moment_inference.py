"""Inference of the form of dates, times and periods from some of a column's texts."""

import re
from collections.abc import Sequence

import pyarrow as pa

from modalities.tabular.forms.compact_inference import infer_compact
from modalities.tabular.forms.date_inference import are_seasons, choose_templates, infer_dates
from modalities.tabular.forms.digits import plain_digits, script_of
from modalities.tabular.forms.fit import MIN_FIT_FRACTION, count_equal
from modalities.tabular.forms.moment_formats import parse_format
from modalities.tabular.forms.partial_date_inference import infer_partial_dates
from modalities.tabular.forms.time_inference import (
    InferredMoment,
    infer_optional_times,
    infer_times,
    split_times,
)

_PROBED_TEXTS = 8
# Formats of logs and other programs, which the templates do not cover.
_OTHER_FORMATS = [
    "%a %b %d %H:%M:%S %Y", "%a %b %-d %H:%M:%S %Y", "%a %b %d %H:%M:%S +0000 %Y",
    "%a %b %d %H:%M:%S UTC %Y", "[%d/%b/%Y:%H:%M:%S +0000]", "%d.%m.%Y %H:%M Uhr",
    "%H:%M %d.%m.%Y", "%H:%M:%S %d.%m.%Y", "%H:%M %d/%m/%Y", "%Y-%m-%d-%H-%M", "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d_%H-%M-%S", "%Y_%m_%d", "%Hh%M", "%-Hh%M", "%d.%m.%Y %H.%M", "%Y-%m-%d %H.%M.%S",
]  # fmt: skip

# Months of one digit are decimals, such as those of an air pressure of 1009.8.
_DECIMAL = re.compile(r"\d+([.,]\d)?")


def infer_moments(sample: Sequence[str]) -> list[InferredMoment]:
    """Return the forms that fit most of the texts, the most likely first."""
    texts = list(sample)
    if not any(character.isdigit() for text in texts[:_PROBED_TEXTS] for character in text):
        return []
    if script := script_of(texts):
        plain = infer_moments([plain_digits(text, script) for text in texts])
        formats = [f"[{script}]{moment.form.format}" for moment in plain if not moment.offsets]
        return [InferredMoment(form) for form in map(parse_format, formats) if form is not None]
    split = split_times(texts)
    if split and (optional := infer_optional_times(texts, split)) is not None:
        return [InferredMoment(optional)]
    if len(split) >= MIN_FIT_FRACTION * len(texts):
        return infer_times(split)
    if (compact := infer_compact(texts)) is not None:
        return [InferredMoment(form) for form in compact]
    if are_seasons(texts) or _are_decimals(texts):
        return []
    if (partial := infer_partial_dates(texts)) is not None:
        return [InferredMoment(partial)]
    formats = infer_dates(texts, choose_templates(texts)) or _infer_other(texts)
    return [InferredMoment(form) for form in map(parse_format, formats) if form is not None]


def _are_decimals(texts: Sequence[str]) -> bool:
    """Return True for numbers of which some have one decimal."""
    matches = [match for text in texts if (match := _DECIMAL.fullmatch(text))]
    return len(matches) == len(texts) and any(match[1] for match in matches)


def _infer_other(texts: Sequence[str]) -> list[str]:
    """Return the other format that writes most texts unchanged, if there is one."""
    array, best, most = pa.array(texts), "", MIN_FIT_FRACTION * len(texts)
    for format in _OTHER_FORMATS:
        form = parse_format(format)
        assert form is not None  # noqa: S101 - a constant
        if sum(map(bool, map(re.compile(form.regex).match, texts))) < most:
            continue  # reading and writing all texts takes fifty times as long
        same = count_equal(form.write(form.parse(array)), array)
        if same >= most and (not best or same > most):
            best, most = format, same
    return [best] if best else []
