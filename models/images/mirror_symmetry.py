"""Test whether mirrored images are as likely as the images themselves.

Photographs of objects usually are. Digits, letters, and shoes that all point to the left are not:
a generator that is trained with mirrored ones might generate mirrored ones.
"""

import numpy as np
from numpy.typing import NDArray

MAX_IMAGES = 2_000
# Times the expectation for a symmetric distribution. Neighboring pixels are correlated, so that the
# statistic of a symmetric dataset is often above 1.
MAX_ASYMMETRY = 2.0
MIN_IMAGES_PER_LABEL = 10  # on average; with fewer, asymmetric images are not recognized


def is_mirror_symmetric(
    pixels: NDArray[np.uint8], labels: NDArray[np.int32], indices: NDArray[np.int64]
) -> bool:
    """Return True if the mean image of each label is as symmetric as chance allows.

    False if there are too few images to tell.
    `pixels` is (N, H, W) or (N, H, W, 3) and `labels` (N,); `indices` selects the images.
    """
    if len(indices) < MIN_IMAGES_PER_LABEL * len(np.unique(labels[indices])):
        return False
    return asymmetry(pixels, labels, indices) <= MAX_ASYMMETRY


def asymmetry(
    pixels: NDArray[np.uint8], labels: NDArray[np.int32], indices: NDArray[np.int64]
) -> float:
    """Return the mean asymmetry of the labels; its expectation is 1 for symmetric ones.

    If an image x and its mirror image are equally likely, then d = x - mirror(x) has mean 0, and
    the squared norm of the mean of n differences has the expectation E|d|^2 / n.
    """
    chosen = indices[:: -(-len(indices) // MAX_IMAGES)]
    chosen_labels = labels[chosen]
    observed = expected = 0.0
    for label in np.unique(chosen_labels):
        images = pixels[chosen[chosen_labels == label]].astype(np.float32)
        differences = images - images[:, :, ::-1]
        observed += float(np.square(differences.mean(0)).sum())
        expected += float(np.square(differences).sum()) / len(images) ** 2
    return observed / expected if expected > 0 else 1.0
