"""Decoding of one image file to 8-bit gray or RGB: upright, opaque and without metadata.

Only PNG, JPEG and WebP are read; Pillow's other decoders are never called. Limits are checked on
the header, before any pixel is decoded.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from warnings import catch_warnings, filterwarnings, simplefilter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ExifTags import Base

from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.settings import Limits

PIL_FORMATS = {
    "png": PngImagePlugin.PngImageFile.format,
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
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
            raise ImageProblem("image_format", f"is a {unsupported}; send PNG, JPEG or WebP")
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
    # The frames of an MPO are a JPEG and its previews.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise ImageProblem("image_animated", "is animated; send one frame per file")
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


def decode(image: Image.Image) -> Image.Image:
    """Return an upright image in mode L or RGB, with white for transparency.

    Raises ImageProblem if the file is damaged.
    """
    try:
        image.load()
        method = _TRANSPOSITIONS.get(_orientation(image))
        flat = _flatten(image)
        return flat if method is None else flat.transpose(method)
    except Exception as error:  # Pillow raises almost any type on damaged files
        raise _damaged(str(image.format).lower()) from error


def describe_conversion(image: Image.Image) -> str | None:
    """Return what `decode` changes in the pixels, as a participle for "N images were …"."""
    if image.mode == "CMYK":
        return "converted from CMYK"
    if image.mode.startswith("I"):
        return "scaled from 16 to 8 bits"
    if image.has_transparency_data:
        return "placed on a white background where they were transparent"
    return None


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _to_8_bits(image)
    if not image.has_transparency_data:
        mode = "L" if image.mode in {"1", "L"} else "RGB"
        return image if image.mode == mode else image.convert(mode)
    if image.mode in {"1", "L", "LA", "La"}:
        return _on_white(image.convert("LA"), "LA").getchannel("L")
    return _on_white(image.convert("RGBA"), "RGBA").convert("RGB")


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    white = Image.new(mode, image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit values by 1/257, rounded."""
    values: NDArray[np.int64] = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values.clip(0, 65_535) + 128) // 257).astype(np.uint8))


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
