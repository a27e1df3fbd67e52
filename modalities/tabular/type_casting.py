"""Conversion of values from their stored type to the type in the schema."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modalities.tabular.formatting import (
    boolean_texts,
    form_of_duration,
    form_of_moment,
    form_of_number,
    format_values,
)
from modalities.tabular.forms.number_digits import ALL_DIGITS
from modalities.tabular.forms.numbers import NumberForm
from modalities.tabular.schema import ID_INTEGER_TYPES, Column
from modalities.tabular.word_set import WordSet

_ARROW_TYPES = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "category": pa.string(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us"),
    "time": pa.time64("us"),
    "duration": pa.duration("us"),
    "id": pa.string(),
    "text": pa.string(),
}
# Words for "missing" in a column of numbers or times, and the zero dates of databases.
_MISSING_WORDS = (
    "NA N/A n/a na N.A. n.a. #N/A #NA <NA> NaN nan NAN NaT NULL null Null (null) <null> nil None "
    "none missing Missing MISSING unknown Unknown UNKNOWN unk Unk UNK n.d. N.D. nd ND TBD tbd "
    "(blank) k.A. n/d N/D s/d S/D #DIV/0! #VALUE! #REF! #NAME? #NUM! #NULL! - -- --- \u2013 \u2014 "
    "? . .. ... \u2026 * ** 0000-00-00 0000/00/00 00/00/0000 00.00.0000 00-00-0000 "
    "0000-00-00T00:00:00"
)
_MISSING_PHRASES = (
    "0000-00-00 00:00:00", "00/00/0000 00:00:00", "not available", "Not available",
    "Not Available", "not applicable", "Not applicable", "Not Applicable", "not reported",
    "Not reported", "no data", "No data", "No Data", "keine Angabe", "sin dato", "sin datos",
)  # fmt: skip
MISSING_MARKERS = WordSet([*_MISSING_WORDS.split(), *_MISSING_PHRASES])
NUMBER_PATTERN = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?$"
NON_FINITE_PATTERN = r"(?i)^[-+]?inf(?:inity)?$"

_LOOSE_INTEGER = r"^[-+]?[0-9]{1,18}(?:\.0*)?$"
# Pairs of words for false and true that a boolean column may have, in any letter case.
_BOOLEAN_WORDS = (
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("0", "1"),
    ("off", "on"),
)
_MIN_ENCODED_TEXTS = 1_000
_INT64_LIMIT = 2.0**63
_TIMES = frozenset({"datetime", "time", "duration"})
_FORMATTED_TYPES = _TIMES | {"integer", "number"}


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of the column's values in rows.parquet and in models."""
    if column.type == "id" and column.arrow in ID_INTEGER_TYPES:
        return pa.int64()
    return _ARROW_TYPES[column.type]


def cast(values: pa.Array, stored: Column, target: Column) -> pa.Array:
    """Return the values as `target` requires; null where that is not possible. Never raises."""
    if _has_other_form(stored, target):
        # Another format reads the uploaded text anew. If it fits no text, it is for output only.
        texts = parse_texts(format_values(values, stored), target)
        if texts.null_count < len(texts) or values.null_count == len(values):
            return texts
    if values.type == arrow_type(target):
        if target.type != "number":
            return values
        return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    if arrow_type(target) == pa.string():
        return format_values(values, stored)
    if target.type == "boolean":
        return _booleans(format_values(values, stored), target)
    if target.type == "id":
        return _integers(values)
    return _ordered(values, target)


def _ordered(values: pa.Array, target: Column) -> pa.Array:
    """Return text, integers, floats or booleans as numbers or times."""
    if values.type == pa.string():
        return parse_texts(values, target)
    if target.type == "integer":
        return _integers(values)
    if target.type == "number" and values.type in {pa.int64(), pa.bool_()}:
        return values.cast(pa.int64()).cast(pa.float64(), safe=False)
    return pa.nulls(len(values), arrow_type(target))


def _has_other_form(stored: Column, target: Column) -> bool:
    """Return True if the values of `target` are read from the text of those of `stored`."""
    types = {stored.type, target.type}
    if not types <= _FORMATTED_TYPES:
        return False
    if target.format is None:
        return stored.type in _TIMES and target.type not in _TIMES
    return (stored.type, stored.format) != (target.type, target.format)


def parse_texts(texts: pa.StringArray, target: Column) -> pa.Array:
    """Return texts as an integer, number, datetime, time or duration column.

    Null where a text does not have the form of the column.
    """
    if len(texts) < _MIN_ENCODED_TEXTS:
        return _parse_distinct(texts, target)
    encoded = texts.dictionary_encode()  # takes a tenth of the time of parsing
    if 2 * len(encoded.dictionary) > len(texts):
        return _parse_distinct(texts, target)
    return _parse_distinct(encoded.dictionary, target).take(encoded.indices)


def _parse_distinct(texts: pa.StringArray, target: Column) -> pa.Array:
    arrow = arrow_type(target)
    try:
        if target.type in ("datetime", "time"):
            return form_of_moment(target).parse(texts).cast(arrow)
        if target.type == "duration":
            return form_of_duration(target).parse(texts).cast(arrow)
        if target.format is not None:
            form = form_of_number(target)
            integers = target.type == "integer"
            return form.parse_integers(texts) if integers else form.parse(texts)
    except (ValueError, pa.ArrowInvalid):
        return pa.nulls(len(texts), arrow)
    unsigned = pc.replace_substring_regex(texts, r"^\+", "")
    if target.type == "integer":
        return _integers(unsigned)
    # Numbers without a format may have leading zeros, too.
    return _LOOSE_NUMBER.parse(pc.replace_substring_regex(unsigned, r"^(-?)0+([0-9])", r"\1\2"))


_LOOSE_NUMBER = NumberForm(significant=ALL_DIGITS)


def _integers(values: pa.Array) -> pa.Array:
    if values.type == pa.string():
        fits = pc.match_substring_regex(values, _LOOSE_INTEGER)
        digits = pc.replace_substring_regex(values, r"^\+|\.0*$", "")
        return pc.if_else(fits, digits, pa.scalar(None, pa.string())).cast(pa.int64())
    if values.type == pa.float64():
        fits = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), _INT64_LIMIT))
        integers = pc.if_else(fits, values, pa.scalar(None, pa.float64()))
        return integers.cast(pa.int64(), safe=False)
    if values.type == pa.bool_():
        return values.cast(pa.int64())
    return pa.nulls(len(values), pa.int64())


def _booleans(texts: pa.StringArray, target: Column) -> pa.Array:
    false, true = boolean_texts(target)
    value = pc.if_else(pc.equal(texts, true), True, pa.scalar(None, pa.bool_()))
    return pc.if_else(pc.equal(texts, false), False, value)


def boolean_format(words: set[str]) -> str | None:
    """Return the format of a boolean column with these words; None if they are not a pair."""
    if not words or len(words) > 2:
        return None
    for false, true in _BOOLEAN_WORDS:
        folded = {word.casefold(): word for word in words}
        if len(folded) == len(words) and set(folded) <= {false, true}:
            example = next(iter(words))
            return f"{_in_case_of(example, folded, false)}|{_in_case_of(example, folded, true)}"
    return None


def _in_case_of(example: str, folded: dict[str, str], word: str) -> str:
    """Return the word as it occurs or, if it does not occur, in the letter case of `example`."""
    if word in folded:
        return folded[word]
    if re.fullmatch(r"[A-Z]+", example):
        return word.upper()
    return word.capitalize() if example[:1].isupper() else word


def cast_failures(before: pa.Array, after: pa.Array) -> NDArray[np.bool_]:
    """Return a mask of the values that a cast lost.

    Words for "missing" and infinite numbers do not count, except in a cast to boolean.
    """
    lost = pc.and_(pc.is_null(after), pc.is_valid(before))
    if before.type == pa.string():
        is_missing = pc.or_(
            MISSING_MARKERS.contains(before),
            pc.match_substring_regex(before, NON_FINITE_PATTERN),
        ).fill_null(False)
        if after.type != pa.bool_():
            lost = pc.and_not(lost, is_missing)
    failures: NDArray[np.bool_] = lost.to_numpy(zero_copy_only=False)
    return failures
