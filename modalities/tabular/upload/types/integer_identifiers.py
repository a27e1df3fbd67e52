"""Recognition of integers that identify rows, and the columns of integers that are codes."""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from modalities.tabular.schema import Column
from modalities.tabular.upload.types.code_columns import are_epochs, is_joined_id, is_public_code
from modalities.tabular.upload.types.column_stats import ValueCounts
from modalities.tabular.upload.types.identifier_kinds import MIN_ID_ROWS, is_nearly_unique
from models.tabular.identifiers.words.public_words import MAX_LISTED, are_listed

_IDENTIFIER = r"identifi(?:er|ant|cador|cativo|kator)"  # also in other languages
ID_NAME = re.compile(
    rf"(?i:(^|[\W_])(id|[ugops]id|{_IDENTIFIER}|uuid|guid|objectid|index|idx|rowid|row_?number|row_?names?|pk)$)|[a-z]I[dD]$|^$"
    rf"|^(?i:(?:{_IDENTIFIER}|id(?= (?:of|d[aeiou]|de[lrs])\b))(?:$|[\W_])"
    r"|row$|unnamed\b)|(?:^|_)[B-DF-HJ-NP-TV-Z]{1,4}ID$"
)
# Unique numbers with such a name, and of several digits, identify rows, too.
NUMBER_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:no|nr|num|number|nummer|key|ref|sku|ean|gtin|isbn|ssn|account|acct|"
    r"barcode|phones?|tel|mobile|fax|zip4|license|matricule)$|(?-i:[a-z](?:No|Nr|Number|Key|Ref))$|(?:編號|编号|番号|番號|번호)$"
)
_DOCUMENT_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:cert|certificate|permit|docket|badge|serial|registration|charter|rssd|policy|"
    r"claim|invoice|receipt|voucher|ticket|issue|task|case|(?:[a-z]+)?beleg|rechnung|auftrag|"
    r"bestellung|facture|factura|fattura)$"
)
# Numbers of things of any size, such as EmployeeNumber, but not the number of things.
_THING_NUMBER = re.compile(
    r"(?i)(?:employee|staff|customer|client|member|patient|student|order|account|invoice|room|seat|"
    r"case|ticket|application|registration|serial|record|subject|sample|part|item|product|loan|"
    r"policy|contract|vehicle|flight|train|bus)[\W_]?(?:no|nr|num|number)\.?$"
)
_BARE_NUMBER = re.compile(r"(?i)no|nr|num|number|nummer")  # which may be times or quantities
_MIN_NUMBER = 1_000
_MIN_EXPECTED_EQUAL = 20  # pairs of rows, if unique numbers were quantities
_MAX_REPEATS = 5  # rows with the same number
# Consecutive numbers with such a name say something about their row.
_RANK_NAME = re.compile(
    r"(?i)(?:^|[\W_])(?:rank|ranking|rang|position|pos|place|platz|overall|order|pick|seed|week|month|"
    r"day|hour|minute|second|age|year|step|lap|round|stage|level|score|points|temperature|time)$"
)
_MIN_CODE_DIGITS = 11
# Acronyms before `id`, as in gbifid: two consonants that begin no English word such as grid.
_ENGLISH_BEGIN = r"[bcfgkps]l|[bcdfgkptw]r|[cgprstw]h|[dst]w|[gkps]n|ps|s[ckmpqt]"
_ACRONYM_ID = re.compile(rf"(?i)(?:^|[\W_\d])(?!{_ENGLISH_BEGIN})[b-df-hj-np-tv-xz]{{2}}[a-z]*id$")
_MIN_ID_DIGITS = 8
_YEARS = range(1500, 2200)  # consecutive years are not row numbers
_MAX_FIRST = 10  # of the numbers of rows of which some were left out
_MIN_COVERED = 0.5  # share of the numbers up to the largest one that are in the table


def are_row_numbers(name: str, counts: ValueCounts, valid: int, others: Sequence[str]) -> bool:
    """Return True for integers that are named like an id, or are unique and consecutive.

    Those of the first column may have gaps; `others` are the names of all columns, in order. Years
    in a column without a name are those of the rows.
    """
    are_years = all(number in _YEARS for number in integers(counts))
    if are_years and not name:
        return False
    if is_nearly_unique(counts.distinct, valid) and (
        ID_NAME.search(name)
        or _are_long_codes(integers(counts), _MIN_CODE_DIGITS)
        or (_ends_with_id(name, others) and _are_long_codes(integers(counts), _MIN_ID_DIGITS))
        or _are_documents(name, counts)
    ):
        return True
    if not counts.all_unique or valid < 2:
        return False
    if ID_NAME.search(name):
        return True
    numbers = integers(counts)
    if are_years or (_RANK_NAME.search(name) and min(numbers) < _MIN_NUMBER):
        return False
    if valid >= MIN_ID_ROWS and is_joined_id(name, others):
        return True
    is_bare = _BARE_NUMBER.fullmatch(name) is not None
    may_be_times = is_bare and are_epochs(min(numbers), max(numbers))
    is_number = NUMBER_NAME.search(name) is not None and min(numbers) >= _MIN_NUMBER
    is_number &= not may_be_times
    is_number |= bool(NUMBER_NAME.search(name)) and not is_bare and _are_too_dense(numbers)
    if valid >= MIN_ID_ROWS and (is_number or _THING_NUMBER.search(name)):
        return True
    if valid < MIN_ID_ROWS:
        return False
    is_first = name in others[:1] and _count_up_with_gaps(numbers)
    return is_first or max(numbers) - min(numbers) + 1 == len(numbers)


def _are_too_dense(numbers: Sequence[int]) -> bool:
    """Return True for different numbers in a range in which as many quantities would repeat."""
    span = max(numbers) - min(numbers) + 1
    return len(numbers) ** 2 / (2 * span) >= _MIN_EXPECTED_EQUAL


def _count_up_with_gaps(numbers: Sequence[int]) -> bool:
    """Return True for the numbers of rows, in order, of which some were left out of the table."""
    first, last = numbers[0], numbers[-1]
    is_increasing = all(a < b for a, b in pairwise(numbers))
    return is_increasing and 0 <= first <= _MAX_FIRST and len(numbers) >= _MIN_COVERED * last


def _ends_with_id(name: str, others: Collection[str]) -> bool:
    """Return True for `id` after an acronym or a word, but not for words such as `paid`."""
    return _ACRONYM_ID.search(name) is not None or is_joined_id(name, others)


def _are_documents(name: str, counts: ValueCounts) -> bool:
    """Return True for the numbers of permits, tickets and the like, which hardly repeat."""
    is_named = _DOCUMENT_NAME.search(name) is not None
    hardly_repeats = max(counts.values.values()) <= _MAX_REPEATS
    return is_named and hardly_repeats and max(integers(counts)) >= _MIN_NUMBER


def are_consecutive(counts: ValueCounts) -> bool:
    """Return True for different whole numbers without a gap."""
    if not counts.all_unique or not all(str(value).isdecimal() for value in counts.values):
        return False
    numbers = integers(counts)
    return max(numbers) - min(numbers) + 1 == len(numbers)


def _are_long_codes(numbers: Sequence[int], digits: int) -> bool:
    """Return True for numbers of the same many digits, such as those of cards, but not of times."""
    low, high = min(numbers), max(numbers)
    is_long = low >= 10 ** (digits - 1) and len(str(low)) == len(str(high))
    return is_long and not are_epochs(low, high)


def code_column(column: Column, counts: ValueCounts, valid: int, categories_max: int) -> Column:
    """Return the category of integers that are codes, or an identifier if few rows share one."""
    texts = [str(number) for number in integers(counts)]
    format = None if column.decimals else "integer"
    is_public = is_public_code(column.name, texts) or are_listed(texts[:MAX_LISTED])
    is_rare = is_nearly_unique(counts.distinct, valid) and not is_public
    if is_rare or counts.overflowed or counts.distinct > categories_max:
        arrow = None if column.decimals else "int64"
        return Column(column.name, "id", column.nullable, arrow=arrow)
    return Column(column.name, "category", column.nullable, format=format)


def integers(counts: ValueCounts) -> list[int]:
    """Return the different values of whole numbers, such as `7` or `7.0`, in order of the rows."""
    return [int(str(value).partition(".")[0]) for value in counts.values]
