"""Decoding of the image files of an upload, in order, into x.npy."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.limits import Limits
from modalities.image.upload.arrays.npy_store import ImageStore
from modalities.image.upload.decode import (
    ImageProblem,
    include_range,
    is_deep,
    open_image,
    oriented_size,
)
from modalities.image.upload.image_loader import ImageLoader, NeedsValueRange
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, choose_size
from modalities.image.upload.value_range import ValueRange

ReadContents = Callable[[], Iterator[bytes]]


def load_images(
    read_contents: ReadContents,
    names: Sequence[str],
    is_test: NDArray[np.bool_],
    options: ImageOptions,
    limits: Limits,
    *,
    out: Path,
) -> tuple[NDArray[np.int64], ImageStore, ImageLoader]:
    """Decode the images whose files `read_contents` yields in the order of `names`.

    Images with more than 8 bits are read twice, because their scale depends on all of them.

    Returns:
        For each stored image its index in `names`, the store, and the loader with its issues.
    """
    target = _target_size(read_contents, options, limits)
    value_range = None
    while True:
        with ImageStore(out) as store:
            loader = ImageLoader(
                store,
                options,
                limits,
                expected=len(names),
                target=target,
                value_range=value_range,
            )
            try:
                for i, content in enumerate(read_contents()):
                    loader.add(i, names[i], content, is_test=bool(is_test[i]))
                    if loader.should_abort:
                        break
            except NeedsValueRange:
                value_range = _scan_range(read_contents, limits)
                continue
            loader.finish()
        order = np.array(loader.loaded_indices[False] + loader.loaded_indices[True], np.int64)
        return order, store, loader


def _scan_range(read_contents: ReadContents, limits: Limits) -> ValueRange:
    """Return the range of all images with more than 8 bits."""
    value_range = ValueRange()
    for content in read_contents():
        with suppress(ImageProblem):  # reported when ImageLoader decodes the image
            image = open_image(content, limits)
            if is_deep(image):
                include_range(image, value_range)
    return value_range


def _target_size(read_contents: ReadContents, options: ImageOptions, limits: Limits) -> Size | None:
    """Return the size to resize to, chosen from all image headers unless `size` is given.

    Returns None without `resize`.
    """
    if options.resize is None:
        return None
    sizes: Counter[Size] = Counter()
    for content in read_contents() if options.size is None else ():
        try:
            sizes[oriented_size(open_image(content, limits))] += 1
        except ImageProblem:
            continue  # reported when ImageLoader decodes the image
    if options.size is None and not sizes:
        sizes[limits.image_size_max, limits.image_size_max] += 1
    return choose_size(sizes, options, limits)
