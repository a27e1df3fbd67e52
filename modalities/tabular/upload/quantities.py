"""Recognition of texts that contain numbers, but are not read as numbers.

Examples are `3 1/2`, `5'11`, `5 ft 11 in`, `18-24`, `>100`, `52°31'N`, `(52.5, 13.4)`, `4/5` and
`1h 5m`. They are learned as categories or regenerated as codes, and an issue names them.
"""

import re
from collections.abc import Sequence

MIN_FRACTION = 0.9  # of the different texts
MIN_DISTINCT = 3
_MAX_TEXTS = 1_000

_NUMBER = r"[-+]?(?:0|[1-9]\d{0,8}|[1-9]\d{0,2}(?:[,.' ]\d{3})+)?(?:[.,]\d{1,6})?(?<=\d)"
_MARKS = "%|°C|°F|°|'|\"|\u2032|\u2033"
_UNITS = (
    "kg g mg µg t lb lbs oz st km m cm mm mi yd ft in inch ha ml cl l L gal "
    "km/h mph h hr hrs hour hours min mins minute minutes m s sec secs second seconds d day days w "
    "week weeks mo month months y yr yrs year years kB KB MB GB TB W kW kWh V A mA Hz kHz MHz GHz "
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


def contain_numbers(texts: Sequence[str]) -> bool:
    """Return True if most of the different texts of a column are quantities of any notation."""
    sample = texts[:: max(1, len(texts) // _MAX_TEXTS)]
    if len(sample) < MIN_DISTINCT:
        return False
    matches = sum(_TEXT.fullmatch(text) is not None for text in sample)
    plain = sum(_PLAIN.fullmatch(text) is not None for text in sample)
    return matches >= MIN_FRACTION * len(sample) and plain < MIN_FRACTION * len(sample)
