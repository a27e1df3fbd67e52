"""The images that an order names, one batch of the model's fixed shape at a time."""

import numpy as np
from numpy.typing import NDArray

from models import noise
from models.images.sampling import ImageSampler


def drawn(
    generator: ImageSampler, seed: int, labels: NDArray[np.int64], numbers: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """An image for each label and number, at most a batch of them. The batch is always filled up,
    so that an image does not depend on how many others were asked for with it."""
    n = len(labels)
    padded = np.zeros(generator.batch, np.int64)
    padded[:n] = labels
    z = np.zeros((generator.batch, generator.noise_size), np.float32)
    z[:n] = noise.normals(seed, numbers, generator.noise_size)
    return generator.draw(z, padded)[:n]
