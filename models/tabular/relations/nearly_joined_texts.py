"""Identifiers that consist of other columns in most rows, but not in all.

Samples do not join them: an e-mail address does not fit the name of its row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.relations.joined_text_search import MAX_COLUMNS, MIN_ROWS, guess_joined_text
from models.tabular.relations.joined_texts import JoinedText
from models.tabular.relations.relation import array

ATTEMPTS, SAMPLED_ROWS = 8, 6  # so few rows often have no exception among them
MIN_SHARE = 0.8  # of the rows with a text that consists of the others
_SEED = 0


@dataclass(frozen=True)
class NearlyJoinedText:
    """`exceptions` are the indices of the rows whose text is another one."""

    joined: JoinedText
    exceptions: NDArray[np.int64]


def find_nearly_joined_texts(
    table: pa.Table, types: Mapping[str, str]
) -> Iterator[NearlyJoinedText]:
    """Yield what identifiers of texts nearly consist of; `types` are those of the columns."""
    table = table.select(list(types)[:MAX_COLUMNS])
    for name in table.column_names:
        is_text = types[name] == "id" and pa.types.is_string(table.schema.field(name).type)
        nearly_joined = _find(name, table) if is_text else None
        if nearly_joined is not None:
            yield nearly_joined


def _find(name: str, table: pa.Table) -> NearlyJoinedText | None:
    rng = np.random.default_rng(_SEED)
    present = np.flatnonzero(array(table, name).is_valid().to_numpy(zero_copy_only=False))
    if len(present) < MIN_ROWS:
        return None
    for attempt in range(2 * ATTEMPTS):
        sample = table.take(pa.array(rng.choice(present, SAMPLED_ROWS, replace=False)))
        joined = guess_joined_text(name, sample, with_rest=attempt >= ATTEMPTS)
        if joined is None:
            continue
        exceptions = present[~joined.holds(table)[present]]
        if len(exceptions) <= (1 - MIN_SHARE) * len(present):
            return NearlyJoinedText(joined, exceptions) if len(exceptions) else None
    return None
