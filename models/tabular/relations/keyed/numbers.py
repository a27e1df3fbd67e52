"""Numbers that keys have, such as the price of each product, and the forms of factors.

An amount is a number of its key, times one or two other columns. Each of these has a form: that of
a quantity is the quantity, that of a discount the share that is left, and that of a tax adds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.categorical_columns import Floats, as_text

Form = Literal["", "1 - x", "1 + x", "1 - x %", "1 + x %"]
FORMS: Mapping[Form, tuple[float, float]] = {  # offset and slope
    "": (0.0, 1.0),
    "1 - x": (1.0, -1.0),
    "1 + x": (1.0, 1.0),
    "1 - x %": (1.0, -0.01),
    "1 + x %": (1.0, 0.01),
}


def apply_form(form: Form, values: Floats) -> Floats:
    """Return the (N,) factors that the numbers of a column are."""
    offset, slope = FORMS[form]
    return offset + slope * values if form else values


def invert_form(form: Form, factors: Floats) -> Floats:
    """Return the (N,) numbers of a column from its factors."""
    offset, slope = FORMS[form]
    return (factors - offset) / slope if form else factors


def describe_factor(form: Form, name: str) -> str:
    """Return a factor as part of a formula."""
    if not form:
        return name
    sign, suffix = form[2], " / 100" if form.endswith("%") else ""
    return f"(1 {sign} {name}{suffix})"


class KeyedNumbers:
    """The numbers of keys: those of a key are the values at its indices in `keys`, in order."""

    def __init__(self, keys: Sequence[str | None], values: Sequence[float]) -> None:
        of_key: dict[str | None, list[float]] = {}
        for key, value in zip(keys, values, strict=True):
            of_key.setdefault(key, []).append(value)
        self._keys = pa.array(of_key, pa.string())
        self.most = max(map(len, of_key.values()), default=0)
        self._numbers = np.full((self.most, len(of_key) + 1), np.nan)  # NaN for unknown keys
        for column, numbers in enumerate(of_key.values()):
            self._numbers[: len(numbers), column] = numbers

    def of(self, keys: pa.Array, *, fill: bool = True) -> Floats:
        """Return the (M, N) numbers of keys, NaN of those without one.

        A key has up to M numbers. Where it has fewer, its first one is repeated if `fill` is set.
        """
        index = pa.compute.index_in(as_text(keys), value_set=self._keys)
        index = index.fill_null(len(self._keys)).to_numpy(zero_copy_only=False)
        numbers = self._numbers[:, index]
        return np.where(np.isnan(numbers), numbers[:1], numbers) if fill else numbers


def product_of(forms: Iterable[Form], columns: Iterable[Floats]) -> Floats:
    """Return the (N,) products of columns in their forms."""
    product: Floats | float = 1.0
    for form, values in zip(forms, columns, strict=True):
        product = product * apply_form(form, values)
    return np.asarray(product)
