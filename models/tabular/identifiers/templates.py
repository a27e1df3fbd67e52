"""Templates of identifiers: texts that differ for different indices.

A template is a sequence of slots; each slot holds one of the choices of its pool. The combinations
of choices are numbered, and a permutation of these numbers gives each index its own combination.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.noise import Indices, uniforms
from models.permutation import MAX_SIZE, permute

Pool = tuple[str, ...]  # the choices of a slot
OTHER_NOISE = 4  # uniforms before those of slots: missing, template, a larger one, and one unused


@dataclass(frozen=True)
class Counter:
    """Consecutive numbers, padded with zeros to `width`, between constant texts.

    `ends` are the texts before and after a number, and their weights. With `digits`, numbers do not
    get more of them: they start again at the smallest one.
    """

    first: int
    width: int = 0
    ends: tuple[tuple[str, str, float], ...] = (("", "", 1.0),)
    digits: int = 0

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        """Return one text for each index; without `digits`, all are different."""
        numbers = [f"{self._number(int(index)):0{self.width}}" for index in indices]
        uniform = uniforms(seed, indices, 2, stream)[:, 1]
        chosen = choose([weight for _, _, weight in self.ends], uniform)
        prefixes, suffixes = (pa.array([end[i] for end in self.ends], pa.string()) for i in (0, 1))
        index = pa.array(chosen)
        parts = prefixes.take(index), pa.array(numbers, pa.string()), suffixes.take(index)
        return pc.binary_join_element_wise(*parts, "")

    def _number(self, index: int) -> int:
        if not self.digits:
            return self.first + index
        smallest = 1 if self.width else 10 ** (self.digits - 1)
        return smallest + (self.first - smallest + index) % (10**self.digits - smallest)

    def to_json(self) -> dict[str, Any]:
        ends = [list(end) for end in self.ends]
        digits = {"digits": self.digits} if self.digits else {}
        return {"counter": [self.first, self.width, ends], **digits}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        first, width, ends = fields["counter"]
        ends = tuple((prefix, suffix, weight) for prefix, suffix, weight in ends)
        return cls(first, width, ends, fields.get("digits", 0))


def choose(weights: Sequence[float], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of a weight for each uniform number."""
    ends = np.cumsum(weights) / sum(weights)
    return np.minimum(np.searchsorted(ends, uniform, side="right"), len(weights) - 1)


def _choose_larger(
    weights: Sequence[float],
    capacities: NDArray[np.int64],
    indices: Indices,
    uniform: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return a random choice with more combinations than the index, and where there is none."""
    fitting = (capacities > indices[:, None]) * np.array(weights)
    ends = np.cumsum(fitting, axis=1)
    chosen = (ends <= (uniform * ends[:, -1])[:, None]).sum(axis=1)
    return np.minimum(chosen, len(weights) - 1), ends[:, -1] == 0


@dataclass(frozen=True)
class Template:
    """`slots` are indices of pools.

    When all combinations are used, slots of the pool `extra` are inserted before slot `growth`.
    """

    slots: tuple[int, ...]
    growth: int
    extra: int
    weight: float

    def grown(self, level: int) -> tuple[int, ...]:
        return (*self.slots[: self.growth], *[self.extra] * level, *self.slots[self.growth :])


@dataclass(frozen=True)
class TemplateSet:
    """Templates of one column, no two of which can produce the same text.

    The last template grows: no other template has as many slots. With `repeats`, it does not, and
    texts are drawn again when all combinations are used, such as names of one word.
    """

    pools: tuple[Pool, ...]
    templates: tuple[Template, ...]
    repeats: bool = False

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        """Return one text for each index; without `repeats`, all are different."""
        weights = [template.weight for template in self.templates]
        noise = uniforms(seed, indices, 3, stream)
        chosen = choose(weights, noise[:, 1])
        capacities = np.array(
            [min(self.capacity(template.slots), MAX_SIZE) for template in self.templates]
        )
        exhausted = indices >= capacities[chosen]
        if self.repeats:
            drawn = (noise[:, 2] * capacities[chosen]).astype(np.int64)
            indices, exhausted = np.where(exhausted, drawn, indices), np.zeros_like(exhausted)
        rows = np.flatnonzero(exhausted)
        if len(rows):
            chosen[rows], exhausted[rows] = _choose_larger(
                weights, capacities, indices[rows], noise[rows, 2]
            )
        parts: list[tuple[NDArray[np.int64], pa.StringArray]] = []
        for i, template in enumerate(self.templates):
            rows = np.flatnonzero((chosen == i) & ~exhausted)
            parts.append((rows, self._texts(template.slots, seed, stream, indices[rows])))
        rows, level = np.flatnonzero(exhausted), 0
        while len(rows):
            level += 1
            slots = self.templates[-1].grown(level)
            fits = indices[rows] < min(self.capacity(slots), MAX_SIZE)
            parts.append((rows[fits], self._texts(slots, seed, stream, indices[rows[fits]])))
            rows = rows[~fits]
        order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
        return pa.concat_arrays([texts for _, texts in parts]).take(pa.array(order))

    def capacity(self, slots: Sequence[int]) -> int:
        """Return the number of combinations."""
        return math.prod(len(self.pools[slot]) for slot in slots)

    def _texts(
        self, slots: tuple[int, ...], seed: int, stream: int, indices: Indices
    ) -> pa.StringArray:
        if not len(indices):
            return pa.array([], pa.string())
        sizes = [len(self.pools[slot]) for slot in slots]
        # As many slots as a permutation can number make the texts different; the rest is random.
        numbered = len(sizes)
        while math.prod(sizes[:numbered]) > MAX_SIZE:
            numbered -= 1
        capacity = math.prod(sizes[:numbered])
        ranks = permute(indices.astype(np.uint64), capacity, seed ^ stream << 32)
        rest = len(sizes) - numbered
        noise = uniforms(seed, indices, OTHER_NOISE + rest, stream)[:, OTHER_NOISE:]
        choices = []
        for i, (slot, size) in enumerate(zip(slots, sizes, strict=True)):
            if i < numbered:
                ranks, choice = np.divmod(ranks, np.uint64(size))
            else:
                choice = (noise[:, i - numbered] * size).astype(np.uint64)
            choices.append(pa.array(self.pools[slot], pa.string()).take(pa.array(choice)))
        return pc.binary_join_element_wise(*choices, "")

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary; pools of characters are written as one text."""
        pools = [
            "".join(pool) if all(len(c) == 1 for c in pool) else list(pool) for pool in self.pools
        ]
        templates = [[list(t.slots), t.growth, t.extra, t.weight] for t in self.templates]
        repeats = {"repeats": True} if self.repeats else {}
        return {"pools": pools, "templates": templates, **repeats}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        templates = tuple(
            Template(tuple(slots), growth, extra, weight)
            for slots, growth, extra, weight in fields["templates"]
        )
        pools = tuple(tuple(pool) for pool in fields["pools"])
        return cls(pools, templates, fields.get("repeats", False))


class TemplateBuilder:
    """Builds a TemplateSet, in which equal pools are stored once."""

    def __init__(self) -> None:
        self._pools: dict[Pool, int] = {}
        self._templates: list[Template] = []

    def add(self, slots: Sequence[Pool], weight: float, growth: int, extra: Pool) -> None:
        numbers = tuple(self._number(pool) for pool in slots)
        self._templates.append(Template(numbers, growth, self._number(extra), weight))

    def build(self) -> TemplateSet:
        ascending = sorted(self._templates, key=lambda template: len(template.slots))
        return TemplateSet(tuple(self._pools), tuple(ascending))

    def _number(self, pool: Pool) -> int:
        return self._pools.setdefault(pool, len(self._pools))
