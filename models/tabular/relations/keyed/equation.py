"""Amounts that follow from a number of their key, such as a price times the quantity."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats
from models.tabular.relations.keyed.numbers import Form, KeyedNumbers, invert_form, product_of
from models.tabular.relations.rows import Rows, array, as_floats, rounding_tolerance


@dataclass(frozen=True)
class KeyedEquation:
    """The number of a `key`, times its `factors` in their `forms`, plus `sign` times `added`.

    There may be no factors, and nothing is added where `added` is empty.
    """

    key: str
    numbers: KeyedNumbers
    factors: tuple[str, ...]
    forms: tuple[Form, ...]
    added: str
    sign: float

    def compute(self, rows: Rows) -> Floats:
        """Return the (N,) amounts, by the first number of each key; NaN where a source lacks."""
        return self._amounts(rows, self.numbers.of(array(rows, self.key))[0])

    def possible(self, rows: Rows) -> Floats:
        """Return the (M, N) amounts by all numbers of the keys; NaN where a key has fewer."""
        return self._amounts(rows, self.numbers.of(array(rows, self.key), fill=False))

    def gives(self, rows: Rows, amounts: Floats, decimals: int, digits: int) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows with one of their possible amounts, or a missing value.

        These are rounded to `decimals` and to significant `digits`, if there are any.
        """
        possible = self.possible(rows)
        differs = [
            np.abs(each - amounts) > rounding_tolerance(each, decimals, digits) for each in possible
        ]
        is_other = np.logical_or(differs, np.isnan(possible)).all(0)
        return np.asarray(~is_other | np.isnan(possible[0]) | np.isnan(amounts))

    def solve(self, rows: Rows, name: str, amounts: Floats) -> Floats:
        """Return the (N,) numbers of a source other than the key, which give the amounts."""
        of_keys = self.numbers.of(array(rows, self.key))[0]
        values = [as_floats(array(rows, factor)) for factor in self.factors]
        if name == self.added:
            return np.asarray(self.sign * (amounts - of_keys * product_of(self.forms, values)))
        if self.added:
            amounts = amounts - self.sign * as_floats(array(rows, self.added))
        own, forms = self.factors.index(name), [*self.forms]
        values.pop(own)
        form = forms.pop(own)
        others = of_keys * product_of(forms, values)
        return invert_form(form, amounts / np.where(others == 0, np.nan, others))

    def _amounts(self, rows: Rows, of_keys: Floats) -> Floats:
        values = [as_floats(array(rows, factor)) for factor in self.factors]
        amounts = of_keys * product_of(self.forms, values)
        if self.added:
            amounts = amounts + self.sign * as_floats(array(rows, self.added))
        return np.asarray(amounts)
