"""Texts that consist of those of other columns, such as full names, e-mails and coordinates.

They are not learned: samples join the texts of their rows. A part of an identifier may be a rest
that no column determines, such as the last digits of `2023-00017` and the domain of an e-mail
address; it is drawn as other identifiers are.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text
from models.tabular.relations.relation import Rows, array


def _in_ascii(mark: str) -> Callable[[pa.Array], pa.Array]:
    """Return a function of texts: their words in small ASCII letters, with `mark` between them."""

    def convert(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        words = [_ascii_words(text) for text in encoded.dictionary.to_pylist()]
        return pa.array(map(mark.join, words), pa.string()).take(encoded.indices)

    return convert


def _ascii_words(text: str) -> list[str]:
    if text.isascii() and text.isalnum():
        return [text.lower()]
    decomposed = unicodedata.normalize("NFKD", text.lower().translate(_LETTERS))
    plain = decomposed.encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", plain.replace("'", ""))


def _without_accents(texts: pa.Array) -> pa.Array:
    """Return the texts with plain letters, such as `Malaga` of `Málaga`, in the same case."""
    encoded = texts.dictionary_encode()
    plain = [
        text
        if text is None or text.isascii()
        else "".join(
            letter
            for letter in unicodedata.normalize("NFD", text.translate(_PLAIN_LETTERS))
            if not unicodedata.combining(letter)
        )
        for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(plain, pa.string()).take(encoded.indices)


def _with_blank(texts: pa.Array, *, before: bool) -> pa.Array:
    """Return the texts with a blank, and nothing instead of missing ones, such as middle names."""
    blank = pa.scalar(" ")
    parts = (blank, texts) if before else (texts, blank)
    return pc.binary_join_element_wise(*parts, "").fill_null("")


_LETTERS = str.maketrans(
    {"\u00df": "ss", "\u00f8": "o", "\u00e6": "ae", "\u0142": "l", "\u2019": "'"}
)
_PLAIN_LETTERS = _LETTERS | str.maketrans({"\u00d8": "O", "\u00c6": "AE", "\u0141": "L"})
SAME, REST = "same", "rest"
TEXT_WAYS: dict[str, Callable[[pa.Array], pa.Array]] = {
    SAME: lambda texts: texts,
    "lower": pc.utf8_lower,
    "upper": pc.utf8_upper,
    "initial": lambda texts: pc.utf8_slice_codeunits(texts, 0, 1),
    "lower_initial": lambda texts: pc.utf8_lower(pc.utf8_slice_codeunits(texts, 0, 1)),
    "plain": _without_accents,
    "ascii": _in_ascii(""),  # obrien of O'Brien
    "ascii-": _in_ascii("-"),
    "ascii.": _in_ascii("."),
    "ascii_": _in_ascii("_"),
    "before_blank": partial(_with_blank, before=False),
    "after_blank": partial(_with_blank, before=True),
}
OPTIONAL_WAYS = ("before_blank", "after_blank")  # of texts that may be missing
DATE_WAYS = (
    "%Y%m%d",
    "%y%m%d",
    "%d%m%Y",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y-%m",
    "%Y%m",
    "%Y",
    "%y",
    "%m",
)


def _digits(code: re.Match[str]) -> str:
    """Return the pattern of the digits of a code of strftime."""
    return r"\d{4}" if code[0] == "%Y" else r"\d{2}"


FULL_DATE_WAYS = tuple(way for way in DATE_WAYS if way.endswith("%d") or way == "%d%m%Y")
_PART_PATTERNS = {
    **{way: re.sub("%.", _digits, way) for way in DATE_WAYS},
    "initial": ".",
    "lower_initial": ".",
    "before_blank": "(?:.+? )?",
    "after_blank": "(?: .+?)?",
}
WHOLE_WAYS = {*TEXT_WAYS, *DATE_WAYS} - {"initial", "lower_initial"}


def text_in_way(values: pa.Array, way: str) -> pa.Array:
    """Return the texts of the values, in one of TEXT_WAYS or DATE_WAYS."""
    if way.startswith("%"):
        return pc.strftime(values, format=way)
    return as_text(values) if way == REST else TEXT_WAYS[way](as_text(values))


@dataclass(frozen=True)
class JoinedText:
    """`column` as the texts of `sources`, each in one of `ways`, between constant `literals`.

    A source with the way REST is `column` itself: what is drawn for it is a part of the text.
    """

    column: str
    sources: tuple[str, ...]
    ways: tuple[str, ...]
    literals: tuple[str, ...]  # before, between and after the sources

    @property
    def others(self) -> list[str]:
        """Return the sources without the column itself."""
        return [source for source in self.sources if source != self.column]

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
        """Return the texts; null where a source is missing."""
        return self._join(rows, 0, len(self.sources))

    def _join(self, rows: Rows, start: int, end: int) -> pa.Array:
        """Return the texts of the sources from `start` to `end` and the literals around them."""
        pieces: list[Any] = [pa.array([self.literals[start]] * len(rows))]
        for i in range(start, end):
            text = text_in_way(array(rows, self.sources[i]), self.ways[i])
            pieces += [text, self.literals[i + 1]]
        return pc.binary_join_element_wise(*pieces, "")

    def rest(self, rows: Rows) -> pa.Array:
        """Return what the sources do not determine; null where the text has another form."""
        at = self.ways.index(REST)
        texts = as_text(array(rows, self.column)).to_pylist()
        begins = self._join(rows, 0, at).to_pylist()
        ends = self._join(rows, at + 1, len(self.sources)).to_pylist()
        parts = zip(texts, begins, ends, strict=True)
        return pa.array([_between(*each) for each in parts], pa.string())

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
        for way, given, literal in zip(self.ways, texts, self.literals[1:], strict=True):
            part = _PART_PATTERNS.get(way, ".+?") if given is None else re.escape(given)
            pattern += f"({part}){re.escape(literal)}"
        match = re.fullmatch(pattern, text, re.DOTALL)
        return None if match is None else match.groups()

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        columns = [*self.others, self.column]
        return {"name": self.name, "kind": "joined_text", "columns": columns}

    def pack(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        tuples = {name: tuple(packed[name]) for name in ("sources", "ways", "literals")}
        return cls(packed["column"], **tuples)


def _between(text: str | None, begin: str | None, end: str | None) -> str | None:
    if text is None or begin is None or end is None or len(text) <= len(begin) + len(end):
        return None
    has_both = text.startswith(begin) and text.endswith(end)
    return text[len(begin) : len(text) - len(end)] if has_both else None


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
