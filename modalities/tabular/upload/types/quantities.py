"""Recognition of texts that contain numbers, but are not read as numbers.

Examples are `3 1/2`, `5'11`, `5 ft 11 in`, `18-24`, `>100`, `52°31'N`, `(52.5, 13.4)`, `4/5` and
`12 (3.4%)`. They are learned as categories or replaced by numbers of the same sizes, and an issue
names them.
"""

import re
from collections import Counter
from collections.abc import Sequence

from models.tabular.identifiers import quantities as id_quantities
from models.tabular.identifiers.quantities import MIN_SHAPE_COUNT, NUMBER, marks_of

MIN_FRACTION = 0.9  # of the different texts
MIN_DISTINCT = 3
_MAX_TEXTS = 1_000

_NUMBER = r"[-+]?(?:0|[1-9]\d{0,8}|[1-9]\d{0,2}(?:[,.' ]\d{3})+)?(?:[.,]\d{1,6})?(?<=\d)"
_MARKS = "%|°C|°F|°|'|\"|\u2032|\u2033"
_UNITS = (
    "kg g mg µg t lb lbs oz st km m cm mm mi yd ft in inch ha ml cl l L gal "
    "km/h mph h hr hrs hour hours min mins minute minutes m s sec secs second seconds ms us µs ns "
    "d day days w wk wks week weeks mo month months y yr yrs year years "
    "kB KB MB GB TB W kW kWh V A mA Hz kHz MHz GHz "
    "K k M B bn mn Mio Mrd million billion x X N S E W"
)
_UNIT = "|".join(sorted(map(re.escape, _UNITS.split()), key=len, reverse=True))
_SUFFIX = rf" ?(?:{_MARKS})| ?(?:{_UNIT})(?![a-zA-Z])"
_SIGN = "(?:<=|>=|[<>~≤≥≈±] ?|(?:about|ca\\.|up to|over|under|less than|more than) )?"
_QUANTITY = rf"{_SIGN}[$€£¥]?{_NUMBER}(?:{_SUFFIX})?"
_NEXT = rf"{_SIGN}[$€£¥]?[-+]?\d{{1,9}}(?:[.,]\d{{1,6}})?(?:{_SUFFIX})?"
_JOIN = r"(?: ?[-\u2013/x\u00d7:;,] ?| to | bis | |(?<=[°'\u2032hm]))"
_TEXT = re.compile(rf"[(\[]?{_QUANTITY}(?:{_JOIN}{_NEXT}){{0,3}} ?[NSEW+]?[)\]]?")
_PLAIN = re.compile(_NUMBER)


# Durations in units of which the next number may follow without a blank, as in 33w5d and P2Y6M.
_TIME_UNIT = (
    "y|yrs?|years?|mo|mos|mths?|months?|w|wks?|weeks?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|"
    "seconds?|ms|us|\u00b5s|ns|[YMWDHS]"
)
_DURATION = re.compile(rf"P?(?:(?:T| |, ?)?\d+(?:[.,]\d+)? ?(?:{_TIME_UNIT})(?![a-zA-Z])){{1,6}}")


def _are_durations(texts: Sequence[str]) -> bool:
    return sum(_DURATION.fullmatch(text) is not None for text in texts) >= MIN_FRACTION * len(texts)


def contain_numbers(texts: Sequence[str]) -> bool:
    """Return True if most of the different texts of a column are quantities of any notation."""
    sample = texts[:: max(1, len(texts) // _MAX_TEXTS)]
    if len(sample) < MIN_DISTINCT:
        return False
    matches = sum(_TEXT.fullmatch(text) is not None for text in sample)
    plain = sum(_PLAIN.fullmatch(text) is not None for text in sample)
    if _are_durations(sample):
        return True
    return matches >= MIN_FRACTION * len(sample) and plain < MIN_FRACTION * len(sample)


# Marks that codes do not have, and signs that stand between numbers of any kind.
_QUANTITY_MARK = re.compile(
    r"[±%°\u2032\u2033\u00d7$€£¥()\[\]~<>≤≥≈]|(?<=\d)['\"]|(?<=\d) ?x ?(?=\d)"
    r"|(?<=\d) (?:to|of|by) (?=\D{0,2}\d)|\d\.\d"
)
_LINKED = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?: ?[-\u2013/:,] ?\d+(?:\.\d+)?)+(?![\w.])")
_CODE = re.compile(
    r"^[^\W\d_]+-\d|"
    r"(?:(?<!\d)[^\W\d_]|[^\W\d_x])\d|\d\.\d+\.|(?<![\d.:°'\u2032 ])0\d|(?<![\d.])\d{7}|\d[A-Z]{2}"
)
_WORD = re.compile(r"[^\W\d_]+")
_IN_WORD = re.compile(r"[^\W\d_]\d")  # a number as a part of a word
_NUMBERED = re.compile(r"(?:[#\u2116]|[Nn][or]\.?) ?\d+")  # such as #1030, of an order
_YEAR = re.compile(r"1\d\d\d|20\d\d")
_UNIT_WORDS = frozenset(_WORD.findall(_UNITS)) | {"mos", "mths", "Nm", "rpm", "hp", "and"}
_UNIT_WORDS |= {"mmHg", "bpm", "dL", "mL", "IU", "kcal", "kJ", "ppm", "ppb", "mol", "mmol", "pcs"}
MAX_LETTERS = 24  # of the words between the numbers; sentences have more
MIN_NUMBERS = 0.6  # share of the texts with numbers among words such as DNF
MAX_SHAPES, MIN_COVERAGE, MAX_SHORT = 12, 0.9, 3
MIN_SHARED_SHAPE = 0.02  # share of the objects with the same words
_MAX_WHOLE_DIGITS = 7  # of a number that is not a key


def have_shared_shapes(texts: Sequence[str]) -> bool:
    """Return True for objects of JSON that differ in their numbers only.

    Several texts have the same words around their numbers, which are decimals or short.
    """
    sample = texts[:: max(1, len(texts) // _MAX_TEXTS)]
    if any(text[0] != "{" or _IN_WORD.search(text) for text in sample):
        return False
    counts = Counter(map(marks_of, sample))
    least = max(MIN_SHAPE_COUNT, MIN_SHARED_SHAPE * len(sample))
    most_common = counts.most_common(id_quantities.MAX_SHAPES)
    shared = [marks for marks, n in most_common if n >= least and len(marks) > 1]
    numbers = [number for text in sample for number in NUMBER.findall(text)]
    are_short = all(len(number.partition(".")[0]) <= _MAX_WHOLE_DIGITS for number in numbers)
    return are_short and sum(counts[marks] for marks in shared) >= MIN_COVERAGE * len(sample)


def are_quantities(texts: Sequence[str]) -> bool:
    """Return True for texts of the same few shapes that consist of numbers rather than codes.

    Codes have letters before digits, leading zeros, or numbers of the same many digits.
    """
    sample = texts[:: max(1, len(texts) // _MAX_TEXTS)]
    counts = Counter(map(marks_of, sample))
    common = {marks for marks, _ in counts.most_common(MAX_SHAPES)}
    letters = max(sum(map(str.isalpha, "".join(marks))) for marks in common)
    covered = sum(counts[marks] for marks in common)
    if covered < MIN_COVERAGE * len(sample) or letters > MAX_LETTERS:
        return False
    fitting = [text for text in sample if marks_of(text) in common and len(marks_of(text)) > 1]
    if _are_durations(fitting):
        return True
    if len(fitting) < MIN_NUMBERS * len(sample) or any(map(_CODE.search, fitting)):
        return False
    if all(map(_NUMBERED.fullmatch, fitting)):
        return False
    years = sum(all(map(_YEAR.fullmatch, NUMBER.findall(text))) for text in fitting)
    if years >= MIN_COVERAGE * len(fitting):
        return True  # such as 1860-1940 and born 1971
    words = {word for marks in common for mark in marks for word in _WORD.findall(mark)}
    marked = sum(_QUANTITY_MARK.search(text) is not None for text in fitting)
    if marked >= MIN_NUMBERS * len(fitting) or (words and words <= _UNIT_WORDS):
        return True
    if len({len(marks) for marks in common}) > 1 or not all(map(_LINKED.fullmatch, fitting)):
        return False
    numbers = [NUMBER.findall(text) for text in fitting]
    pairs = [(float(row[0]), float(row[-1])) for row in numbers if len(row) == 2]
    are_ranges = len(pairs) == len(numbers) and all(low <= high for low, high in pairs)
    # In ranges, unlike in codes such as 43-5052, small ends are below large beginnings.
    are_ranges = are_ranges and min(high for _, high in pairs) < max(low for low, _ in pairs)
    widths = [{len(number) for number in column} for column in zip(*numbers, strict=True)]
    are_short = all(max(each) <= MAX_SHORT for each in widths)
    return are_ranges or (are_short and (any(len(each) > 1 for each in widths) or len(widths) < 3))
