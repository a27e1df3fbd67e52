"""The rows that an order names, some thousand at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tables.known import Known
from models.tables.order import RowOrder, Where
from models.tables.sampling import Drawn, RowSampler

AT_ONCE = 16_384
COMPLETED_AT_ONCE = 1_024  # each takes many candidates


def chunks(order: RowOrder) -> Iterator[tuple[NDArray[np.int64], tuple[Where, ...]]]:
    """Numbers, and what they meet in turn, for `drawn`."""
    for part in order.parts:
        for numbers in part.chunks(AT_ONCE):
            yield numbers, part.wheres


def all_drawn(generator: RowSampler, order: RowOrder) -> Iterator[Drawn]:
    """All rows, some thousand at a time, unique among each other where a rule wants it.

    Raises, as rows are drawn, InvalidCondition, InvalidKnown, CannotComplete, NoHashes and TooRare.
    """
    if order.known:
        known = Known.parse(generator.encoding, order.known)
        for numbers in order.parts[0].chunks(COMPLETED_AT_ONCE):
            index = numbers - order.parts[0].start
            yield generator.complete(order.seed, numbers, known.part(index))
        return
    seen: set[Any] = set()
    for numbers, wheres in chunks(order):
        yield drawn(generator, order.seed, numbers, wheres, seen, refuse_copies=order.refuse_copies)


def drawn(
    generator: RowSampler,
    seed: int,
    numbers: NDArray[np.int64],
    wheres: tuple[Where, ...],
    seen: set[Any] | None = None,
    *,
    refuse_copies: bool = False,
) -> Drawn:
    """One row for each number; with several conditions, number k meets condition k mod their
    number. Rows that have to be unique are other than those of `seen`, which they join."""
    if len(wheres) == 1:
        return generator.draw(seed, numbers, wheres[0], seen, refuse_copies=refuse_copies)
    turn = numbers % len(wheres)
    parts = [
        generator.draw(seed, numbers[turn == i], where, seen, refuse_copies=refuse_copies)
        for i, where in enumerate(wheres)
        if (turn == i).any()
    ]
    place = np.argsort(np.concatenate([np.flatnonzero(turn == i) for i in range(len(wheres))]))
    rows = pa.concat_batches([part.rows for part in parts]).take(pa.array(place))
    kept = sum(len(part.rows) for part in parts)
    return Drawn(rows, kept / sum(len(part.rows) / part.acceptance for part in parts))
