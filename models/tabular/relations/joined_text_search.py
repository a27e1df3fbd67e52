"""Search for texts that consist of those of other columns."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.identifiers.email_ends import EmailEnds
from models.tabular.relations.discrete_relations import MAX_LOOKUP_SHARE
from models.tabular.relations.joined_texts import (
    DATE_WAYS,
    OPTIONAL_WAYS,
    REST,
    SAME,
    TEXT_WAYS,
    WHOLE_WAYS,
    JoinedText,
    text_in_way,
)
from models.tabular.relations.relation import array
from models.tabular.relations.screened_numbers import MIN_EVIDENCE_BITS

MIN_ROWS = 20  # with a value
SAMPLED_ROWS = 1_000  # of which those with the fewest missing values are examined
EXAMINED_ROWS = 100  # yield the parts, which are then checked on all rows
ATTEMPTS = 3  # each with rows that contradict the one before
MAX_COLUMNS = 60  # whose texts are compared
MAX_STEPS = 2_000  # of the search for one column
MAX_LENGTH = 300  # of a text
MIN_NULLS_AGREE = 0.9  # of the rows lack both the text and one of its sources, or neither
_NUMBER = re.compile(r"[\d./#-]*\d[\d./#-]*")  # a rest; drawn letters would be letter soup

Part = tuple[str, str]  # a column and its way
Piece = str | Part  # or a literal character
Variants = Mapping[Part, Sequence[str]]  # the texts of the examined rows


def find_joined_texts(
    table: pa.Table,
    types: Mapping[str, str],
    fixed: Collection[str] = (),
    *,
    min_value_count: int = 0,
) -> list[JoinedText]:
    """Return the texts that consist of other columns in all rows, sources first.

    `types` are those of the columns by name. Columns in `fixed` are not joined, and neither are
    categories that many rows share, because these determine their parts (see `find_lookups`).
    Identifiers are joined only if a part of them is new in samples: a name that consists of two
    learned ones would often be that of a person in the table. At least `min_value_count` rows have
    the literals.
    """
    joined_texts: list[JoinedText] = []
    for name, type in types.items():
        if name in fixed or not _may_be_joined(type, array(table, name)):
            continue
        present = np.flatnonzero(array(table, name).is_valid().to_numpy(zero_copy_only=False))
        if len(present) < max(MIN_ROWS, min_value_count):
            continue
        others = [other for other in types if not _consists_of(joined_texts, other, name)]
        candidates = table.select([name, *others[:MAX_COLUMNS]])
        joined = _find(name, candidates, present, types, min_value_count)
        if joined is not None and _is_evident(joined, table):
            joined_texts.append(joined)
    return _sources_first(joined_texts)


def _find(
    name: str,
    table: pa.Table,
    present: NDArray[np.int64],
    types: Mapping[str, str],
    min_value_count: int,
) -> JoinedText | None:
    """Return what the texts of a column consist of in all rows, or None.

    `present` are the rows with a text.
    """
    sample = _examined_rows(table.take(pa.array(_shuffled(present)[:SAMPLED_ROWS])))
    joined = None
    for _ in range(ATTEMPTS):
        joined = guess_joined_text(
            name, sample, with_rest=types[name] == "id" and not min_value_count
        )
        if joined is None:
            return None
        if types[name] == "id" and not _has_new_part(joined, table, types):
            return None
        has_sources = _has_sources(joined, table)[present]
        if has_sources.mean() >= MIN_NULLS_AGREE:
            has_sources[:] = True  # a few missing ones do not matter
        contradicting = present[~(joined.holds(table)[present] & has_sources)]
        if not len(contradicting):
            return joined
        rows = _examined_rows(table.take(pa.array(contradicting[:SAMPLED_ROWS])))
        half = EXAMINED_ROWS // 2
        sample = pa.concat_tables([rows.slice(0, half), sample.slice(0, half)])
    return joined if joined is not None and joined.holds(table).all() else None


def guess_joined_text(name: str, sample: pa.Table, *, with_rest: bool) -> JoinedText | None:
    """Return what the texts of a column consist of in all rows of a sample, which all have one."""
    texts = array(sample, name).to_pylist()
    if max(map(len, texts)) > MAX_LENGTH:
        return None
    variants = _variants(sample.drop_columns([name]))
    pieces = _Search(variants).match(texts)
    if pieces is None and with_rest:
        pieces = _with_rest(name, texts, variants)
    joined = None if pieces is None else _create(name, pieces)
    return joined if joined is not None and joined.others else None


def _has_sources(joined: JoinedText, table: pa.Table) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows that have all sources, except for optional ones."""
    parts = zip(joined.sources, joined.ways, strict=True)
    needed = {source for source, way in parts if way not in OPTIONAL_WAYS}
    mask = np.ones(len(table), bool)
    for name in needed:
        mask &= array(table, name).is_valid().to_numpy(zero_copy_only=False)
    return mask


def _shuffled(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(indices)


def _examined_rows(rows: pa.Table) -> pa.Table:
    """Return the rows with the fewest missing values."""
    missing = [
        array(rows, name).is_null().to_numpy(zero_copy_only=False) for name in rows.column_names
    ]
    order = np.argsort(np.sum(missing, axis=0), kind="stable")
    return rows.take(pa.array(order[:EXAMINED_ROWS]))


def _may_be_joined(type: str, values: pa.Array) -> bool:
    if not pa.types.is_string(values.type) or type not in ("id", "category"):
        return False
    return type == "id" or pc.count_distinct(values).as_py() > MAX_LOOKUP_SHARE * len(values)


def _has_new_part(joined: JoinedText, table: pa.Table, types: Mapping[str, str]) -> bool:
    """Return True if samples have new values of a part of the text.

    A rest is new if it is a number and next to whole texts. The domain of an e-mail address is not
    new, and a number next to initials may belong to a real user name.
    """
    others = {name for name, type in types.items() if type == "id" and name != joined.column}
    if joined.has_new_part(others):
        return True
    parts = list(zip(joined.sources, joined.ways, strict=True))
    if joined.has_rest:
        is_whole = all(way in WHOLE_WAYS or way == REST for _, way in parts)
        return is_whole and all(map(_NUMBER.fullmatch, _rests(joined, table)))
    return any(_is_new(table, types, *part) for part in parts)


def _rests(joined: JoinedText, table: pa.Table) -> list[str]:
    rests: list[str] = joined.rest(table.slice(0, EXAMINED_ROWS)).drop_null().to_pylist()
    return rests


def _is_new(table: pa.Table, types: Mapping[str, str], name: str, way: str) -> bool:
    if types[name] not in ("integer", "number", "datetime"):
        return False
    texts = text_in_way(array(table, name), way)
    return bool(pc.count_distinct(texts).as_py() > MAX_LOOKUP_SHARE * len(table))


def _consists_of(joined_texts: Sequence[JoinedText], name: str, source: str) -> bool:
    """Return True if column `name` is `source` or consists of it."""
    joined = next((each for each in joined_texts if each.column == name), None)
    return name == source or (
        joined is not None
        and any(_consists_of(joined_texts, other, source) for other in joined.others)
    )


def _sources_first(joined_texts: Iterable[JoinedText]) -> list[JoinedText]:
    ordered: list[JoinedText] = []
    waiting = list(joined_texts)
    while waiting:
        names = {each.column for each in waiting}
        ready = [each for each in waiting if not names & set(each.others)]
        ordered += ready
        waiting = [each for each in waiting if each not in ready]
    return ordered


def _variants(sample: pa.Table) -> dict[Part, list[str]]:
    """Return the texts of each column in each way, without constant and missing ones.

    The longest texts come first.
    """
    variants: dict[Part, list[str]] = {}
    for name in sample.column_names:
        values = array(sample, name)
        if values.null_count and not pa.types.is_string(values.type):
            continue
        ways = list(TEXT_WAYS) if pa.types.is_string(values.type) else [SAME]
        ways = [way for way in ways if (way in OPTIONAL_WAYS) == (values.null_count > 0)]
        if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
            ways += DATE_WAYS
        seen: list[list[str]] = []
        for way in ways:
            texts = text_in_way(values, way).to_pylist()
            if texts not in seen and len(set(texts)) > 1:
                variants[name, way] = texts
                seen.append(texts)
    return dict(sorted(variants.items(), key=lambda item: -sum(map(len, item[1]))))


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


def _with_rest(name: str, texts: Sequence[str], variants: Variants) -> list[Piece] | None:
    """Return the pieces at both ends of identifiers around a rest, or before that of addresses.

    Return None if the rest is neither a number nor the end of an e-mail address.
    """
    begin, rest = _beginning(texts, variants)
    if begin and EmailEnds.fit(rest) is not None:
        return [*begin, (name, REST)]
    backwards = {part: [text[::-1] for text in each] for part, each in variants.items()}
    end, rest = _beginning([text[::-1] for text in rest], backwards)
    if not all(_NUMBER.fullmatch(text) for text in rest):  # backwards, it is one, too
        return None
    return [*begin, (name, REST), *reversed(end)]


def _beginning(texts: Sequence[str], variants: Variants) -> tuple[list[Piece], list[str]]:
    """Return the pieces with which all texts begin, and the rest of each text.

    Letters and digits next to the rest belong to it: all of 1001 to 1999 begin with 1.
    """
    pieces: list[Piece] = []
    rest = list(texts)
    ends = [(pieces[:], rest)]
    while all(rest):
        fitting = (part for part, each in variants.items() if all(map(str.startswith, rest, each)))
        piece: Piece | None = next(fitting, None)
        if isinstance(piece, tuple):
            rest = _without(rest, variants[piece])
        elif len({text[0] for text in rest}) == 1:
            piece, rest = rest[0][0], [text[1:] for text in rest]
        else:
            break
        pieces.append(piece)
        if all(rest) and (isinstance(piece, tuple) or not piece.isalnum()):
            ends.append((pieces[:], rest))
    return ends[-1]


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


def _is_evident(joined: JoinedText, table: pa.Table) -> bool:
    """Return True if the sources are missing with the text, and agree too often for chance."""
    has_text = array(table, joined.column).is_valid().to_numpy(zero_copy_only=False)
    if (_has_sources(joined, table) == has_text).mean() < MIN_NULLS_AGREE:
        return False
    if not joined.has_rest:
        return True
    parts = zip(joined.sources, joined.ways, strict=True)
    bits = [_agreement_bits(table, source, way) for source, way in parts if way != REST]
    return min(bits) >= MIN_EVIDENCE_BITS


def _agreement_bits(table: pa.Table, source: str, way: str) -> float:
    """Return the evidence, in bits, that the texts of a source are parts of others in all rows."""
    counts = text_in_way(array(table, source), way).value_counts().field("counts").to_numpy()
    return -len(table) * math.log2(float(((counts / counts.sum()) ** 2).sum()))
