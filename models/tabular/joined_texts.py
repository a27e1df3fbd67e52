"""Texts that consist of those of other columns, such as full names, e-mails and coordinates.

They are neither learned nor drawn on their own: samples join the texts of their rows.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text
from models.tabular.discrete_relations import MAX_LOOKUP_SHARE
from models.tabular.relations import Rows, array

MIN_ROWS = 20  # with a value
EXAMINED_ROWS = 100  # yield the parts, which are then checked on all rows
MAX_COLUMNS = 60  # whose texts are compared
MAX_STEPS = 2_000  # of the search for one column
MAX_LENGTH = 300  # of a text
WAYS = {
    "same": lambda texts: texts,
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "initial": lambda texts: pc.utf8_slice_codeunits(texts, 0, 1),
    "lower_initial": lambda texts: pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 1)),
}


@dataclass(frozen=True)
class JoinedText:
    """`column` as the texts of `sources`, each in one of WAYS, between constant `literals`."""

    column: str
    sources: tuple[str, ...]
    ways: tuple[str, ...]
    literals: tuple[str, ...]  # before, between and after the sources

    @property
    def name(self) -> str:
        """Return a formula that identifies the relation in a table."""
        return f"{' & '.join(self.sources)} = {self.column}"

    def compute(self, rows: Rows) -> pa.Array:
        """Return the texts; null where a source is missing."""
        texts = [
            WAYS[way](as_text(array(rows, source)))
            for source, way in zip(self.sources, self.ways, strict=True)
        ]
        first, *others = self.literals
        pieces: list[Any] = [first]
        for text, literal in zip(texts, others, strict=True):
            pieces += [text, literal]
        return pc.binary_join_element_wise(*pieces, "")

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows whose text, or lack of one, follows from the sources."""
        computed, texts = self.compute(rows), as_text(array(rows, self.column))
        equal = pc.equal(computed, texts).fill_null(False)
        mask = pc.or_(equal, pc.and_(computed.is_null(), texts.is_null()))
        return np.asarray(mask.to_numpy(zero_copy_only=False), bool)

    def split(self, text: str) -> dict[str, str] | None:
        """Return the sources whose texts `text` has unchanged; None if it has another form."""
        first, *others = map(re.escape, self.literals)
        pattern = first + "".join(f"(.+?){literal}" for literal in others)
        match = re.fullmatch(pattern, text, re.DOTALL)
        if match is None:
            return None
        parts = zip(self.sources, self.ways, match.groups(), strict=True)
        return {source: part for source, way, part in parts if way == "same"}

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        columns = [*self.sources, self.column]
        return {"name": self.name, "kind": "joined_text", "columns": columns}

    def pack(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        tuples = {name: tuple(packed[name]) for name in ("sources", "ways", "literals")}
        return cls(packed["column"], **tuples)


def find_joined_texts(
    table: pa.Table,
    types: Mapping[str, str],
    fixed: Collection[str] = (),
    *,
    min_value_count: int = 0,
) -> list[JoinedText]:
    """Return the texts that consist of other columns in all rows, sources first.

    `types` are those of the columns by name. Columns in `fixed` are not joined, and neither are
    categories that many rows share, because these determine their parts (see `find_lookups`). At
    least `min_value_count` rows have the literals.
    """
    found: list[JoinedText] = []
    for name, type in types.items():
        if name in fixed or not _may_be_joined(type, array(table, name)):
            continue
        present = np.flatnonzero(array(table, name).is_valid().to_numpy(zero_copy_only=False))
        if len(present) < max(MIN_ROWS, min_value_count):
            continue
        chosen = np.random.default_rng(0).permutation(present)[:EXAMINED_ROWS]
        others = [other for other in types if other != name and not _depends(found, other, name)]
        sample = table.select([name, *others[:MAX_COLUMNS]]).take(pa.array(chosen))
        texts = array(sample, name).to_pylist()
        if max(map(len, texts)) > MAX_LENGTH:
            continue
        search = _Search(_variants(sample.drop_columns([name])))
        pieces = search.match(texts)
        if pieces is None or not search.sources(pieces):
            continue
        joined = search.create(name, pieces)
        if joined.holds(table).all():
            found.append(joined)
    return _sources_first(found)


def _may_be_joined(type: str, values: pa.Array) -> bool:
    if not pa.types.is_string(values.type) or type not in ("id", "category"):
        return False
    return type == "id" or pc.count_distinct(values).as_py() > MAX_LOOKUP_SHARE * len(values)


def _depends(found: Sequence[JoinedText], name: str, source: str) -> bool:
    """Return True if column `name` is `source` or consists of it."""
    joined = next((each for each in found if each.column == name), None)
    return name == source or (
        joined is not None and any(_depends(found, other, source) for other in joined.sources)
    )


def _sources_first(found: Iterable[JoinedText]) -> list[JoinedText]:
    ordered: list[JoinedText] = []
    waiting = list(found)
    while waiting:
        names = {each.column for each in waiting}
        ready = [each for each in waiting if not names & set(each.sources)]
        ordered += ready
        waiting = [each for each in waiting if each not in ready]
    return ordered


Piece = str | tuple[str, str]  # a literal character, or a column and its way


def _variants(sample: pa.Table) -> dict[tuple[str, str], list[str]]:
    """Return the texts of each column in each way, without constant and missing ones."""
    variants: dict[tuple[str, str], list[str]] = {}
    for name in sample.column_names:
        values = array(sample, name)
        if values.null_count:
            continue
        seen: list[list[str]] = []
        for way in WAYS if pa.types.is_string(values.type) else ["same"]:
            texts = WAYS[way](as_text(values)).to_pylist()
            if texts not in seen and len(set(texts)) > 1:
                variants[name, way] = texts
                seen.append(texts)
    return variants


class _Search:
    """A search for the pieces of texts, from left to right, the longest columns first."""

    def __init__(self, variants: Mapping[tuple[str, str], list[str]]) -> None:
        by_length = sorted(variants.items(), key=lambda item: -sum(map(len, item[1])))
        self._variants = dict(by_length)
        self._steps = 0

    def match(self, rest: list[str]) -> list[Piece] | None:
        """Return the pieces of all texts, or None."""
        self._steps += 1
        if not any(rest):
            return []
        if self._steps > MAX_STEPS or not all(rest):
            return None
        for key, texts in self._variants.items():
            if all(map(str.startswith, rest, texts)):
                shorter = [r[len(text) :] for r, text in zip(rest, texts, strict=True)]
                if (pieces := self.match(shorter)) is not None:
                    return [key, *pieces]
        if len({text[0] for text in rest}) > 1:
            return None
        pieces = self.match([text[1:] for text in rest])
        return None if pieces is None else [rest[0][0], *pieces]

    @staticmethod
    def sources(pieces: Iterable[Piece]) -> list[tuple[str, str]]:
        return [piece for piece in pieces if isinstance(piece, tuple)]

    def create(self, name: str, pieces: Sequence[Piece]) -> JoinedText:
        literals = [""]
        for piece in pieces:
            if isinstance(piece, str):
                literals[-1] += piece
            else:
                literals.append("")
        columns, ways = zip(*self.sources(pieces), strict=True)
        return JoinedText(name, columns, ways, tuple(literals))
