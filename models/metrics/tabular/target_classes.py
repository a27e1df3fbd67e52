"""Columns whose values are compared one by one, as classes."""

from dataclasses import dataclass

import numpy as np

from models.metrics.tabular.frames import Bins, CategoryMaps, NumericFrame

MAX_NUMERIC_CLASSES = 20  # a number of more training values is not a class


@dataclass(frozen=True)
class Classes:
    """The values of a column that are classes: categories, or the few values of a number."""

    column: str
    names: list[str]
    numbers: list[float] | None  # ascending; None: the codes of the frame are those of the classes

    @classmethod
    def fit(cls, train: NumericFrame, category_maps: CategoryMaps, column: str) -> "Classes | None":
        """Return the classes of a column, or None if it is a number of many values."""
        if column in category_maps.categories:
            return cls(column, category_maps.categories[column].to_pylist(), None)
        values = train.columns[column]
        numbers = np.unique(values[~np.isnan(values)])
        if not 1 <= len(numbers) <= MAX_NUMERIC_CLASSES:
            return None
        return cls(column, [f"{number:g}" for number in numbers], numbers.tolist())

    def __len__(self) -> int:
        return len(self.names)

    def of(self, frame: NumericFrame) -> Bins:
        """Return the (N,) classes of the rows, -1 where there is none."""
        values = frame.columns[self.column]
        if self.numbers is None:
            return np.where(np.isnan(values), -1, values).astype(np.int64)
        index = np.searchsorted(self.numbers, values)
        known = np.append(self.numbers, np.nan)[index] == values
        return np.where(known, index, -1)
