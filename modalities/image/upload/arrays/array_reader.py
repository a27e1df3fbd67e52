"""Reader of image and label arrays (idx and npz files); writes x.npy."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.errors import file_pointer, printable
from core.limits import Limits
from modalities.image.upload.arrays.lazy_array import ArraySplit, Block, LazyArray, pixel_range
from modalities.image.upload.arrays.npy_store import Images, ImageStore
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.labels.labeling import Part
from modalities.image.upload.labels.labels import UNLABELED, LabelEncoder, rename_labels
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, check_min_size, choose_size, resize_image
from modalities.image.upload.value_range import ValueRange


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
    """Write the images of all splits to `out`, the training split first.

    `class_names` are label names by index that the file itself contains; `options.class_names`
    take precedence. In a file with such names a label of -1 means unlabeled, as in our exports.
    """
    options.reject(
        *("labels_from", "label_column", "folder_level", "parts"),
        format="arrays and tables of pixels",
    )
    splits = sorted(splits, key=lambda split: split.is_test)
    for split in splits:
        _check(split, limits)
    labels = LabelEncoder(limits)
    unlabeled = None if class_names is None else str(UNLABELED)
    codes = np.concatenate([_read_codes(split, labels, unlabeled) for split in splits])
    names = rename_labels(labels.sorted_names(), options.class_names or class_names, limits)
    sizes: Counter[Size] = Counter()
    for split in splits:
        sizes[_image_size(split.images)] += len(split.images)
    size = choose_size(sizes, options, limits)
    value_range = pixel_range([split.images for split in splits])
    with ImageStore(out) as store:
        for split in splits:
            for block in split.images.blocks():
                images = _resize(_to_images(block, value_range), size, options)
                store.append(images, is_test=split.is_test)
    return DecodedDataset(
        format=format,
        class_names=names,
        y=labels.code_to_index()[codes],
        n_train=store.n_train,
        size=store.size,
        channels=store.channels,
        name_of=_item_namer(splits),
        notes=[
            *notes,
            *labels.notes(),
            *_range_notes(value_range),
        ],
        issues=[],
        layout={
            "labels_from": "arrays" if class_names or names else "none",
            "parts": [
                Part(
                    split.images.name,
                    train=0 if split.is_test else len(split.images),
                    test=len(split.images) if split.is_test else 0,
                    left_out=0,
                )._asdict()
                for split in splits
            ],
            "label_sources": [],
            "ignored": [],
        },
    )


def _check(split: ArraySplit, limits: Limits) -> None:
    images, labels = split.images, split.labels
    images.check_limits(limits)
    height, width = _image_size(images)
    check_min_size((height, width), limits, pointer=file_pointer(images.name))
    if max(height, width) > limits.image_side or height * width > limits.image_pixels:
        raise images.make_error(
            f"has images of {height}x{width} pixels; the maximum is {limits.image_side:,} pixels "
            f"per side and {limits.image_pixels:,} pixels per image",
            "image_too_large",
        )
    if labels is None:
        return
    labels.check_limits(limits)
    if len(labels.shape) > 2:
        raise labels.make_error(
            f"has the shape {labels.shape}; labels must be (N,), (N, 1), or one-hot (N, classes)"
        )
    if len(labels) != len(images):
        raise labels.make_error(
            f"holds {len(labels):,} labels, but {printable(images.name)} holds "
            f"{len(images):,} images"
        )


def _image_size(images: LazyArray) -> Size:
    """Return (height, width) of (N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1 or 3."""
    shape = images.shape
    if len(shape) == 3 or (len(shape) == 4 and shape[3] in {1, 3}):
        return shape[1], shape[2]
    if len(shape) == 4 and shape[1] in {1, 3}:
        return shape[2], shape[3]
    raise images.make_error(
        f"has the shape {shape}; images must be (N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W)"
    )


def _to_images(block: Block, value_range: ValueRange | None) -> Images:
    """Convert a block to uint8, (n, height, width) or (n, height, width, 3)."""
    if value_range is not None:
        block = value_range.scale(block)
    if block.ndim == 4 and block.shape[3] not in {1, 3}:
        block = np.moveaxis(block, 1, 3)
    return block[..., 0] if block.ndim == 4 and block.shape[3] == 1 else block


def _range_notes(value_range: ValueRange | None) -> list[str]:
    if value_range is None or value_range.limits() == (0.0, 255.0):
        return []
    return [f"The pixels were {value_range.describe()}."]


def _resize(images: Images, size: Size, options: ImageOptions) -> Images:
    if options.resize is None or images.shape[1:3] == size:
        return images
    mode = options.resize
    return np.stack(
        [np.asarray(resize_image(Image.fromarray(image), size, mode)) for image in images]
    )


def _read_codes(
    split: ArraySplit, labels: LabelEncoder, unlabeled: str | None
) -> NDArray[np.int32]:
    if split.labels is None:
        return np.full(len(split.images), UNLABELED, np.int32)
    return np.concatenate(list(_encode_blocks(split.labels, labels, unlabeled)))


def _encode_blocks(
    array: LazyArray, labels: LabelEncoder, unlabeled: str | None
) -> Iterator[NDArray[np.int32]]:
    """Yield label codes block by block. The label `unlabeled` becomes UNLABELED."""
    if array.dtype.kind not in "biufUS":
        raise array.make_error("must hold integers or fixed-width text, one label per image")
    for block in array.blocks():
        values, inverse = np.unique(_to_labels(array, block), return_inverse=True)
        texts = [_to_text(array, value) for value in values]
        codes = [
            UNLABELED if text == unlabeled else labels.encode(text, where=array.name)
            for text in texts
        ]
        yield np.array(codes, np.int32)[inverse]


def _to_labels(array: LazyArray, block: Block) -> Block:
    """Return one value per image, from labels (n,), (n, 1) or one-hot (n, classes)."""
    if block.ndim == 1 or block.shape[1] == 1:
        return block.reshape(-1)
    if block.dtype.kind in "biuf" and (block.sum(1) == 1).all() and (block.max(1) == 1).all():
        return np.asarray(block.argmax(1))
    raise array.make_error(
        f"has the shape {array.shape} but is not one-hot; each image needs one label"
    )


def _to_text(array: LazyArray, value: Any) -> str:
    if array.dtype.kind == "S":
        try:
            return bytes(value).decode()
        except UnicodeDecodeError as error:
            raise array.make_error("holds bytes that are not UTF-8") from error
    if array.dtype.kind == "f":
        if not float(value).is_integer():
            raise array.make_error("holds fractions; labels must be whole numbers or text")
        return str(int(value))
    return str(int(value) if array.dtype.kind == "b" else value)


def _item_namer(splits: Sequence[ArraySplit]) -> Callable[[int], str]:
    """Return a function from the index of an image in x.npy to a name like "x_train[17]"."""
    starts = [0, *accumulate(len(split.images) for split in splits)]

    def name_of(index: int) -> str:
        i = bisect_right(starts, index) - 1
        return f"{splits[i].images.name}[{index - starts[i]}]"

    return name_of
