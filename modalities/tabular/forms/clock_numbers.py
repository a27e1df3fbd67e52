"""Times of day as whole numbers without leading zeros, such as 5 and 1657 for 00:05 and 16:57.

The format `hmm` is that of such numbers, and `hmmss` has seconds. With `k` in place of `h`,
midnight is 2400. `hmm.0` is that of 1657.0.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.forms.moments import MomentForm

_PADDED = {"hmm": "%H%M", "kmm": "%24H%M", "hmmss": "%H%M%S", "kmmss": "%24H%M%S"}
_SUFFIX = ".0"  # as programs write whole numbers in a column with missing values
# The format of each form, and that of the same times with leading zeros.
CLOCK_NUMBERS = _PADDED | {format + _SUFFIX: padded for format, padded in _PADDED.items()}
MIN_EVIDENCE_BITS = 60.0  # that numbers have minutes and seconds below 60 by chance
MIN_HOURS = 5  # different ones
MIN_LATE = 15  # different numbers in the last quarter of an hour; groups of codes end before


@dataclass(frozen=True)
class ClockNumberForm(MomentForm):
    """The form of `width` digits at most, with the literals and directives of padded ones."""

    width: int = 4
    suffix: str = ""

    def parse(self, texts: pa.StringArray) -> pa.Int64Array:
        pattern = rf"^(?:0|[1-9][0-9]{{0,{self.width - 1}}}){re.escape(self.suffix)}$"
        is_number = pc.match_substring_regex(texts, pattern)
        texts = pc.replace_substring_regex(texts, rf"{re.escape(self.suffix)}$", "")
        if "%24H" in self.directives:  # the end of a day is the time 0
            is_number = pc.and_(is_number, pc.not_equal(texts, "0"))
            texts = pc.if_else(pc.equal(texts, "24".ljust(self.width, "0")), "0", texts)
        padded = pc.utf8_lpad(pc.if_else(is_number, texts, "0"), self.width, "0")
        return pc.if_else(is_number, super().parse(padded), pa.scalar(None, pa.int64()))

    def write(self, micros: pa.Int64Array, decimals: int | None = None) -> pa.StringArray:
        digits = pc.utf8_ltrim(super().write(micros, decimals), "0")
        digits = pc.if_else(pc.equal(digits, ""), "0", digits)
        return pc.binary_join_element_wise(digits, self.suffix, "")


def clock_number_form(format: str, padded: MomentForm) -> ClockNumberForm:
    """Return the form of a format of CLOCK_NUMBERS, given that of numbers with leading zeros."""
    width = 6 if "S" in padded.fields else 4
    suffix = _SUFFIX if format.endswith(_SUFFIX) else ""
    parts = padded.literals, padded.directives
    return ClockNumberForm(format, "", *parts, None, width=width, suffix=suffix)


def clock_number_formats(texts: Sequence[str]) -> list[str]:
    """Return the formats of different numbers if all are times beyond doubt.

    They differ in midnight, which other rows may have. Of numbers up to 2359, three of five have
    minutes below 60.
    """
    suffix = _SUFFIX if all(text.endswith(_SUFFIX) for text in texts) else ""
    texts = [text.removesuffix(suffix) for text in texts]
    if not all(text.isdecimal() and (text[0] != "0" or text == "0") for text in texts):
        return []
    numbers = {int(text) for text in texts}
    for seconds, end in (("", 2_400), ("ss", 240_000)):
        times = [n // 100 for n in numbers] if seconds else [*numbers]
        sixtieths = [n % 100 for n in times] + [n % 100 for n in numbers if seconds]
        if max(numbers) > end or max(sixtieths) >= 60 or {0, end} <= numbers:
            continue
        evidence = math.log2(100 / 60) * sum(n >= 60 for n in times)
        evidence += math.log2(100 / 60) * sum(n >= 60 for n in numbers if seconds)
        num_late = len({n for n in times if n % 100 >= 45})
        has_hours = len({n // 100 for n in times}) >= MIN_HOURS
        if has_hours and num_late >= MIN_LATE and evidence >= MIN_EVIDENCE_BITS:
            formats = [f"hmm{seconds}{suffix}", f"kmm{seconds}{suffix}"]
            return formats[::-1] if end in numbers else formats
    return []
