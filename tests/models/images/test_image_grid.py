"""Grid of images."""

import numpy as np

from models.images.image_grid import make_grid


def test_a_grid_shows_the_images_row_by_row() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 4, 6), np.uint8)
    grid = make_grid(pixels, 3)
    assert grid.shape == (2 * 5 - 1, 3 * 7 - 1)
    assert np.array_equal(grid[5:9, 7:13], pixels[4])
