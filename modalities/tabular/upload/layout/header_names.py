"""Recognition of the row that holds the names of the columns below it."""

import re
from collections.abc import Sequence
from itertools import pairwise

from modalities.tabular.upload.types.value_kinds import is_value, kind_of
from models.tabular.identifiers.words.public_words import are_listed

Row = Sequence[str]

SAME_KIND = 0.8  # fraction of a column's values that share a kind
_INTEGER = re.compile(r"\d{1,9}")
_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_MANY_NUMBERS = 4  # so many names in a progression are not values by coincidence
_MAX_SIMILAR = 0.02  # fraction of rows that may be progressions below a header that is one
_FEW, _MANY, _SAME_SHAPE = 20, 200, 0.9  # values of a column, and share of one shape
_CODE = re.compile(r"[A-Z0-9]{2,}")
_FOOTNOTE = re.compile(r"(?<=\d) ?[*\u2020\u2021]$")  # as in 2015 *
_MIN_VALUES_NAMED = 3  # columns of numbers next to a year that have a name
_YEAR_STEPS = {1, 2, 5, 10}
_MANY_YEARS, _MAX_YEAR_STEP = 5, 10
_MIN_YEAR, _MAX_YEAR = 1500, 2200


def has_names(row: Row, body: Sequence[Row]) -> bool:
    """Return True if `row` holds the names of the columns of `body`."""
    if not any(field.strip() for field in row):
        return False
    if not body:
        return not any(is_value(field) for field in row)
    if are_numbered_names(row, body):
        return True
    columns = [column_of(body, i) for i in range(len(row))]
    pairs = list(zip(map(str.strip, row), columns, strict=True))
    return not any(_fits_column(*pair) for pair in pairs) and not _is_row_of_texts(pairs)


def _is_row_of_texts(pairs: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Return True if a field above texts is a code such as A320, or a name such as France.

    All columns hold texts: those of numbers and dates show by themselves whether there are names.
    """
    if any(2 * sum(map(is_value, column[:_FEW])) > len(column[:_FEW]) for _, column in pairs):
        return False
    codes = [_has_code_shape(field, column) for field, column in pairs]
    return any(codes) or any(_is_listed(*pair) for pair in pairs)


def _is_listed(field: str, column: Sequence[str]) -> bool:
    """Return True for a country above countries, but not for English above a list of languages."""
    if len(column) < _FEW or not (are_listed([field]) and are_listed(column[:_MANY])):
        return False
    return field not in column or len(set(column)) < len(column)


def _has_code_shape(field: str, column: Sequence[str]) -> bool:
    """Return True for capitals and digits, of the length that nearly all values have."""
    same = sum(len(value) == len(field) and bool(_CODE.fullmatch(value)) for value in column)
    has_digit = any(map(str.isdigit, field)) and _CODE.fullmatch(field) is not None
    return has_digit and len(column) >= _FEW and same >= _SAME_SHAPE * len(column)


def column_of(body: Sequence[Row], index: int) -> list[str]:
    return [row[index].strip() for row in body if index < len(row) and row[index].strip()]


def _fits_column(field: str, column: Sequence[str]) -> bool:
    """Return True if `field` is a number or date, as the column's values are.

    A plain number above a column of texts is a value too.
    """
    kind = kind_of(field)
    if kind not in {"number", "date"}:
        return False
    if _PLAIN_NUMBER.fullmatch(field.strip()):
        return True
    values = [value for value in column if not _PLAIN_NUMBER.fullmatch(value)]
    same = sum(kind_of(value) == kind for value in values)
    return not column or same > SAME_KIND * len(column)


def are_numbered_names(row: Row, body: Sequence[Row]) -> bool:
    """Return True if the numbers of `row` are names: 0, 1, 2… or years.

    pandas writes such a header for columns without names, and tables by year have one column for
    each year.
    """
    fields = [_FOOTNOTE.sub("", field.strip()) for field in row]
    numbers = [int(field) for field in fields if _INTEGER.fullmatch(field)]
    others = [field for field in fields if field and not _INTEGER.fullmatch(field)]
    if not numbers or any(kind_of(field) == "number" for field in others):
        return False
    if not _is_progression(numbers):
        return False
    if len(numbers) == 1:
        are_names = _is_year_among_names(numbers[0], fields, body)
        return bool(others) and (are_names or _differs_from_columns(fields, body))
    if not others and len(numbers) < _MANY_NUMBERS and not _differs_from_columns(fields, body):
        return False
    indices = [i for i, field in enumerate(fields) if _INTEGER.fullmatch(field)]
    similar = sum(_is_progression(_integers(each, indices)) for each in body)
    return similar <= max(1, _MAX_SIMILAR * len(body))


def _is_year_among_names(number: int, fields: Sequence[str], body: Sequence[Row]) -> bool:
    """Return True for a year whose neighbors are names of columns of numbers, as in cp,2019,a2018.

    The column may have such a number itself, as that of people who get on a train.
    """
    if not _MIN_YEAR <= number <= _MAX_YEAR or len(set(fields)) < len(fields):
        return False
    columns = [(f, column_of(body, i)) for i, f in enumerate(fields) if not _INTEGER.fullmatch(f)]
    if any(not field or field in column for field, column in columns):
        return False
    of_values = [column for _, column in columns if column and all(map(is_value, column[:_FEW]))]
    return len(of_values) >= max(_MIN_VALUES_NAMED, SAME_KIND * len(columns))


def are_counted(names: Row) -> bool:
    """Return True for 0, 1, 2… in all columns, or all but the first one."""
    fields = [name.strip() for name in names]
    fields = fields[1:] if not fields[0] else fields
    return len(fields) > 1 and fields == [str(i) for i in range(len(fields))]


def _integers(row: Row, indices: Sequence[int]) -> list[int]:
    """Return the integers in these columns; [] if one of them holds anything else."""
    fields = [row[i].strip() for i in indices if i < len(row)]
    return [int(f) for f in fields] if all(_INTEGER.fullmatch(f) for f in fields) else []


def _is_progression(numbers: Sequence[int]) -> bool:
    """Return True for 0, 1, 2…, for 1, 2, 3…, and for years, upwards or downwards.

    Many years may have gaps and errors; a few have equal distances.
    """
    if not numbers:
        return False
    steps = {b - a for a, b in pairwise(numbers)}
    if all(_MIN_YEAR <= number <= _MAX_YEAR for number in numbers):
        upwards = {abs(step) for step in steps} if max(steps, default=1) < 0 else steps
        differ = len(numbers) >= _MANY_YEARS and len(set(numbers)) >= SAME_KIND * len(numbers)
        has_gaps = differ and upwards <= set(range(_MAX_YEAR_STEP + 1))
        return has_gaps or (len(upwards) <= 1 and upwards <= _YEAR_STEPS)
    return steps == {1} and numbers[0] in {0, 1}


def _differs_from_columns(fields: Sequence[str], body: Sequence[Row]) -> bool:
    """Return True if each number is outside its column's range and each text is a new one."""
    for i, field in enumerate(fields):
        column = column_of(body, i)
        if field in column:
            return False
        if _INTEGER.fullmatch(field):
            integers = [int(value) for value in column if _INTEGER.fullmatch(value)]
            all_integers = len(integers) == len(column)
            if integers and all_integers and min(integers) <= int(field) <= max(integers):
                return False
    return True
