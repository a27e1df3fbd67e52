"""Texts that consist of those of other columns, such as full names, e-mails and coordinates.

They are not learned: samples join the texts of their rows. Parts of an identifier may be rests that
no column determines, such as the last digits of `2023-00017` and the domain of an e-mail address;
these are drawn as other identifiers are.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text
from models.tabular.relations.rows import Rows, array
from models.tabular.relations.texts.ways import CODE, PART_PATTERNS, REST, WHOLE_WAYS, text_in_way

REST_MARK = "\ue000"  # between several rests of a text; a character of private use
_RUN = r"[^\W\d_]+|\d+"  # a code before the texts that have one are known


@dataclass(frozen=True)
class JoinedText:
    """`column` as the texts of `sources`, each in one of `ways`, between constant `literals`.

    A source with the way REST is `column` itself: what is drawn for it is a part of the text, or
    several parts with REST_MARK between them. A way that begins with CODE means codes such as
    `FUR` of `Furniture`: `codes` has, for each source, those of the texts in the rest of the way.
    """

    column: str
    sources: tuple[str, ...]
    ways: tuple[str, ...]
    literals: tuple[str, ...]  # before, between and after the sources
    codes: tuple[Mapping[str, str], ...] = ()

    @property
    def others(self) -> list[str]:
        """Return the sources without the column itself."""
        return [source for source in dict.fromkeys(self.sources) if source != self.column]

    @property
    def has_rest(self) -> bool:
        return REST in self.ways

    def has_new_part(self, identifiers: Collection[str]) -> bool:
        """Return True if a whole identifier of another column, which is new, is a part."""
        parts = zip(self.sources, self.ways, strict=True)
        return any(source in identifiers and way in WHOLE_WAYS for source, way in parts)

    @property
    def name(self) -> str:
        """Return a formula that identifies the relation in a table."""
        return f"{' & '.join(self.others)} {'in' if self.has_rest else '='} {self.column}"

    def compute(self, rows: Rows) -> pa.Array:
        """Return the texts; null where a source is missing.

        What is drawn for several rests has marks between them; other texts are given ones and stay.
        """
        count = self.ways.count(REST)
        if not count:
            return self._join(rows, 0, len(self.sources))
        drawn = as_text(array(rows, self.column))
        if count == 1:
            return self._join(rows, 0, len(self.sources), iter([drawn]))
        has_marks = pc.equal(pc.count_substring(drawn, REST_MARK), count - 1)
        marked = pc.if_else(has_marks, drawn, REST_MARK * (count - 1))
        parts = pc.split_pattern(marked, REST_MARK)
        rests = (pc.list_element(parts, i) for i in range(count))
        return pc.if_else(has_marks, self._join(rows, 0, len(self.sources), rests), drawn)

    def _join(
        self, rows: Rows, start: int, end: int, rests: Iterator[pa.Array] | None = None
    ) -> pa.Array:
        """Return the texts of the sources from `start` to `end` and the literals around them."""
        pieces: list[Any] = [pa.array([self.literals[start]] * len(rows))]
        for i in range(start, end):
            if self.ways[i] == REST and rests is not None:
                text = next(rests)
            else:
                text = self.part(i, array(rows, self.sources[i]))
            pieces += [text, self.literals[i + 1]]
        return pc.binary_join_element_wise(*pieces, "")

    def part(self, index: int, values: pa.Array) -> pa.Array:
        """Return the texts of values of the source `index` as they are in the joined text."""
        way = self.ways[index]
        if not way.startswith(CODE):
            return text_in_way(values, way)
        codes = self.codes[index]
        if not codes:
            return pa.nulls(len(values), pa.string())
        ordered = sorted(codes)
        encoded = text_in_way(values, way.removeprefix(CODE)).dictionary_encode()
        texts = [
            codes.get(text) or codes[ordered[max(0, bisect_right(ordered, text) - 1)]]
            for text in encoded.dictionary.to_pylist()
        ]  # a month that no row has gets the code of an earlier one
        return pa.array(texts, pa.string()).take(encoded.indices)

    def rest(self, rows: Rows) -> pa.Array:
        """Return what the sources do not determine; null where the text has another form."""
        at = [i for i, way in enumerate(self.ways) if way == REST]
        ends = zip([-1, *at], [*at, len(self.sources)], strict=True)
        chunks = [self._join(rows, start + 1, end).to_pylist() for start, end in ends]
        texts = as_text(array(rows, self.column)).to_pylist()
        parts = zip(texts, *chunks, strict=True)
        return pa.array([_between(*each) for each in parts], pa.string())

    def rests(self, rows: Rows) -> pa.Array:
        """Return the rests of the rows with a text, without those of another form."""
        rests = self.rest(rows)
        is_exception = pc.and_(rests.is_null(), array(rows, self.column).is_valid())
        return rests.filter(pc.invert(is_exception))

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows whose text follows; missing values satisfy the relation."""
        texts = as_text(array(rows, self.column))
        if self.has_rest:
            is_missing = texts.is_null()
            for name in self.others:
                is_missing = pc.or_(is_missing, array(rows, name).is_null())
            mask = pc.or_(self.rest(rows).is_valid(), is_missing)
        else:
            mask = pc.equal(self.compute(rows), texts).fill_null(True)
        return np.asarray(mask.to_numpy(zero_copy_only=False), bool)

    def split(self, text: str, texts: Sequence[str | None]) -> tuple[str, ...] | None:
        """Return the part of each source in `text`; None if it has another form.

        `texts` are those of the sources in their ways, or None where no text is given.
        """
        pattern = re.escape(self.literals[0])
        for i, given in enumerate(texts):
            part = self._pattern(i) if given is None else re.escape(given)
            pattern += f"({part}){re.escape(self.literals[i + 1])}"
        match = re.fullmatch(pattern, text, re.DOTALL)
        return None if match is None else match.groups()

    def _pattern(self, index: int) -> str:
        if not self.ways[index].startswith(CODE):
            return PART_PATTERNS.get(self.ways[index], ".+?")
        codes = set(self.codes[index].values()) if self.codes else ()
        return "|".join(map(re.escape, sorted(codes, key=len, reverse=True))) or _RUN

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        columns = [*self.others, self.column]
        return {"name": self.name, "kind": "joined_text", "columns": columns}

    def pack(self) -> dict[str, Any]:
        packed = asdict(self)
        return packed if self.codes else {k: v for k, v in packed.items() if k != "codes"}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        names = ("sources", "ways", "literals", "codes")
        tuples = {name: tuple(packed[name]) for name in names if name in packed}
        return cls(packed["column"], **tuples)


def _between(text: str | None, *chunks: str | None) -> str | None:
    """Return what is between the chunks, which a text contains in this order; None if it is not."""
    if text is None or None in chunks:
        return None
    begin, *inner, end = cast("tuple[str, ...]", chunks)
    if len(text) <= len(begin) + len(end) or not text.startswith(begin) or not text.endswith(end):
        return None
    rest, rests = text[len(begin) : len(text) - len(end)], []
    for chunk in inner:
        at = rest.find(chunk, 1)
        if at < 0:
            return None
        rests.append(rest[:at])
        rest = rest[at + len(chunk) :]
    return REST_MARK.join([*rests, rest]) if rest else None


def add_joined_texts(
    rows: pa.RecordBatch, joined_texts: Sequence[JoinedText], schema: pa.Schema
) -> pa.RecordBatch:
    """Return the rows with the texts all of whose sources they have, in the order of `schema`."""
    arrays = dict(zip(rows.schema.names, rows.columns, strict=True))
    for joined in joined_texts:
        if arrays.keys() >= set(joined.sources):
            arrays[joined.column] = joined.compute(pa.RecordBatch.from_pydict(arrays))
    fields = [field for field in schema if field.name in arrays]
    return pa.RecordBatch.from_arrays(
        [arrays[field.name] for field in fields], schema=pa.schema(fields)
    )
