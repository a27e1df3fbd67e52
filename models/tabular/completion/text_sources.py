"""Values of columns that a given joined text shows, such as the names in an e-mail address.

A part gives the one value that has it, such as a whole word or a date. Where several values have
it, such as the first names with an initial, the model draws the value, which may lack the part.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.tabular.categorical_columns import CategoricalColumn
from models.tabular.completion.given_columns import given_column
from models.tabular.conditions.condition import NO_SUCH_VALUE, InvalidPartialRow
from models.tabular.identifiers.words.words import in_case
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.ways import (
    CODE,
    FIRST_WORDS,
    FULL_DATE_WAYS,
    LAST_WORD,
    MARK_WAYS,
    NUMBER_WAYS,
    OPTIONAL_WAYS,
    REST,
    SAME,
    WHOLE_WAYS,
    WORD_WAYS,
    text_in_way,
)
from models.tabular.tokenizer import Tokenizer

_SEPARATORS = "-._ "  # between the words of a part

Row = Mapping[str, Any]


def with_sources(tokenizer: Tokenizer, row_index: int, row: Row, origins: dict[str, str]) -> Row:
    """Return the row with the sources of its joined texts, unless these have another form.

    `origins` gets the text in the request of each source that is added. Raises InvalidPartialRow if
    a text contradicts its given sources, or has a part that no value of its source has.
    """
    row = dict(row)
    for joined in reversed(tokenizer.joined_texts):
        text = row.get(joined.column)
        if not isinstance(text, str):
            continue
        texts = [_given_text(tokenizer.arrow, row, joined, i) for i in range(len(joined.ways))]
        parts = joined.split(text, texts)
        if parts is None and any(given is not None for given in texts):
            message = f"contradicts the other given values, because `{joined.name}`"
            raise InvalidPartialRow(row_index, joined.column, message)
        if parts is None:
            continue
        for i, (source, way) in enumerate(zip(joined.sources, joined.ways, strict=True)):
            if source in row or way == REST:
                continue
            try:
                value = _source_value(tokenizer, joined, i, parts)
            except ValueError as error:
                message = f"consists of `{source}`, which {error}"
                raise InvalidPartialRow(row_index, joined.column, message) from error
            if value is not None or way in OPTIONAL_WAYS:
                row[source] = value
                origins[source] = origins.get(joined.column, joined.column)
    return row


def _given_text(schema: pa.Schema, row: Row, joined: JoinedText, index: int) -> str | None:
    """Return the text of a source in a joined text, or None if it is not given."""
    source = joined.sources[index]
    if joined.ways[index] == REST or source not in row:
        return None
    try:
        text = joined.part(index, given_column(schema.field(source), [row]))[0].as_py()
    except InvalidPartialRow:
        return None  # all rows are checked later
    return text or ""


def _source_value(
    tokenizer: Tokenizer, joined: JoinedText, index: int, parts: Sequence[str]
) -> Any:
    """Return the only JSON value of a source with such parts; None if several may have them.

    `parts` are those of all sources. Raises ValueError if no value has them.
    """
    source, way, part = joined.sources[index], joined.ways[index], parts[index]
    arrow = tokenizer.arrow.field(source).type
    if way in WORD_WAYS or way.startswith("%"):
        triples = zip(joined.sources, joined.ways, parts, strict=True)
        texts = {way: text for name, way, text in triples if name == source}
        return _name(texts) if way in WORD_WAYS else _date(texts)
    if way.startswith(CODE):
        values = [value for value, code in joined.codes[index].items() if code == part]
        is_value = way == CODE + SAME and len(values) == 1
        return _parse(values[0], arrow) if is_value else None
    if way == SAME or way in NUMBER_WAYS:
        return _parse(part, arrow)
    if way in OPTIONAL_WAYS:
        return part.strip(" ") or None
    for column in tokenizer.columns:
        if column.name == source and isinstance(column, CategoricalColumn):
            values = _having(column.categories, way, part)
            if not values:
                raise ValueError(NO_SUCH_VALUE)
            return values[0] if len(values) == 1 else None
    return _new_value(tokenizer, source, way, part)


def _name(parts: Mapping[str, str]) -> str | None:
    """Return the name of parts by their way; None of a single word."""
    if not {FIRST_WORDS, LAST_WORD} <= parts.keys():
        return None
    return f"{parts[FIRST_WORDS]} {parts[LAST_WORD]}"


def _date(parts: Mapping[str, str]) -> str | None:
    """Return the date and time of parts by their format; None of a year or a month alone.

    Raises ValueError if there is no such date.
    """
    if not {*FULL_DATE_WAYS} & parts.keys():
        return None
    text, format = "\n".join(parts.values()), "\n".join(parts)
    try:
        return datetime.strptime(text, format).isoformat()  # noqa: DTZ007 - values have no zone
    except ValueError as error:
        raise ValueError("must be a date") from error


def _new_value(tokenizer: Tokenizer, source: str, way: str, part: str) -> str | None:
    """Return the words of a part in the letter case of new identifiers, if these have the part."""
    id_column = next((each for each in tokenizer.id_columns if each.name == source), None)
    is_whole = way in WHOLE_WAYS and way not in MARK_WAYS
    if id_column is None or id_column.letter_case is None or not is_whole:
        return None
    text = part
    for separator in _SEPARATORS:
        text = text.replace(separator, " ")
    value = " ".join(in_case(text.split(" "), id_column.letter_case))
    return value if _having(pa.array([value]), way, part) else None


def _having(values: pa.Array, way: str, part: str) -> list[str]:
    """Return the texts that have a part in their joined text."""
    texts = values.cast(pa.string())
    return texts.filter(pc.equal(text_in_way(texts, way), part)).to_pylist()


def _parse(text: str, arrow: pa.DataType) -> Any:
    """Return the JSON value of a text, or the text itself if it is no number."""
    if not (pa.types.is_integer(arrow) or pa.types.is_floating(arrow)):
        return text
    try:
        return pa.array([text]).cast(arrow)[0].as_py()
    except pa.ArrowInvalid:
        return text
