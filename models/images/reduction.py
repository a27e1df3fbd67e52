"""Reduction of images to a smaller size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]  # height, width


def reduce_images(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Return (N, H, W) or (N, H, W, 3) images in another size, as means of the covered pixels."""
    if pixels.shape[1:3] == size:
        return pixels
    height, width = size
    reduced = [
        np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
        for image in np.ascontiguousarray(pixels)
    ]
    return np.stack(reduced) if reduced else np.empty((0, *size, *pixels.shape[3:]), np.uint8)


def size_within(size: Size, longer_side: int) -> Size:
    """Return the size, reduced in proportion so that no side is longer than `longer_side`."""
    scale = min(1.0, longer_side / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width
