"""Guesses of what texts consist of, from a few rows."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.tabular.identifiers.kinds import is_wordy
from models.tabular.identifiers.patterns import PATTERNS
from models.tabular.identifiers.people.email_ends import EmailEnds
from models.tabular.identifiers.tokens import MIN_COVERAGE, MIN_SHARED_COUNT
from models.tabular.relations.rows import array
from models.tabular.relations.texts.codes import CodeFinder, Part, with_codes
from models.tabular.relations.texts.joined_text import REST_MARK, JoinedText
from models.tabular.relations.texts.rests import Piece, Variants, find_pieces_and_rests
from models.tabular.relations.texts.ways import (
    DATE_WAYS,
    NUMBER_WAYS,
    OPTIONAL_WAYS,
    SAME,
    TEXT_WAYS,
    WORD_WAYS,
    text_in_way,
)

ATTEMPTS, FEW_ROWS, FEW_ROWS_WITH_CODES = 8, 6, 40
MIN_PRESENT = 5  # rows with a text
_SEED = 0
MAX_STEPS = 2_000  # of the search for one column
MAX_LENGTH = 300  # of a text
MIN_WITH_BLANKS = 0.5  # of the texts of a column whose words are compared
_NUMBER = re.compile(r"[\d./#-]*\d[\d./#-]*")  # a rest; drawn words would be letter soup
_ACRONYM = re.compile(r"[A-Z]{1,4}")
_ADDRESSES = re.compile("|".join(PATTERNS[kind] for kind in ("url", "uuid", "email", "ip")))


class SampledRows:
    """A few rows of a table, from which the parts of texts are guessed.

    `coded` are the columns that may have codes in the texts, and how many values they have.
    """

    def __init__(self, rows: pa.Table, coded: Mapping[Part, int]) -> None:
        self.rows = rows
        self._coded = coded

    def guess(
        self, name: str, others: Collection[str], *, with_rest: bool, with_words: bool = False
    ) -> JoinedText | None:
        """Return what the texts of a column consist of in all of the rows, or None.

        It consists of columns in `others`, also of single words of them `with_words`. Its codes are
        those of the rows.
        """
        texts = array(self.rows, name)
        if texts.null_count:
            names = [each for each in self.rows.column_names if each == name or each in others]
            coded = {part: n for part, n in self._coded.items() if part[0] in names}
            present = SampledRows(self.rows.select(names).filter(texts.is_valid()), coded)
            if len(present.rows) < MIN_PRESENT:
                return None
            return present.guess(name, others, with_rest=with_rest, with_words=with_words)
        texts = texts.to_pylist()
        if max(map(len, texts)) > MAX_LENGTH:
            return None
        every = self._variants_with_words if with_words else self._variants
        variants = {
            part: each
            for part, each in every.items()
            if part[0] in others and all(map(str.__contains__, texts, each))
        }
        pieces = _Search(variants).match(texts)
        if pieces is not None:
            joined = _create(name, pieces)
            return joined if joined.others else None
        if not with_rest or (not variants and not self._coded):
            return None
        codes = None if any(map(_ADDRESSES.fullmatch, texts)) else self._codes
        pieces = find_pieces_and_rests(name, texts, variants, codes)
        joined = with_codes(_create(name, pieces), self.rows)
        if (
            not joined.others
            or not {*joined.others} <= {*others}
            or not joined.holds(self.rows).all()
        ):
            return None
        rests = joined.rest(self.rows).to_pylist()
        return joined if EmailEnds.fit(rests) is not None or may_be_drawn(rests) else None

    @cached_property
    def _codes(self) -> CodeFinder | None:
        return CodeFinder(self.rows, self._coded) if self._coded else None

    @cached_property
    def _variants(self) -> dict[Part, list[str]]:
        return _longest_first(_variants(self.rows))

    @cached_property
    def _variants_with_words(self) -> dict[Part, list[str]]:
        return _longest_first({**self._variants, **_words(self.rows)})


class FewRows:
    """Samples of so few rows that there is often no exception among them."""

    def __init__(self, table: pa.Table, coded: Mapping[Part, int]) -> None:
        """Draw the samples; those with rows for codes are larger."""
        rng = np.random.default_rng(_SEED)

        def draw(count: int, coded: Mapping[Part, int]) -> list[SampledRows]:
            if len(table) < count:
                return []
            chosen = (rng.choice(len(table), count, replace=False) for _ in range(ATTEMPTS))
            return [SampledRows(table.take(pa.array(rows)), coded) for rows in chosen]

        few, more = draw(FEW_ROWS, {}), draw(FEW_ROWS_WITH_CODES, coded) if coded else []
        # Texts without a rest come first. The samples compute the parts of texts once.
        self._samples = [(rows, False) for rows in few] + [(rows, True) for rows in (*few, *more)]

    def guess(
        self, name: str, others: Collection[str], *, with_words: bool = False
    ) -> Iterator[JoinedText]:
        """Yield what the texts of a column may consist of, with the codes of a few rows."""
        for sample, with_rest in self._samples:
            joined = sample.guess(name, others, with_rest=with_rest, with_words=with_words)
            if joined is not None:
                yield joined


def may_be_drawn(rests: Sequence[str]) -> bool:
    """Return True if new rests look like these: numbers and codes, next to texts that many share.

    Other words would become letter soup.
    """
    columns = list(zip(*(rest.split(REST_MARK) for rest in rests), strict=True))
    are_new = [all(map(_NUMBER.fullmatch, texts)) or _are_codes(texts) for texts in columns]
    return any(are_new) and all(
        is_new or _are_shared(texts) for is_new, texts in zip(are_new, columns, strict=True)
    )


def _are_codes(texts: Sequence[str]) -> bool:
    with_digits = sum(any(map(str.isdigit, text)) for text in texts)
    has_words = any(" " in text for text in texts) or is_wordy(texts)
    return with_digits >= MIN_COVERAGE * len(texts) and not has_words


def _are_shared(texts: Sequence[str]) -> bool:
    """Return True for acronyms, and if many rows have nearly each of the texts."""
    if all(map(_ACRONYM.fullmatch, texts)):
        return True
    counts = Counter(texts).values()
    least = min(MIN_SHARED_COUNT, len(texts) / 3)
    return sum(n for n in counts if n >= least) >= MIN_COVERAGE * len(texts)


def _variants(sample: pa.Table) -> dict[Part, list[str]]:
    """Return the texts of each column in each way, without constant and missing ones."""
    variants: dict[Part, list[str]] = {}
    for name in sample.column_names:
        values = array(sample, name)
        if values.null_count and not pa.types.is_string(values.type):
            continue
        ways = [way for way in TEXT_WAYS if way not in WORD_WAYS]
        ways = ways if pa.types.is_string(values.type) else [SAME]
        ways += NUMBER_WAYS if pa.types.is_integer(values.type) else ()
        ways = [way for way in ways if (way in OPTIONAL_WAYS) == (values.null_count > 0)]
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            ways += DATE_WAYS
        seen: list[list[str]] = []
        for way in ways:
            texts = text_in_way(values, way).to_pylist()
            if texts not in seen and len(set(texts)) > 1:
                variants[name, way] = texts
                seen.append(texts)
    return variants


def _words(sample: pa.Table) -> dict[Part, list[str]]:
    """Return words of each column without missing texts, most of which have several words."""
    variants: dict[Part, list[str]] = {}
    for name in sample.column_names:
        values = array(sample, name)
        if pa.types.is_string(values.type) and not values.null_count and have_words(values):
            for way in sorted(WORD_WAYS):
                texts = text_in_way(values, way).to_pylist()
                if len(set(texts)) > 1:
                    variants[name, way] = texts
    return variants


def have_words(values: pa.Array) -> bool:
    """Return True if most texts have several words, as names of people do."""
    if not pa.types.is_string(values.type) or values.null_count == len(values):
        return False
    return bool(pc.mean(pc.match_substring(values, " ")).as_py() > MIN_WITH_BLANKS)


def _longest_first(variants: Variants) -> dict[Part, list[str]]:
    ordered = sorted(variants.items(), key=lambda item: -sum(map(len, item[1])))
    return {part: list(texts) for part, texts in ordered}


class _Search:
    """A search for the pieces of texts, from left to right."""

    def __init__(self, variants: Variants) -> None:
        self._variants = variants
        self._steps = 0

    def match(self, rest: Sequence[str]) -> list[Piece] | None:
        """Return the pieces of all texts, or None."""
        self._steps += 1
        if not any(rest):
            return []
        if self._steps > MAX_STEPS or not all(rest):
            return None
        for part, texts in self._variants.items():
            if all(map(str.startswith, rest, texts)):
                pieces = self.match(_without(rest, texts))
                if pieces is not None:
                    return [part, *pieces]
        if len({text[0] for text in rest}) > 1:
            return None
        pieces = self.match([text[1:] for text in rest])
        return None if pieces is None else [rest[0][0], *pieces]


def _without(texts: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    return [text[len(begin) :] for text, begin in zip(texts, beginnings, strict=True)]


def _create(name: str, pieces: Sequence[Piece]) -> JoinedText:
    literals = [""]
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, str):
            literals[-1] += piece
        else:
            parts.append(piece)
            literals.append("")
    return JoinedText(
        name, tuple(part[0] for part in parts), tuple(part[1] for part in parts), tuple(literals)
    )
