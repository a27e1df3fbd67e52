"""From arrays of images and of labels to x.npy: what idx and npz have in common."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.errors import file_pointer, printable
from core.datasets.images.decoded_dataset import DecodedDataset
from core.datasets.images.labels import UNLABELED, LabelEncoder, rename_labels
from core.datasets.images.lazy_array import ArraySplit, Block, LazyArray, pixel_scale
from core.datasets.images.npy_store import Images, ImageStore
from core.datasets.images.options import ImageOptions
from core.datasets.images.resize import Size, check_min_size, choose_size, resize_image
from core.settings import Limits


def read_arrays(
    splits: Sequence[ArraySplit],
    options: ImageOptions,
    limits: Limits,
    *,
    format: str,
    out: Path,
    class_names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> DecodedDataset:
    """`class_names` are those that the file itself has, by index; the client's come first. Beside
    such names -1 is no label, as in the files that we hand out.
    """
    splits = sorted(splits, key=lambda part: part.is_test)
    for part in splits:
        _check(part, limits)
    labels = LabelEncoder(limits)
    none = None if class_names is None else str(UNLABELED)
    codes = np.concatenate([_codes(part, labels, none) for part in splits])
    names = rename_labels(labels.sorted_names(), options.class_names or class_names, limits)
    sizes: Counter[Size] = Counter()
    for part in splits:
        sizes[_size_of(part.images)] += len(part.images)
    size = choose_size(sizes, options, limits)
    factor = pixel_scale([part.images for part in splits])
    with ImageStore(out) as store:
        for part in splits:
            for block in part.images.blocks():
                images = _resized(_as_images(block, factor), size, options)
                store.append(images, is_test=part.is_test)
    return DecodedDataset(
        format=format,
        class_names=names,
        y=labels.code_to_index()[codes],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=_namer(splits),
        notes=[*notes, *labels.notes()],
        issues=[],
    )


def _check(part: ArraySplit, limits: Limits) -> None:
    images, labels = part.images, part.labels
    images.check_limits(limits)
    height, width = _size_of(images)
    check_min_size((height, width), limits, pointer=file_pointer(images.name))
    if max(height, width) > limits.image_side or height * width > limits.image_pixels:
        raise images.make_error(f"has images of {height}x{width} pixels", "image_too_large")
    if labels is None:
        return
    labels.check_limits(limits)
    if labels.shape not in {(len(labels),), (len(labels), 1)}:
        raise labels.make_error(f"has the shape {labels.shape}; labels are (N,) or (N, 1)")
    if len(labels) != len(images):
        raise labels.make_error(
            f"holds {len(labels):,} labels, and {printable(images.name)} {len(images):,} images"
        )


def _size_of(images: LazyArray) -> Size:
    """Of (N, H, W), (N, H, W, C) or (N, C, H, W), C being one or three."""
    shape = images.shape
    if len(shape) == 3 or (len(shape) == 4 and shape[3] in {1, 3}):
        return shape[1], shape[2]
    if len(shape) == 4 and shape[1] in {1, 3}:
        return shape[2], shape[3]
    raise images.make_error(
        f"has the shape {shape}; images are (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"
    )


def _as_images(block: Block, factor: int) -> Images:
    """Bytes, without an axis for one channel, else with the channels last."""
    if block.dtype != np.uint8:
        block = np.rint(block * factor).astype(np.uint8)
    if block.ndim == 4 and block.shape[3] not in {1, 3}:
        block = np.moveaxis(block, 1, 3)
    return block[..., 0] if block.ndim == 4 and block.shape[3] == 1 else block


def _resized(images: Images, size: Size, options: ImageOptions) -> Images:
    if options.resize is None or images.shape[1:3] == size:
        return images
    mode = options.resize
    return np.stack(
        [np.asarray(resize_image(Image.fromarray(image), size, mode)) for image in images]
    )


def _codes(part: ArraySplit, labels: LabelEncoder, none: str | None) -> NDArray[np.int32]:
    if part.labels is None:
        return np.full(len(part.images), UNLABELED, np.int32)
    return np.concatenate(list(_label_codes(part.labels, labels, none)))


def _label_codes(
    array: LazyArray, labels: LabelEncoder, none: str | None
) -> Iterator[NDArray[np.int32]]:
    if array.dtype.kind not in "biuU":
        raise array.make_error("must hold integers or fixed-width text, a label for each image")
    for block in array.blocks():
        values, places = np.unique(block.reshape(-1), return_inverse=True)
        written = [str(int(value) if array.dtype.kind == "b" else value) for value in values]
        codes = [
            UNLABELED if label == none else labels.encode(label, where=array.name)
            for label in written
        ]
        yield np.array(codes, np.int32)[places]


def _namer(parts: Sequence[ArraySplit]) -> Callable[[int], str]:
    """Names like x_train[17]."""
    starts = [0, *accumulate(len(part.images) for part in parts)]

    def name_of(place: int) -> str:
        part = bisect_right(starts, place) - 1
        return f"{parts[part].images.name}[{place - starts[part]}]"

    return name_of
