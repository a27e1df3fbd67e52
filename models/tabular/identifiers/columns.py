"""Identifier columns: only their form is learned, and samples get new unique values."""

import re
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self
from unicodedata import normalize
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.noise import uniforms
from models.tabular.identifiers.date_texts import Dates
from models.tabular.identifiers.keyed_values import KeyedValues
from models.tabular.identifiers.kinds import FITTERS, fit_codes
from models.tabular.identifiers.lists import Lists
from models.tabular.identifiers.missing_identifiers import MissingWith
from models.tabular.identifiers.other_texts import OtherTexts
from models.tabular.identifiers.people.email_ends import EmailEnds
from models.tabular.identifiers.places.city_regions import fit_cities_in_regions
from models.tabular.identifiers.places.place_ends import PlaceEnds
from models.tabular.identifiers.places.region_shapes import RegionShapes
from models.tabular.identifiers.places.regions import RegionPrefixes
from models.tabular.identifiers.quantities import Quantities
from models.tabular.identifiers.restarting_numbers import RestartingNumbers
from models.tabular.identifiers.templates import Counter, TemplateSet
from models.tabular.identifiers.things.numbered import numbered_names
from models.tabular.identifiers.tokens import MAX_SHAPES, MIN_COVERAGE, MIN_SHARED_COUNT
from models.tabular.identifiers.words.words import case_of

MAX_EXAMINED_VALUES = 10_000
MIN_SCATTERED = 20  # fewer numbers are continued rather than scattered
MAX_GAP = 20  # of consecutive numbers, on average
MAX_DENSE_GAP = 1.5  # of numbers that certainly count up
MAX_GROUP_GAP = 2  # the same if the numbers after each text are counted separately
MAX_DIGITS = 18
NUM_EXAMPLES = 100  # of new values, some of which may be missing
NEAR_VALUES = 32  # values that rows near each other share
_INTEGER_LIMITS = [2**bits for bits in (7, 8, 15, 16, 31, 32, 63)]
_UNCOUNTED = frozenset(["street", "person", "ip"])  # kinds whose numbers do not count up
_KEY_SEED = 0  # a key has the same identifier in all samples
_STREAMS = 2**31  # streams of identifiers begin here; see models.noise
_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<digits>[0-9]+)(?P<suffix>[^0-9]*)", re.DOTALL)


Source = Counter | TemplateSet | Quantities | Lists | Dates | EmailEnds


@dataclass(frozen=True)
class IdColumn:
    """An identifier column: consecutive numbers, texts from templates, and others.

    `missing` is the share of missing values. `rows_per_value` is how many rows share a value on
    average. `prefixes` and `shapes` are the beginnings and shapes of postal codes by region, and
    `ends` those of places. `numbers` are the ranges of numbers that restart.
    `missing_with` is the column that shows in which rows the identifier is missing, and `keyed` the
    one that determines it. `others` are texts of another kind.
    """

    name: str
    arrow: pa.DataType
    missing: float
    source: Source
    rows_per_value: int = 1
    prefixes: RegionPrefixes | None = None
    shapes: RegionShapes | None = None
    missing_with: MissingWith | None = None
    others: OtherTexts | None = None
    keyed: KeyedValues | None = None
    ends: PlaceEnds | None = None
    numbers: RestartingNumbers | None = None

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
        what the values are, such as `email`; see `id_kinds.FITTERS`.
        """
        missing = values.null_count / max(1, len(values))
        present = values.drop_null()
        texts = _examined_texts(present)
        others = None
        if pa.types.is_string(present.type):
            others, other_texts = OtherTexts.fit(name, texts, kind, min_value_count)
            if other_texts:
                texts = [text for text in texts if text not in other_texts]
                is_other = pc.is_in(present, value_set=pa.array(sorted(other_texts)))
                present = present.filter(pc.invert(is_other))
        source = _fit_source(name, present, texts, min_value_count, kind)
        distinct = pc.count_distinct(present).as_py()
        rows_per_value = 1 if min_value_count else round(len(present) / max(1, distinct))
        return cls(name, arrow, missing, source, max(1, rows_per_value), others=others)

    def values(self, seed: int, indices: NDArray[np.int64]) -> pa.Array:
        """Return one value for each index; quantities, lists, dates and ends may repeat."""
        stream = _STREAMS + (crc32(self.name.encode()) >> 1)
        texts = self.source.texts(seed, stream, self._shared(seed, stream, indices))
        if self.others is not None:
            texts = self.others.replace_some(texts, seed, stream, indices)
        missing = self.missing_with.others if self.missing_with else self.missing
        if missing:
            is_missing = uniforms(seed, indices, 1, stream)[:, 0] < missing
            texts = pc.if_else(pa.array(is_missing), pa.scalar(None, pa.string()), texts)
        return texts.cast(self.arrow)

    @property
    def depends_on_rows(self) -> bool:
        parts = (
            self.prefixes, self.shapes, self.missing_with, self.keyed, self.ends, self.numbers
        )  # fmt: skip
        return any(each is not None for each in parts)

    @property
    def kept_words(self) -> frozenset[str]:
        """Words of the table that stay, which are not identifiers."""
        return frozenset(self.others.words) if self.others is not None else frozenset()

    def match_rows(self, values: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the values that fit the other columns of their rows.

        Postal codes have the shapes and the beginnings of the regions, places have their ends, and
        rows of one key have the same value.
        """
        if self.keyed is not None:
            values = self._of_keys(self.keyed.positions(rows), values)
        if self.missing_with is not None:
            values = self.missing_with.apply(values, rows)
        drawn = values
        if self.shapes is not None:
            values = self.shapes.replace_shapes(values, rows)
        if self.prefixes is not None:
            values = self.prefixes.replace_beginnings(values, rows)
        if self.ends is not None:
            values = self.ends.replace_ends(values, rows)
        if self.numbers is not None:
            values = self.numbers.within(values, rows)
        if self.others is not None:
            is_word = pc.is_in(drawn, value_set=pa.array(sorted(self.kept_words), pa.string()))
            values = pc.if_else(is_word, drawn, values)
        return values

    def _of_keys(self, positions: pa.Int64Array, drawn: pa.Array) -> pa.Array:
        """Return the value of each row's key, and where it has none, the one that was drawn."""
        keys, rows = np.unique(positions.fill_null(-1).to_numpy(), return_inverse=True)
        unkeyed = replace(self, rows_per_value=1, keyed=None)
        values = unkeyed.values(_KEY_SEED, np.maximum(keys, 0))
        return pc.if_else(positions.is_valid(), values.take(pa.array(rows)), drawn)

    @cached_property
    def letter_case(self) -> str | None:
        """`upper`, `title` or `lower`, as in most new values; None if these are missing."""
        examples = self.values(0, np.arange(NUM_EXAMPLES)).drop_null().cast(pa.string())
        cases = Counts(map(case_of, examples.to_pylist()))
        return cases.most_common(1)[0][0] if cases else None

    def _shared(self, seed: int, stream: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the index of the value of each row: rows that are near each other share values."""
        if self.rows_per_value == 1:
            return indices
        first = indices // (NEAR_VALUES * self.rows_per_value) * NEAR_VALUES
        chosen = uniforms(seed, indices, 2, stream)[:, 1] * NEAR_VALUES
        return np.asarray(first + chosen.astype(np.int64))

    def to_json(self) -> dict[str, Any]:
        rows = self.rows_per_value
        shared = {"rows_per_value": rows} if rows > 1 else {}
        regional = {"regions": self.prefixes.to_json()} if self.prefixes else {}
        shapes = {"region_shapes": self.shapes.to_json()} if self.shapes else {}
        missing_with = {"missing_with": self.missing_with.to_json()} if self.missing_with else {}
        others = {"others": self.others.to_json()} if self.others else {}
        keyed = {"keyed": self.keyed.to_json()} if self.keyed else {}
        ends = {"place_ends": self.ends.to_json()} if self.ends else {}
        numbers = {"restarting_numbers": self.numbers.to_json()} if self.numbers else {}
        parts = {
            **missing_with, **shared, **regional, **shapes, **others, **keyed, **ends, **numbers
        }  # fmt: skip
        return {"missing": self.missing, **parts, **self.source.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], arrow: pa.DataType) -> Self:
        source_type = next((each for key, each in _SOURCES.items() if key in fields), TemplateSet)
        source = source_type.from_json(fields)
        rows_per_value = fields.get("rows_per_value", 1)
        regions = fields.get("regions")
        prefixes = RegionPrefixes.from_json(regions) if regions else None
        region_shapes = fields.get("region_shapes")
        shapes = RegionShapes.from_json(region_shapes) if region_shapes else None
        missing_with = fields.get("missing_with")
        others, keyed = fields.get("others"), fields.get("keyed")
        ends, numbers = fields.get("place_ends"), fields.get("restarting_numbers")
        return cls(
            fields["name"],
            arrow,
            fields["missing"],
            source,
            rows_per_value,
            prefixes,
            shapes,
            MissingWith.from_json(missing_with) if missing_with else None,
            OtherTexts.from_json(others) if others else None,
            KeyedValues.from_json(keyed) if keyed else None,
            PlaceEnds.from_json(ends) if ends else None,
            RestartingNumbers.from_json(numbers) if numbers else None,
        )


_SOURCES: dict[str, type[Counter | Quantities | Lists | Dates | EmailEnds]] = {
    "counter": Counter,
    "quantities": Quantities,
    "lists": Lists,
    "dates": Dates,
    "email_ends": EmailEnds,
}


def _fit_source(
    name: str, present: pa.Array, texts: Sequence[str], min_value_count: int, kind: str | None
) -> Source:
    """Return the first source that fits the values; `texts` are those that are examined."""
    kind = kind if texts else None  # a column without values has no form
    if kind == "quantity" and not min_value_count:
        quantities = Quantities.fit(texts)
        if quantities.shapes:
            return quantities
    elif kind == "email_end" and (ends := EmailEnds.fit(texts)) is not None:
        return ends
    elif kind not in _UNCOUNTED and (counter := _counter(present, texts, min_value_count)):
        return counter
    if kind is None and texts and pa.types.is_string(present.type):
        if not min_value_count and (source := Dates.fit(texts) or fit_cities_in_regions(texts)):
            return source
        if (lists := Lists.fit(texts, min_value_count)) is not None:
            return lists
    fitter = FITTERS.get(kind or "", fit_codes)
    return fitter(texts, min_value_count) or numbered_names(name, texts)


def _examined_texts(present: pa.Array) -> list[str]:
    step = max(1, len(present) // MAX_EXAMINED_VALUES)
    examined = present.take(pa.array(np.arange(0, len(present), step)))
    return [normalize("NFC", text) for text in examined.cast(pa.string()).to_pylist()]


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
    if _is_scattered(numbers) or _are_repeated_years(numbers):
        return None
    if len(ends) > 1 and not _count_up(matches, ends):
        return None  # such as jsmith17: suffixes, which would become longer
    if len(ends) > 1 and len({len(number) for number in digits}) == 1:
        return None  # such as 43-5052: parts of codes, which would become longer
    if is_padded and numbers.max() > 0.5 * 10 ** len(digits[0]) and not _are_dense(numbers):
        return None  # codes such as 074 and 826, which would become longer
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


def _are_dense(numbers: NDArray[np.int64]) -> bool:
    return bool(numbers.max() - numbers.min() < MAX_DENSE_GAP * len(numbers))


def _count_up(matches: Sequence[re.Match[str]], ends: Mapping[tuple[str, str], int]) -> bool:
    """Return True if the numbers between the same texts, or all of them, have few gaps."""
    numbers = defaultdict[tuple[str, str], set[int]](set)
    for match in matches:
        numbers[match["prefix"], match["suffix"]].add(int(match["digits"]))
    groups = [numbers[end] for end in ends]
    if sum(map(len, groups)) == len(set[int]().union(*groups)):
        return True  # one counter for all
    spans = sum(max(group) - min(group) + 1 for group in groups)
    return spans <= MAX_GROUP_GAP * sum(map(len, groups))


def _are_repeated_years(numbers: NDArray[np.int64]) -> bool:
    """Return True for the years in names such as Emma (1996), which do not count up."""
    are_years = numbers.min() >= 1500 and numbers.max() < 2200
    return bool(are_years and 2 * len(np.unique(numbers)) < len(numbers))


def _first_free(numbers: NDArray[np.int64], min_value_count: int) -> int:
    """Return the first number for new values; see `IdColumn.fit`."""
    if not min_value_count:
        return int(numbers.max()) + 1
    # At least `min_value_count` rows reach this value.
    reached = int(np.sort(numbers)[max(0, len(numbers) - min_value_count)])
    return int(10 ** len(str(max(reached, 0))))
