"""Combinations of values that samples do not have, because no training row has them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from models.tabular.autoregressive.exact_lookups import ExactLookup
from models.tabular.autoregressive.near_lookups import NearLookup, find_near_lookups
from models.tabular.autoregressive.structural_zeros import NO_ZEROS, StructuralZeros
from models.tabular.categorical_columns import Arrays, Column, Tokens

MAX_OPTIONAL_CELLS = 1 << 24  # of the tables of excluded tokens, with 1 byte each


@dataclass(frozen=True)
class Exclusions:
    """Pairs of first tokens that never meet, and columns of which only pairs of values occur.

    `zeros` are the pairs of tokens, `near_lookups` the pairs of columns of which one nearly
    determines the other, and `exact_lookups` the keys of learned columns: see
    `RelationCoding.keys`.
    """

    zeros: StructuralZeros = NO_ZEROS
    near_lookups: tuple[NearLookup, ...] = ()
    exact_lookups: tuple[ExactLookup, ...] = ()

    @classmethod
    def fit(
        cls,
        tokens: Tokens,
        columns: Sequence[Column],
        slices: Sequence[slice],
        sizes: Sequence[int],
        keys: Iterable[Sequence[int]],
        optional: Iterable[Sequence[int]] = (),
    ) -> Self:
        """Find the exclusions in (S, N) tokens of training rows.

        `slices` are the steps of `columns`, `sizes` (S,) the numbers of tokens of all steps, `keys`
        the steps of each key and the learned columns that it determines. `optional` are those of
        pairs of columns and of keys with exceptions, which are left out beyond a budget of memory.
        """
        by_step = {steps.start: column for column, steps in zip(columns, slices, strict=True)}
        positions = {step: column.positions[0] for step, column in by_step.items()}
        missing = {s: c.layout.missing_token for s, c in by_step.items() if c.layout.missing}
        zeros = StructuralZeros.fit(tokens, sizes, list(by_step), positions, missing)
        exact = [ExactLookup.fit(tokens, steps) for steps in keys]
        cells = 0
        for lookup in (ExactLookup.fit(tokens, steps) for steps in optional):
            added = len(lookup.combinations) * sum(sizes[step] for step in lookup.steps)
            if cells + added <= MAX_OPTIONAL_CELLS:
                exact.append(lookup)
                cells += added
        near = find_near_lookups(tokens, columns, slices, sizes, exact)
        return cls(zeros, tuple(near), tuple(exact))

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """Return the JSON and the arrays that `unpack` needs."""
        metadata: dict[str, Any] = {}
        arrays: Arrays = {}
        if self.zeros.may_meet:
            metadata["zeros"], zeros = self.zeros.pack()
            arrays |= zeros
        if self.near_lookups:
            metadata["near_lookups"] = [lookup.pack() for lookup in self.near_lookups]
            arrays |= {f"near_lookups.{i}": each.pairs for i, each in enumerate(self.near_lookups)}
        if self.exact_lookups:
            metadata["exact_lookups"] = [list(lookup.steps) for lookup in self.exact_lookups]
            arrays |= {
                f"exact_lookups.{i}": each.combinations for i, each in enumerate(self.exact_lookups)
            }
        return metadata, arrays

    @classmethod
    def unpack(
        cls, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], sizes: Sequence[int]
    ) -> Self:
        near = [
            NearLookup.unpack(packed, arrays[f"near_lookups.{i}"])
            for i, packed in enumerate(metadata.get("near_lookups", ()))
        ]
        exact = [
            ExactLookup(tuple(steps), arrays[f"exact_lookups.{i}"])
            for i, steps in enumerate(metadata.get("exact_lookups", ()))
        ]
        zeros = StructuralZeros.unpack(metadata.get("zeros", ()), arrays, sizes)
        return cls(zeros, tuple(near), tuple(exact))


NO_EXCLUSIONS = Exclusions()
