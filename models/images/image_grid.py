"""Image grids and animations. This module does not import torch."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def make_grid(images: Pixels, columns: int) -> Pixels:
    """Arrange (N, H, W[, 3]) images in one picture, row by row, with white lines between them."""
    n, height, width = images.shape[:3]
    rows = -(-n // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *images.shape[3:])
    out = np.full(shape, 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        out[top : top + height, left : left + width] = image
    return out


def encode_gif(pngs: Sequence[bytes]) -> bytes:
    """Encode pictures of one size as a GIF: five per second, the last for two seconds."""
    frames = [Image.open(io.BytesIO(data)) for data in pngs]
    out = io.BytesIO()
    frames[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[200] * (len(frames) - 1) + [2_000],
        loop=0,
    )
    return out.getvalue()
