"""Pixels as PNG, one by one or as a sheet. Free of torch."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def png(image: Pixels) -> bytes:
    """(H, W) or (H, W, 3) to a PNG; level 1 costs half of the default and grows it by 3 %."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()


def sheet(images: Pixels, columns: int) -> Pixels:
    """(N, H, W[, 3]) to one image, row by row, with a white line between."""
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:])
    out = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        out[top : top + height, left : left + width] = image
    return out
