"""Decoding of one image file to 8-bit gray or RGB: upright, opaque and without metadata.

Pillow's decoders of rare formats are never called. Limits are checked on the header, before any
pixel is decoded. Only the first frame or page of a file is read.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, filterwarnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageColor,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ExifTags import Base

from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.limits import Limits
from modalities.image.upload.value_range import ValueRange

FORMATS = "PNG, JPEG, WebP, GIF, BMP, TIFF, PPM or TGA"
PIL_FORMATS = {
    "png": PngImagePlugin.PngImageFile.format,
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
    "gif": GifImagePlugin.GifImageFile.format,
    "bmp": BmpImagePlugin.BmpImageFile.format,
    "tiff": TiffImagePlugin.TiffImageFile.format,
    "pnm": PpmImagePlugin.PpmImageFile.format,
    "tga": TgaImagePlugin.TgaImageFile.format,
}
# EXIF orientation to the transposition that makes the image upright.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}  # orientations that swap width and height


class ImageProblem(Exception):
    """An image cannot be used. The message is a predicate whose subject is the file's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Silence Pillow's warnings, except those of decompression bombs, which become errors."""
    with catch_warnings():
        simplefilter("ignore")
        filterwarnings("error", category=Image.DecompressionBombWarning)
        yield


def open_image(content: bytes, limits: Limits) -> Image.Image:
    """Read the header and check the limits. Raises ImageProblem."""
    file_type = detect_file_type(content[:HEAD_BYTES])
    if file_type not in PIL_FORMATS:
        if unsupported := unsupported_file_type(content[:HEAD_BYTES]):
            raise ImageProblem("image_format", f"is a {unsupported}; send {FORMATS}")
        raise ImageProblem("image_unreadable", "is not an image" if content else "is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=[PIL_FORMATS[file_type]])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(limits) from error
    except Exception as error:  # Pillow raises almost any type on damaged files
        raise _damaged(file_type) from error
    width, height = image.size
    if max(width, height) > limits.image_side or width * height > limits.image_pixels:
        raise _too_large(limits)
    if min(width, height) < limits.image_size_min:
        minimum = limits.image_size_min
        raise ImageProblem(
            "image_too_small",
            f"is {height}x{width} pixels; the minimum is {minimum} pixels per side",
        )
    return image


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """Return the (height, width) that `decode` produces, without decoding the pixels.

    An orientation that the file stores after the pixels is not yet taken into account.
    """
    width, height = image.size
    return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def is_deep(image: Image.Image) -> bool:
    """Return True if the pixels have more than 8 bits, so that they need a `ValueRange`."""
    return image.mode.startswith(("I", "F"))


def include_range(image: Image.Image, value_range: ValueRange) -> None:
    """Extend `value_range` by the pixels of a deep image.

    Raises ImageProblem if the file is damaged or holds values that are not finite.
    """
    try:
        image.load()
        values = np.asarray(image)
    except Exception as error:  # Pillow raises almost any type on damaged files
        raise _damaged(str(image.format).lower()) from error
    _check_finite(values)
    value_range.include(values)


def decode(image: Image.Image, background: str, value_range: ValueRange | None) -> Image.Image:
    """Return an upright image in mode L or RGB, with `background` for transparency.

    `value_range` is that of all deep images of the set. Raises ImageProblem if the file is damaged.
    """
    try:
        image.load()
        method = _TRANSPOSITIONS.get(_orientation(image))
        flat = _flatten(image, background, value_range)
        return flat if method is None else flat.transpose(method)
    except ImageProblem:
        raise
    except Exception as error:  # Pillow raises almost any type on damaged files
        raise _damaged(str(image.format).lower()) from error


def describe_conversion(
    image: Image.Image, background: str, value_range: ValueRange | None
) -> str | None:
    """Return what `decode` changes in the pixels, as a participle for "N images were …"."""
    if image.mode == "CMYK":
        return "converted from CMYK"
    if is_deep(image) and value_range is not None:
        return value_range.describe()
    if image.has_transparency_data:
        return (
            f"placed on a {background} background where they were transparent (see the option "
            "`background`)"
        )
    return None


def count_frames(image: Image.Image) -> int:
    """Return the number of frames or pages, 1 if the file is damaged."""
    if image.format == "MPO":  # its frames are a JPEG and its previews
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # Pillow raises almost any type on damaged files
        return 1


def _flatten(image: Image.Image, background: str, value_range: ValueRange | None) -> Image.Image:
    if is_deep(image):
        values = np.asarray(image)
        _check_finite(values)
        return Image.fromarray((value_range or ValueRange()).scale(values))
    if not image.has_transparency_data:
        mode = "L" if image.mode in {"1", "L"} else "RGB"
        return image if image.mode == mode else image.convert(mode)
    is_gray = image.mode in {"1", "L", "LA", "La"} and _is_gray_color(background)
    mode = "LA" if is_gray else "RGBA"
    opaque = _place_on(background, image.convert(mode), mode)
    return opaque.getchannel("L") if is_gray else opaque.convert("RGB")


def _check_finite(values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise ImageProblem("image_unreadable", "has pixels that are not finite numbers")


def _is_gray_color(background: str) -> bool:
    red, green, blue = ImageColor.getrgb(background)[:3]
    return red == green == blue


def _place_on(background: str, image: Image.Image, mode: str) -> Image.Image:
    canvas = Image.new(mode, image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) if it is missing or the metadata is damaged."""
    if image.info.keys().isdisjoint({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}):
        return 1
    try:
        orientation = image.getexif().get(Base.Orientation, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _too_large(limits: Limits) -> ImageProblem:
    return ImageProblem(
        "image_too_large",
        f"is too large; the maximum is {limits.image_side:,} pixels per side and "
        f"{limits.image_pixels:,} pixels in total",
    )


def _damaged(file_type: str) -> ImageProblem:
    return ImageProblem("image_unreadable", f"is damaged or truncated ({file_type.upper()})")
