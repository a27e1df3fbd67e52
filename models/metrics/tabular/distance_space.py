"""Distances between rows of numbers and categories."""

from dataclasses import dataclass

import numpy as np
import torch

from models.metrics.tabular.frames import Binning, Floats, NumericFrame
from models.training_callbacks import CheckStop

DISTANCE_CHUNK_SIZE = 250


@dataclass(frozen=True)
class MixedPoints:
    """Rows in a MixedDistanceSpace. The distance of two rows is the sum over their columns."""

    numeric: torch.Tensor  # (N, A) values in [0, 1]
    one_hot: torch.Tensor  # (N, B) one-hot codes of the categorical columns, concatenated

    def __len__(self) -> int:
        return len(self.numeric)

    def __getitem__(self, rows: slice) -> "MixedPoints":
        return MixedPoints(self.numeric[rows], self.one_hot[rows])

    def nearest_distance(self, others: "MixedPoints", check_stop: CheckStop) -> torch.Tensor:
        """Return (N,) distances from each row to the nearest of the others."""
        return self.nearest(others, check_stop)[0]

    def nearest(
        self, others: "MixedPoints", check_stop: CheckStop
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) distances from each row to the nearest of the others, and its index."""
        distances, indices, num_categorical = [], [], self.one_hot[:1].sum()
        for start in range(0, len(self), DISTANCE_CHUNK_SIZE):
            check_stop()
            part = self[start : start + DISTANCE_CHUNK_SIZE]
            # The product counts the categorical columns in which two rows are equal.
            mismatches = num_categorical - part.one_hot @ others.one_hot.T
            numeric = torch.cdist(part.numeric, others.numeric, p=1)
            nearest = (numeric + mismatches).min(1)
            distances.append(nearest.values)
            indices.append(nearest.indices)
        return torch.cat(distances), torch.cat(indices)

    def to_array(self) -> Floats:
        return torch.cat([self.numeric, self.one_hot], 1).double().numpy()


@dataclass(frozen=True)
class MixedDistanceSpace:
    """Map of rows to points whose columns all have distances between 0 and 1.

    A number becomes its quantile among the training rows; a missing number becomes 0.5. Two
    different categories have distance 1.
    """

    binning: Binning
    sorted_train_values: dict[str, Floats]  # numeric columns

    @classmethod
    def fit(cls, train: NumericFrame, binning: Binning) -> "MixedDistanceSpace":
        numeric = {name: train.columns[name] for name in binning.edges}
        return cls(binning, {name: np.sort(v[~np.isnan(v)]) for name, v in numeric.items()})

    def __call__(self, frame: NumericFrame) -> MixedPoints:
        numeric, one_hot = [np.empty((0, len(frame)))], [np.empty((len(frame), 0))]
        for name, values in frame.columns.items():
            if name in self.sorted_train_values:
                quantile = np.searchsorted(self.sorted_train_values[name], values) / max(
                    1, len(self.sorted_train_values[name])
                )
                numeric.append(np.where(np.isnan(values), 0.5, quantile)[None])
            else:
                size = self.binning.sizes[name]
                codes = np.where(np.isnan(values), size - 1, np.minimum(values, size - 1))
                one_hot.append(np.eye(size)[codes.astype(np.int64)])
        return MixedPoints(
            torch.from_numpy(np.concatenate(numeric).T.astype(np.float32)),
            torch.from_numpy(np.concatenate(one_hot, 1).astype(np.float32)),
        )
