"""Choice of the common image size of a dataset, and resizing to it."""

from collections import Counter

import numpy as np
from PIL import Image, ImageOps

from core.datasets.errors import unreadable_error
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.options import RESIZE_MODES, ImageOptions, ResizeMode

Size = tuple[int, int]  # height, width

_FILTER = Image.Resampling.BICUBIC
_DEFAULT_MAX_SIDE = 128  # larger images take several times as long to train; `size` permits them
_MIN_COMMON_FRACTION = 1 / 4  # of the images must have the most common size for it to be chosen


def choose_size(sizes: Counter[Size], options: ImageOptions, limits: Limits) -> Size:
    """Return the common size. `sizes` counts the images of each size.

    Raises DatasetUnreadable if images must be resized and `options.resize` is None.
    """
    if options.resize is None:
        return _require_one_size(sizes, limits)
    if options.size is not None:
        return options.size
    size, count = sizes.most_common(1)[0]
    if count < _MIN_COMMON_FRACTION * sizes.total():
        counts = list(sizes.values())
        heights, widths = (np.repeat([size[side] for size in sizes], counts) for side in (0, 1))
        size = int(np.median(heights)), int(np.median(widths))
    return _scale_down(size, limits)


def resize_image(image: Image.Image, size: Size, mode: ResizeMode) -> Image.Image:
    """Resize by bicubic interpolation, with antialiasing. See ImageOptions for the modes."""
    height, width = size
    if image.size == (width, height):
        return image
    if mode == "crop":
        return ImageOps.fit(image, (width, height), _FILTER)
    if mode == "stretch":
        return image.resize((width, height), _FILTER)
    scale = min(width / image.width, height / image.height)
    inner = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), _FILTER
    )
    padded = Image.new(image.mode, (width, height), _border_color(inner))
    padded.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return padded


def _require_one_size(sizes: Counter[Size], limits: Limits) -> Size:
    size = next(iter(sizes))
    advice = f"Set `resize` to one of {', '.join(RESIZE_MODES)}."
    if len(sizes) > 1:
        code = "mixed_sizes"
        listed = ", ".join(f"{_format(size)} ({count:,})" for size, count in sizes.most_common(5))
        more = f" and {len(sizes) - 5:,} more" if len(sizes) > 5 else ""
        message = f"The images have several sizes: {listed}{more} (height x width). {advice}"
    elif max(size) > limits.image_size_max:
        code = "resize_needed"
        message = (
            f"The images have {_format(size)} pixels; the maximum for training is "
            f"{limits.image_size_max} pixels per side. {advice}"
        )
    else:
        return size
    raise DatasetUnreadable.of_field("/meta/resize", code, message, RESIZE_MODES, code=code)


def check_min_size(size: Size, limits: Limits, *, pointer: str = "/file") -> None:
    if min(size) < limits.image_size_min:
        message = (
            f"The images have {_format(size)} pixels; the minimum is {limits.image_size_min} "
            "pixels per side."
        )
        raise unreadable_error("image_too_small", message, pointer=pointer)


def _format(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _scale_down(size: Size, limits: Limits) -> Size:
    scale = min(1.0, min(limits.image_size_max, _DEFAULT_MAX_SIDE) / max(size))
    height, width = (max(limits.image_size_min, round(side * scale)) for side in size)
    return height, width


def _border_color(image: Image.Image) -> int | tuple[int, ...]:
    """Return the median of the outermost pixels, per channel."""
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(border, axis=0)
    return int(median) if median.ndim == 0 else tuple(int(value) for value in median)
