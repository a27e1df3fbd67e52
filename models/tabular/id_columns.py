"""Identifier columns: only their form is learned, and samples get new unique values."""

import re
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.noise import uniforms
from models.tabular import id_words
from models.tabular.id_templates import Counter, Pool, TemplateBuilder, TemplateSet
from models.tabular.id_tokens import (
    MAX_SHAPES,
    MIN_COVERAGE,
    MIN_SHARED_COUNT,
    MIN_SHARED_FRACTION,
    Token,
    Tokens,
    code_tokens,
    fit_templates,
)

MAX_EXAMINED_VALUES = 10_000
MIN_SCATTERED = 20  # fewer numbers are continued rather than scattered
MAX_GAP = 20  # of consecutive numbers, on average
NO_VALUES: Sequence[Tokens] = [(Token("00000000", "9"),)]  # of a column without any value
MAX_DIGITS = 18
MIN_VOWELS = 0.28  # share of the letters of words; random letters have fewer
_INTEGER_LIMITS = [2**bits for bits in (7, 8, 15, 16, 31, 32, 63)]
_STREAMS = 2**31  # streams of identifiers begin here; see models.noise
_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<digits>[0-9]+)(?P<suffix>[^0-9]*)", re.DOTALL)
_IPV4_NETWORK = re.compile(r"\d+\.\d+")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


@dataclass(frozen=True)
class IdColumn:
    """An identifier column: consecutive numbers, or texts from templates.

    `missing` is the share of missing values.
    """

    name: str
    arrow: pa.DataType
    missing: float
    source: Counter | TemplateSet

    @classmethod
    def fit(
        cls,
        name: str,
        arrow: pa.DataType,
        values: pa.Array,
        min_value_count: int = 0,
        kind: str | None = None,
    ) -> Self:
        """Learn the form.

        With `min_value_count`, parts that fewer values share are not used, and new numbers start
        at the next power of ten above those that at least `min_value_count` rows reach. `kind` is
        what the values are known to be, such as `email`; see `_FITTERS`.
        """
        missing = values.null_count / max(1, len(values))
        present = values.drop_null()
        step = max(1, len(present) // MAX_EXAMINED_VALUES)
        examined = present.take(pa.array(np.arange(0, len(present), step)))
        texts = examined.cast(pa.string()).to_pylist()
        source: Counter | TemplateSet | None = _counter(present, texts, min_value_count)
        if source is None:
            fitter = _FITTERS.get(kind or "", _fit_codes)
            source = fitter(texts, min_value_count)
        return cls(name, arrow, missing, source)

    def values(self, seed: int, indices: NDArray[np.int64]) -> pa.Array:
        """Return one value for each index; different indices have different values."""
        stream = _STREAMS + (crc32(self.name.encode()) >> 1)
        texts = self.source.texts(seed, stream, indices)
        if self.missing:
            is_missing = uniforms(seed, indices, 1, stream)[:, 0] < self.missing
            texts = pc.if_else(pa.array(is_missing), pa.scalar(None, pa.string()), texts)
        return texts.cast(self.arrow)

    def to_json(self) -> dict[str, Any]:
        return {"missing": self.missing, **self.source.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], arrow: pa.DataType) -> Self:
        source_type: type[Counter | TemplateSet] = Counter if "counter" in fields else TemplateSet
        source = source_type.from_json(fields)
        return cls(fields["name"], arrow, fields["missing"], source)


def _counter(present: pa.Array, texts: Sequence[str], min_value_count: int) -> Counter | None:
    """Return the numbers that continue those of the table, or None if they are scattered."""
    if pa.types.is_integer(present.type):
        return _integer_counter(present.to_numpy(zero_copy_only=False), min_value_count)
    matches = [match for text in texts if (match := _NUMBERED.fullmatch(text))]
    counts = Counts((match["prefix"], match["suffix"]) for match in matches)
    minimum = max(min_value_count, MIN_SHARED_COUNT, 0.01 * len(texts))
    ends = {end: n for end, n in counts.most_common(MAX_SHAPES) if n >= minimum}
    if sum(ends.values()) < max(MIN_COVERAGE * len(texts), MIN_SCATTERED):
        return None
    digits = [m["digits"] for m in matches if (m["prefix"], m["suffix"]) in ends]
    is_padded = any(number[0] == "0" and len(number) > 1 for number in digits)
    if is_padded and len({len(number) for number in digits}) > 1:
        return None
    if max(map(len, digits)) > MAX_DIGITS:
        return None
    numbers = np.array([int(number) for number in digits])
    if _is_scattered(numbers):
        return None
    weighted = tuple((prefix, suffix, float(n)) for (prefix, suffix), n in ends.items())
    return Counter(_first_free(numbers, min_value_count), len(digits[0]) * is_padded, weighted)


def _integer_counter(numbers: NDArray[np.int64], min_value_count: int) -> Counter | None:
    if len(numbers) < max(min_value_count, 1):
        return Counter(0)
    largest = int(numbers.max())
    ceiling = 10 ** len(str(abs(largest)))  # scattered numbers are below it
    may_overflow = any(largest < limit < ceiling for limit in _INTEGER_LIMITS)
    if len(numbers) >= MIN_SCATTERED and _is_scattered(numbers) and not may_overflow:
        return None
    return Counter(_first_free(numbers, min_value_count))


def _is_scattered(numbers: NDArray[np.int64]) -> bool:
    low, high = np.quantile(numbers.astype(np.float64), (0.01, 0.99))
    return bool(high - low > MAX_GAP * len(numbers))


def _first_free(numbers: NDArray[np.int64], min_value_count: int) -> int:
    """Return the first number for new values; see `IdColumn.fit`."""
    if not min_value_count:
        return int(numbers.max()) + 1
    # At least `min_value_count` rows reach this value.
    reached = int(np.sort(numbers)[max(0, len(numbers) - min_value_count)])
    return int(10 ** len(str(max(reached, 0))))


def _fit_codes(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    """Fit codes, or words if the texts consist of them."""
    if not texts:
        return fit_templates(NO_VALUES, {})
    if is_wordy(texts):
        return _fit_words([id_words.word_tokens(text) for text in texts], min_value_count)
    return fit_templates(code_tokens(texts), {}, min_value_count)


def is_wordy(texts: Sequence[str]) -> bool:
    """Return True if most texts have words that can be pronounced, and few digits."""
    mixed = sum(bool(re.search(r"[0-9][A-Za-z]|[A-Za-z][0-9]", text)) for text in texts)
    wordy = sum(bool(re.search(r"[^\W\d_][a-z\u00df-\u024f]{2,}", text)) for text in texts)
    letters = [c for text in texts for c in text.casefold() if c.isalpha()]
    digits = sum(c.isdigit() for text in texts for c in text)
    vowels = sum(c in "aeiouyäöüáéíóúàèìòùâêîôûåæøœãõ" for c in letters)
    has_words = 2 * wordy > len(texts) > 2 * mixed and digits < len(letters)
    return has_words and vowels > MIN_VOWELS * len(letters)


def _fit_words(tokens: Sequence[Tokens], min_value_count: int) -> TemplateSet:
    pools = id_words.word_pools()
    extra: Pool = tuple(f" {word}" for word in pools["title-1"])
    return fit_templates(tokens, pools, min_value_count, extra=extra)


def _fit_emails(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    tokens = [id_words.email_tokens(text) for text in texts]
    return fit_templates(
        tokens, id_words.email_pools(), min_value_count, extra=tuple("0123456789"), growth=-2
    )


def _fit_persons(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    locale = id_words.name_locale(texts[:1_000])
    pools = id_words.name_pools(locale)
    given = id_words.are_given_names(texts[:1_000], locale)
    tokens = [id_words.name_tokens(text, given=given) for text in texts]
    initials = tuple(f" {letter}." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return fit_templates(tokens, pools, min_value_count, extra=initials)


def _fit_streets(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    pools = id_words.street_pools(id_words.street_locale(texts))
    tokens = [id_words.street_tokens(text) for text in texts]
    letters = tuple(f" {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return fit_templates(tokens, pools, min_value_count, extra=letters)


def _fit_ips(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    """Fit IPv4 addresses octet by octet, with the networks that are common, or other codes."""
    if not all(_IPV4.fullmatch(text) for text in texts):
        return _fit_codes(texts, min_value_count)
    octets: Pool = tuple(map(str, range(1, 255)))
    counts = Counts(_IPV4_NETWORK.match(text)[0] for text in texts)  # type: ignore[index]
    minimum = max(min_value_count, MIN_SHARED_COUNT, MIN_SHARED_FRACTION * len(texts))
    networks: Pool = tuple(sorted(network for network, n in counts.items() if n >= minimum))
    builder = TemplateBuilder()
    dot: Pool = (".",)
    if networks:
        builder.add([networks, dot, octets, dot, octets], 1.0, 0, dot)
    used = {network.partition(".")[0] for network in networks}
    firsts = tuple(octet for octet in octets[:223] if octet not in used)
    others = [firsts, dot, octets, dot, octets, dot, octets]
    builder.add(others, 0.0 if networks else 1.0, 0, ("",))
    return builder.build()


def _fit_urls(texts: Sequence[str], min_value_count: int) -> TemplateSet:
    pools = id_words.word_pools()
    tokens = [id_words.word_tokens(text) for text in texts]
    extra: Pool = tuple(f"-{word}" for word in pools["lower-1"])
    return fit_templates(tokens, pools, min_value_count, extra=extra)


def _fit_whole(
    texts: Sequence[str], min_value_count: int, *, kind: str, extra: Pool
) -> TemplateSet:
    """Fit names of cities or companies, of which only the letter case is kept."""
    tokens = [(Token(text, id_words.case_of(text) + "-whole"),) for text in texts]
    return fit_templates(tokens, id_words.whole_pools(kind), min_value_count, extra=extra)


_FITTERS = {
    "city": partial(_fit_whole, kind="city", extra=(" East", " North", " South")),
    "company": partial(_fit_whole, kind="company", extra=(" Group", " Holding", " Partners")),
    "email": _fit_emails,
    "person": _fit_persons,
    "street": _fit_streets,
    "ip": _fit_ips,
    "url": _fit_urls,
}
