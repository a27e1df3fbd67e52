"""Embeddings of the tokens of table rows and of the positions of numbers.

Shapes: B rows of a batch, S steps of a row (one token each), K tokens of a step, D embedding width,
F Fourier features of a position.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tabular.categorical_columns import NO_SUB_BIN

FREQUENCIES = 8
FINE_FREQUENCIES = 11  # of the positions of sub-bins


def fourier_features(
    positions: NDArray[np.float64], decay: float, frequencies: int = FREQUENCIES
) -> NDArray[np.float32]:
    """Map (K,) token positions in [0, 1] to (K, F) Fourier features.

    Tancik et al. 2020, 2006.10739. Features of frequency f are multiplied by f^-decay: with more
    decay, smoother functions of a number are learned first. A token without a position (NaN) gets
    zeros.
    """
    has_position = ~np.isnan(positions)
    x = np.nan_to_num(positions)[:, None]
    octaves = 2.0 ** np.arange(frequencies)
    angles = x * (octaves * np.pi / 2)
    waves = np.stack([np.sin(angles), np.cos(angles)]) * octaves**-decay
    features = np.concatenate([*waves, x * 2 - 1], axis=1)
    return (features * has_position[:, None]).astype(np.float32)


class TokenEmbeddings(nn.Module):
    """Table of the embeddings of the tokens of all steps; `offsets` maps a token to its row.

    The embedding of a token is a free vector plus a linear map of the Fourier features of its
    position, so that neighboring numbers have similar embeddings. A token without a position has
    only the free vector.
    """

    offsets: Tensor  # (S, 1) index of each step's first token in the table
    features: Tensor  # (P, K, F) of the P steps that have positions
    rows: Tensor  # table index of each token of these steps
    padded: Tensor  # index of each of these tokens among the P * K padded ones

    def __init__(
        self,
        sizes: Sequence[int],
        positions: Sequence[NDArray[np.float64]],
        d: int,
        frequency_decay: float,
    ) -> None:
        super().__init__()
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.register_buffer("offsets", torch.from_numpy(offsets[:-1, None]), persistent=False)
        self.free = nn.Parameter(torch.randn(int(offsets[-1]), d) * 0.3)
        positioned = [i for i, p in enumerate(positions) if not np.isnan(p).all()]
        max_size = max((sizes[i] for i in positioned), default=1)
        features = np.zeros((len(positioned), max_size, 2 * FREQUENCIES + 1), np.float32)
        rows, padded = [], []
        for k, i in enumerate(positioned):
            features[k, : sizes[i]] = fourier_features(positions[i], frequency_decay)
            rows.append(np.arange(offsets[i], offsets[i + 1]))
            padded.append(k * max_size + np.arange(sizes[i]))
            with torch.no_grad():
                self.free[offsets[i] : offsets[i + 1]] *= 0.1
        self.register_buffer("features", torch.from_numpy(features), persistent=False)
        self.register_buffer("rows", _index(rows), persistent=False)
        self.register_buffer("padded", _index(padded), persistent=False)
        self.maps = nn.Parameter(torch.randn(len(positioned), features.shape[2], d) * 0.15)

    def forward(self) -> Tensor:
        """Return the (sum of K, D) table of the embeddings of all tokens of all steps."""
        if not len(self.maps):
            return self.free
        positioned = torch.bmm(self.features, self.maps).flatten(0, 1)[self.padded]
        return self.free.index_add(0, self.rows, positioned.float())


def _index(parts: list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.empty(0, np.int64), *parts]))


class FineEmbeddings(nn.Module):
    """Embeddings of the positions of sub-bins in the whole column, for later steps.

    The token of a sub-bin is only a position within its bin. Its embedding here is a linear map of
    the Fourier features of its position among all values, so later steps are given the number
    itself. Shapes: P sub-bin steps with positions, C cells (pairs of a bin and a sub-bin).
    """

    steps: Tensor  # (P,)
    first_steps: Tensor  # (P,) first step of the same column
    lows: Tensor  # (P, 1) first bin token
    sizes: Tensor  # (P, 1) sub-bins of a bin
    offsets: Tensor  # (P, 1) index of each step's first cell
    features: Tensor  # (sum of C + 1, F), where the last row is 0: not in a bin

    def __init__(
        self,
        sizes: Sequence[int],
        sub_bin_steps: Sequence[tuple[int, int, int] | None],
        fine_positions: Sequence[NDArray[np.float64] | None],
        d: int,
        frequency_decay: float,
    ) -> None:
        super().__init__()
        steps, rows = [], []
        features: list[NDArray[np.float32]] = []
        for step, positions in enumerate(fine_positions):
            bins = sub_bin_steps[step]
            if positions is not None and bins is not None:
                steps.append(step)
                num_cells = sum(len(part) for part in features)
                rows.append((bins[0], bins[1], sizes[step] - 1, num_cells))
                features.append(fourier_features(positions, frequency_decay, FINE_FREQUENCIES))
        width = 2 * FINE_FREQUENCIES + 1
        columns = torch.tensor(rows, dtype=torch.long).view(-1, 4).T
        self.register_buffer("steps", torch.tensor(steps, dtype=torch.long), persistent=False)
        self.register_buffer("first_steps", columns[0], persistent=False)
        for name, column in zip(("lows", "sizes", "offsets"), columns[1:], strict=True):
            self.register_buffer(name, column[:, None], persistent=False)
        features.append(np.zeros((1, width), np.float32))
        self.register_buffer(
            "features", torch.from_numpy(np.concatenate(features)), persistent=False
        )
        self.maps = nn.Parameter(torch.randn(len(steps), width, d) * 0.15)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (S, B) tokens to the (P, B, D) embeddings of the sub-bin steps with positions."""
        sub_bins = tokens[self.steps]
        bins = tokens[self.first_steps] - self.lows
        cells = self.offsets + bins * self.sizes + sub_bins - 1
        cells = cells.masked_fill(sub_bins == NO_SUB_BIN, len(self.features) - 1)
        return torch.bmm(F.embedding(cells, self.features), self.maps)

    @torch.no_grad()
    def table_of(self, step: int) -> Tensor | None:
        """Return the (C, D) embeddings of the cells of a step, or None if it has no positions."""
        index = (self.steps == step).nonzero()
        if not len(index):
            return None
        i = int(index[0, 0])
        ends = [*self.offsets[1:, 0].tolist(), len(self.features) - 1]
        return self.features[int(self.offsets[i, 0]) : ends[i]] @ self.maps[i]
