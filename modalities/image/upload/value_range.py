"""Range of pixel values that have more than 8 bits, and scaling of the range in use to 0 to 255.

Cameras and scanners store 8, 10, 12 or 14 bits in files of 16 bits. Scaling by 65535 would turn
such images nearly black.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The highest values of common pixel formats. A set whose values reach at least half of one of them
# has this format; the highest value of any other set becomes white.
_FULL_SCALES = (1.0, 255.0, 1_023.0, 4_095.0, 16_383.0, 65_535.0)


@dataclass
class ValueRange:
    """Lowest and highest value of all images of a set."""

    lowest: float = np.inf
    highest: float = -np.inf

    def include(self, values: NDArray[Any]) -> None:
        """Extend the range.

        Raises ValueError if a value is not finite.
        """
        lowest, highest = float(values.min()), float(values.max())
        if not np.isfinite([lowest, highest]).all():
            raise ValueError("not all values are finite")
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)

    def limits(self) -> tuple[float, float]:
        """Return the values that become 0 and 255."""
        low, high = self.lowest, self.highest
        if low < 0:
            return (-1.0, 1.0) if low >= -1 and high <= 1 else (low, high)
        full = next((scale for scale in _FULL_SCALES if scale >= high), high)
        white = full if high >= full / 2 else high
        return (low, high) if low > white / 2 and high > low else (0.0, white)

    def scale(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale values to 0 to 255, rounded."""
        low, high = self.limits()
        factor = 255 / (high - low) if high > low else 0.0
        precise = values.dtype.itemsize > 2 and values.dtype != np.float32
        scaled: NDArray[np.floating] = values.astype(np.float64 if precise else np.float32)
        scaled = (scaled - low) * factor
        pixels: NDArray[np.uint8] = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return pixels

    def describe(self) -> str:
        """Return a participle for "N images were …"."""
        low, high = self.limits()
        used = f"{self.lowest:,.6g} to {self.highest:,.6g}"
        if (low, high) == (0.0, 255.0):
            return f"converted to 8 bits as they are; their values are {used}"
        return (
            f"scaled to 8 bits: {low:,.6g} became 0 and {high:,.6g} became 255; their values are "
            f"{used}"
        )
