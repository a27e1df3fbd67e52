"""Images that are all but the same: saved twice, in another quality, a little brighter.

Small thumbnails are compared, each with each, in a sample. At MAX_RMS_DIFFERENCE = 4 one of 20,000 images of
Fashion-MNIST is called a near duplicate, none of 4,000 of CIFAR-10 and none of 1,297 digits; their
own copies through JPEG at quality 90 differ by 1.6, 1.0 and 3.3 (medians). A difference hash did
worse on both sides: flat areas, which garments on black are full of, flip its bits at random.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.images.npy_store import Images, StoredImages

MAX_COMPARED = 10_000  # images; those of a larger set are drawn at random
THUMBNAIL_SIDE = 16  # pixels of the thumbnails
MAX_RMS_DIFFERENCE = 4.0  # root mean square difference of two thumbnails, in levels of 255
MAX_RELATIVE_DIFFERENCE = 0.1  # ... and of the whole set's spread, which is small where contrast is

_ROWS = 256  # compared with all others at a time


def find_near_duplicates(
    images: StoredImages, digests: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], int]:
    """The places of images with an earlier near twin that is no exact copy, and how many images
    were looked at."""
    places = np.arange(len(images))
    if len(images) > MAX_COMPARED:
        places = np.sort(np.random.default_rng(0).choice(places, MAX_COMPARED, replace=False))
    different = places[np.sort(np.unique(digests[places], return_index=True)[1])]
    thumbnails = np.empty((len(different), THUMBNAIL_SIDE * THUMBNAIL_SIDE), np.float32)
    for row, image in zip(thumbnails, images.iter_images(different), strict=True):
        row[:] = _thumbnail(image).reshape(-1)
    return different[_has_earlier_twin(thumbnails)], len(places)


def _thumbnail(image: Images) -> Images:
    small = (
        Image.fromarray(image)
        .convert("L")
        .resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    )
    return np.asarray(small)


def _has_earlier_twin(thumbnails: NDArray[np.float32]) -> NDArray[np.bool_]:
    """|a - b|² <= t is a·b - |b|²/2 >= (|a|² - t)/2: one product, and its largest value by row."""
    thumbnails -= thumbnails.mean(axis=0)
    squares = np.einsum("ij,ij->i", thumbnails, thumbnails)
    close = min(
        MAX_RMS_DIFFERENCE**2 * THUMBNAIL_SIDE**2,
        MAX_RELATIVE_DIFFERENCE**2 * float(squares.mean()),
    )
    twin = np.zeros(len(thumbnails), bool)
    for start in range(0, len(thumbnails), _ROWS):
        end = min(start + _ROWS, len(thumbnails))
        products = thumbnails[start:end] @ thumbnails[:end].T
        products -= squares[:end] / 2
        products[:, start:][np.triu_indices(end - start)] = -np.inf  # itself and later ones
        twin[start:end] = products.max(axis=1) >= (squares[start:end] - close) / 2
    return twin
