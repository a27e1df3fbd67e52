"""Search for texts that consist of those of other columns."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.relations.lookups.discrete import MAX_LOOKUP_SHARE
from models.tabular.relations.rows import array
from models.tabular.relations.screened_numbers import MIN_EVIDENCE_BITS
from models.tabular.relations.texts.codes import Part, count_values, with_codes
from models.tabular.relations.texts.guesses import (
    FewRows,
    SampledRows,
    have_words,
    may_be_drawn,
)
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.ways import CODE, OPTIONAL_WAYS, REST, WHOLE_WAYS, text_in_way

MIN_ROWS = 20  # with a value
SAMPLED_ROWS = 1_000  # of which those with the fewest missing values are examined
EXAMINED_ROWS = 100  # yield the parts, which are then checked on all rows
ATTEMPTS = 3  # each with rows that contradict the one before
MAX_COLUMNS = 60  # whose texts are compared
MIN_NULLS_AGREE = 0.9  # of the rows lack both the text and one of its sources, or neither
MAX_EXCEPTIONS = 0.05  # of the identifiers, which samples do not have


def find_joined_texts(
    table: pa.Table,
    types: Mapping[str, str],
    fixed: Collection[str] = (),
    *,
    min_value_count: int = 0,
) -> list[JoinedText]:
    """Return the texts that consist of other columns, sources first.

    They do so in all rows; identifiers may have a few exceptions. `types` are those of the columns
    by name. Columns in `fixed` are not joined, and neither are categories that many rows share,
    because these determine their parts (see `find_lookups`). Identifiers are joined only if a part
    of them is new in samples: a name that consists of two learned ones would often be that of a
    person in the table. At least `min_value_count` rows have the literals.
    """
    joined_texts: list[JoinedText] = []
    examined = list(types)[:MAX_COLUMNS]
    coded = count_values(table.select(examined), types)
    ids = [name for name, type in types.items() if type == "id"]
    few_rows = FewRows(table.select(dict.fromkeys([*examined, *ids])), coded)
    # A name consists of given and family names rather than these of its words.
    with_several = [name for name in ids if have_words(array(table, name))]
    columns = [(name, False) for name in types] + [(name, True) for name in ids]
    for name, with_words in columns:
        type = types[name]
        if name in fixed or not _may_be_joined(type, array(table, name)):
            continue
        if any(each.column == name for each in joined_texts):
            continue
        present = np.flatnonzero(array(table, name).is_valid().to_numpy(zero_copy_only=False))
        if len(present) < max(MIN_ROWS, min_value_count):
            continue
        compared = with_several if with_words else types
        others = [other for other in compared if not _consists_of(joined_texts, other, name)]
        if with_words:
            others = [other for other in others if _has_last_words(table, name, other)]
        if not others:
            continue
        candidates = table.select([name, *others[:MAX_COLUMNS]])
        has_rest = type == "id" and not min_value_count
        joined = _find(name, candidates, present, coded if has_rest else None, with_words)
        if type == "id" and joined is not None and not _has_new_part(joined, table, types):
            joined = None
        elif has_rest and joined is None:
            joined = _find_with_exceptions(name, candidates, present, few_rows, types, with_words)
        if joined is not None and _is_evident(joined, table):
            joined_texts.append(joined)
    return _sources_first(joined_texts)


def _find(
    name: str,
    table: pa.Table,
    present: NDArray[np.int64],
    coded: Mapping[Part, int] | None,
    with_words: bool,
) -> JoinedText | None:
    """Return what the texts of a column consist of in all rows, or None.

    `present` are the rows with a text. `coded` are columns that may have codes in texts with a
    rest; None if they may not have one. `with_words`, single words of a column may be parts.
    """
    sample = _examined_rows(table.take(pa.array(_shuffled(present)[:SAMPLED_ROWS])))
    joined, others = None, table.column_names[1:]
    for _ in range(ATTEMPTS):
        rows = SampledRows(
            sample, {part: n for part, n in (coded or {}).items() if part[0] in others}
        )
        joined = rows.guess(name, others, with_rest=coded is not None, with_words=with_words)
        if joined is None:
            return None
        joined = with_codes(joined, table)
        has_sources = _has_sources(joined, table)[present]
        if has_sources.mean() >= MIN_NULLS_AGREE:
            has_sources[:] = True  # a few missing ones do not matter
        contradicting = present[~(joined.holds(table)[present] & has_sources)]
        if not len(contradicting):
            return joined
        some = _examined_rows(table.take(pa.array(contradicting[:SAMPLED_ROWS])))
        half = EXAMINED_ROWS // 2
        sample = pa.concat_tables([some.slice(0, half), sample.slice(0, half)])
    return joined if joined is not None and joined.holds(table).all() else None


def _find_with_exceptions(
    name: str,
    table: pa.Table,
    present: NDArray[np.int64],
    few_rows: FewRows,
    types: Mapping[str, str],
    with_words: bool,
) -> JoinedText | None:
    for guess in few_rows.guess(name, table.column_names[1:], with_words=with_words):
        joined = with_codes(guess, table)
        holds = joined.holds(table)[present].mean() >= 1 - MAX_EXCEPTIONS
        if holds and _has_new_part(joined, table, types):
            return joined
    return None


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


def _has_last_words(table: pa.Table, name: str, other: str) -> bool:
    """Return True if most of the first texts have the last word of another column in them."""
    texts, others = array(table, name), array(table, other)
    both = pc.and_(texts.is_valid(), others.is_valid())
    pairs = zip(
        text_in_way(texts.filter(both)[:EXAMINED_ROWS], "ascii").to_pylist(),
        text_in_way(others.filter(both)[:EXAMINED_ROWS], "ascii_last_word").to_pylist(),
        strict=True,
    )
    has_word = [bool(word) and word in text for text, word in pairs]
    return 2 * sum(has_word) > len(has_word)


def _has_new_part(joined: JoinedText, table: pa.Table, types: Mapping[str, str]) -> bool:
    """Return True if samples have new values of a part of the text.

    A rest is new if it is a number or a code next to whole texts, codes of them, or initials of new
    names. The domain of an e-mail address is not new, and a number next to the initials of learned
    names may belong to a real user name.
    """
    others = {name for name, type in types.items() if type == "id" and name != joined.column}
    if joined.has_new_part(others):
        return True
    parts = list(zip(joined.sources, joined.ways, strict=True))
    if joined.has_rest:
        may_follow = all(
            way in WHOLE_WAYS or way == REST or way.startswith(CODE) or source in others
            for source, way in parts
        )
        return may_follow and may_be_drawn(joined.rest(table).drop_null().to_pylist())
    return any(_is_new(table, types, *part) for part in parts)


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


def _is_evident(joined: JoinedText, table: pa.Table) -> bool:
    """Return True if the sources are missing with the text, and agree too often for chance."""
    has_text = array(table, joined.column).is_valid().to_numpy(zero_copy_only=False)
    if (_has_sources(joined, table) == has_text).mean() < MIN_NULLS_AGREE:
        return False
    if not joined.has_rest:
        return True
    bits = [_agreement_bits(joined, table, i) for i, way in enumerate(joined.ways) if way != REST]
    return min(bits) >= MIN_EVIDENCE_BITS


def _agreement_bits(joined: JoinedText, table: pa.Table, index: int) -> float:
    """Return the evidence, in bits, that the texts of a source are parts of others in all rows."""
    texts = joined.part(index, array(table, joined.sources[index]))
    counts = texts.value_counts().field("counts").to_numpy()
    free = len(joined.codes[index]) if joined.codes else 0  # the row that shows a code is no proof
    return -(len(table) - free) * math.log2(float(((counts / counts.sum()) ** 2).sum()))
