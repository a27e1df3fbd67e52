"""Identifiers that consist of other columns in most rows, but not in all."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.relations.rows import array
from models.tabular.relations.texts.codes import count_values, with_codes
from models.tabular.relations.texts.guesses import FewRows
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.search import MAX_COLUMNS, MIN_ROWS

MIN_SHARE = 0.8  # of the rows with a text that consists of the others


@dataclass(frozen=True)
class NearlyJoinedText:
    """`exceptions` are the indices of the rows whose text is another one.

    Samples have no such exceptions if `is_joined`. Otherwise they have unrelated texts.
    """

    joined: JoinedText
    exceptions: NDArray[np.int64]
    is_joined: bool


def find_nearly_joined_texts(
    table: pa.Table, types: Mapping[str, str], joined_texts: Iterable[JoinedText]
) -> Iterator[NearlyJoinedText]:
    """Yield what identifiers of texts nearly consist of; `types` are those of the columns.

    `joined_texts` are those that samples join, of which the rows may have a few exceptions.
    """
    joined_of = {joined.column: joined for joined in joined_texts}
    compared = table.select(list(types)[:MAX_COLUMNS])
    few_rows = FewRows(compared, count_values(compared, types))
    for name in compared.column_names:
        if types[name] != "id" or not pa.types.is_string(table.schema.field(name).type):
            continue
        present = np.flatnonzero(array(table, name).is_valid().to_numpy(zero_copy_only=False))
        if (joined := joined_of.get(name)) is not None:
            exceptions = present[~joined.holds(table)[present]]
            if len(exceptions):
                yield NearlyJoinedText(joined, exceptions, is_joined=True)
        elif len(present) >= MIN_ROWS:
            yield from _find(name, compared, present, few_rows)


def _find(
    name: str, table: pa.Table, present: NDArray[np.int64], few_rows: FewRows
) -> Iterator[NearlyJoinedText]:
    others = [other for other in table.column_names if other != name]
    for guess in few_rows.guess(name, others):
        joined = with_codes(guess, table)
        exceptions = present[~joined.holds(table)[present]]
        if len(exceptions) <= (1 - MIN_SHARE) * len(present):
            if len(exceptions):
                yield NearlyJoinedText(joined, exceptions, is_joined=False)
            return
