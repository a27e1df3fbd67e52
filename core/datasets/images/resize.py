"""The one size that all images of a set get."""

from collections import Counter

import numpy as np
from PIL import Image, ImageOps

from core.datasets.errors import unreadable_error
from core.datasets.images.options import RESIZE_MODES, ImageOptions, ResizeMode
from core.errors import DatasetUnreadable, FieldError
from core.settings import Limits

Size = tuple[int, int]  # height, width

_FILTER = Image.Resampling.BICUBIC
_COMMON = 4  # the most common size counts when one image in so many has it


def choose_size(sizes: Counter[Size], options: ImageOptions, limits: Limits) -> Size:
    """The size to train on. Raises when it takes a resize and none was asked for."""
    if options.resize is None:
        return _only_size(sizes, limits)
    if options.size is not None:
        return options.size
    size, count = sizes.most_common(1)[0]
    if count * _COMMON < sizes.total():
        counts = list(sizes.values())
        heights, widths = (np.repeat([size[side] for size in sizes], counts) for side in (0, 1))
        size = int(np.median(heights)), int(np.median(widths))
    return _within(size, limits)


def resize_image(image: Image.Image, size: Size, mode: ResizeMode) -> Image.Image:
    """Bicubic, averaging when it shrinks. See ImageOptions for the modes."""
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
    padded = Image.new(image.mode, (width, height), _border_colour(inner))
    padded.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return padded


def _only_size(sizes: Counter[Size], limits: Limits) -> Size:
    size = next(iter(sizes))
    choices = f"choose resize: {', '.join(RESIZE_MODES)}"
    if len(sizes) > 1:
        code = "mixed_sizes"
        found = ", ".join(f"{_text(size)} ({count:,})" for size, count in sizes.most_common(5))
        more = f" and {len(sizes) - 5:,} more" if len(sizes) > 5 else ""
        message = f"the images have several sizes: {found}{more} (height x width); {choices}"
    elif max(size) > limits.image_size_max:
        code = "resize_needed"
        most = limits.image_size_max
        message = (
            f"the images are {_text(size)}; at most {most} pixels a side are learned; {choices}"
        )
    else:
        return size
    fault = FieldError("/meta/resize", code, message, allowed=RESIZE_MODES)
    raise DatasetUnreadable(message, code=code, field_errors=[fault])


def check_min_size(size: Size, limits: Limits, *, pointer: str = "/file") -> None:
    if min(size) < limits.image_size_min:
        message = (
            f"the images are {_text(size)}; the least is {limits.image_size_min} pixels a side"
        )
        raise unreadable_error("image_too_small", message, pointer=pointer)


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _within(size: Size, limits: Limits) -> Size:
    scale = min(1.0, limits.image_size_max / max(size))
    height, width = (max(limits.image_size_min, round(side * scale)) for side in size)
    return height, width


def _border_colour(image: Image.Image) -> int | tuple[int, ...]:
    """The median of the outermost pixels, by channel."""
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(border, axis=0)
    return int(median) if median.ndim == 0 else tuple(int(value) for value in median)
