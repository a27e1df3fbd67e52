"""Narrowing by relations with exceptions: a row satisfies one, or is an exception.

The exceptions are those that a model samples. Either they are other values of a column, such as the
hour 24, or differences from what the relation gives, such as a further part of an area.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from models.tabular.categorical_columns import Floats
from models.tabular.relations.kinds import Kind
from models.tabular.relations.possible_values.values import PossibleValues
from models.tabular.relations.relation import Relation

Narrow = Callable[[PossibleValues, Relation], PossibleValues]


@dataclass(frozen=True)
class InexactRelation:
    """A relation with exceptions, which column `column` has where others do not determine it.

    They are between `low` and `high` (E,): E ranges of values, or, if they are `differences`, of
    what is added to the value that the relation gives.
    """

    relation: Relation
    column: str
    low: Floats
    high: Floats
    differences: bool

    @property
    def name(self) -> str:
        """Return the formula of the relation."""
        return self.relation.name

    @property
    def kind(self) -> Kind:
        return self.relation.kind

    @property
    def columns(self) -> tuple[str, ...]:
        return self.relation.columns

    def narrow(self, possible: PossibleValues, narrow: Narrow) -> PossibleValues:
        """Return what the relation and its exceptions leave; `narrow` is for exact relations."""
        if self.column not in possible.low:
            return possible
        if self.differences:
            return self._with_differences(possible, narrow)
        return self._or_other_values(possible, narrow)

    def _with_differences(self, possible: PossibleValues, narrow: Narrow) -> PossibleValues:
        """Narrow the relation of the column without its difference, which is exact."""
        if not len(self.low):
            return narrow(possible, self.relation)
        name, least, most = self.column, self.low.min(), self.high.max()
        exact = replace(
            possible,
            low={**possible.low, name: possible.low[name] - most},
            high={**possible.high, name: possible.high[name] - least},
        )
        narrowed = narrow(exact, self.relation)
        if narrowed is exact:
            return possible
        for other in self.columns:
            if other != name:
                possible = possible.with_range(other, narrowed.low[other], narrowed.high[other])
        return possible.with_range(name, narrowed.low[name] + least, narrowed.high[name] + most)

    def _or_other_values(self, possible: PossibleValues, narrow: Narrow) -> PossibleValues:
        """Narrow by the relation where no exception is possible. The column may have either."""
        name = self.column
        low, high = possible.low[name], possible.high[name]
        fits = (self.low <= high[:, None]) & (self.high >= low[:, None])
        may_differ = fits.any(1) | ~possible.present[name]
        narrowed = narrow(possible, replace(self.relation, exceptions=False))
        if narrowed is possible:
            return possible
        satisfies = ~narrowed.is_empty_in(self.columns)
        lowest = np.where(fits, self.low, np.inf).min(1, initial=np.inf)
        highest = np.where(fits, self.high, -np.inf).max(1, initial=-np.inf)
        lowest = np.where(satisfies, np.minimum(lowest, narrowed.low[name]), lowest)
        highest = np.where(satisfies, np.maximum(highest, narrowed.high[name]), highest)
        for other in {*self.columns} - {name}:
            if other in possible.low:
                own_low = np.where(may_differ, -np.inf, narrowed.low[other])
                own_high = np.where(may_differ, np.inf, narrowed.high[other])
                possible = possible.with_range(other, own_low, own_high)
            else:
                _, mask = narrowed.texts[other]
                possible = possible.with_mask(other, mask | may_differ[:, None])
        return possible.with_range(name, lowest, highest)
