"""Joint masks: which tokens of several columns may meet, such as those of a date.

Sampling avoids the others, so that few rows are rejected because of a relation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.tabular.autoregressive.near_lookups import PENALTY
from models.tabular.relations.coding import RelationCoding

MAX_CELLS = 1 << 20  # of a mask


@dataclass(frozen=True)
class JointMask:
    """The mask of the tokens of `steps` that may meet; its dimensions are the steps, in order."""

    steps: tuple[int, ...]
    may_meet: NDArray[np.bool_]


def find_joint_masks(
    coding: RelationCoding, steps: Mapping[str, int], values: Mapping[str, pa.Array]
) -> Iterator[JointMask]:
    """Yield the masks of the relations between columns of a date, if these have single steps.

    `values` are those of the tokens of columns, and `steps` are the steps of the same columns. In
    the order of the steps, each token leaves values for the columns that follow.
    """
    for relation in coding.checked:
        names = sorted(set(relation.columns) & steps.keys(), key=steps.__getitem__)
        sizes = [len(values[name]) for name in names]
        if not relation.roles or len(names) < len(relation.columns) or prod(sizes) > MAX_CELLS:
            continue
        grid = np.indices(sizes).reshape(len(sizes), -1)
        columns = [values[name].take(pa.array(i)) for name, i in zip(names, grid, strict=True)]
        rows = pa.table(columns, names=names)
        is_valid = np.ones(len(rows), bool)
        for other in coding.checked:
            if other.roles and set(other.columns) <= set(names):
                is_valid &= other.holds(rows) & coding.has_date_in_limits(other, rows)
        may_meet = is_valid.reshape(sizes)
        for count in range(2, len(names) + 1):
            mask = np.asarray(may_meet.any(axis=tuple(range(count, len(names)))))
            if not mask.all():
                yield JointMask(tuple(steps[name] for name in names[:count]), mask)


class JointPenalties:
    """Penalties on the logits of tokens that may not meet those of all other steps of a mask.

    They are finite: where no token may, the row has one that may not.
    """

    def __init__(self, masks: Sequence[JointMask], device: torch.device) -> None:
        self._tables: dict[int, list[tuple[list[int], Tensor, Tensor]]] = {}
        for mask in masks:
            sizes = mask.may_meet.shape
            for own, step in enumerate(mask.steps):
                others = [other for other in mask.steps if other != step]
                other_sizes = [size for i, size in enumerate(sizes) if i != own]
                strides = [prod(other_sizes[i + 1 :]) for i in range(len(others))]
                rows = np.moveaxis(mask.may_meet, own, -1).reshape(-1, sizes[own])
                # The last row is that of unknown tokens.
                table = np.pad(~rows, ((0, 1), (0, 0))).astype(np.float32) * PENALTY
                self._tables.setdefault(step, []).append(
                    (
                        others,
                        torch.tensor(strides, device=device)[:, None],
                        torch.from_numpy(table).to(device),
                    )
                )

    def of(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B, K) penalties of a step, or None if it has none.

        `tokens` (S', B) are those of the first S' steps, negative where they are unknown.
        """
        sums = None
        for others, strides, table in self._tables.get(step, ()):
            if others[-1] >= len(tokens):
                continue
            rows = tokens[others]
            index = (rows * strides).sum(0).where((rows >= 0).all(0), len(table) - 1)
            added = table.index_select(0, index)
            sums = added if sums is None else sums.add_(added)
        return sums
