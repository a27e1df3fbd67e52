"""One picture file to one array: upright, opaque, 8 bits, grey or RGB, without its metadata.

PNG, JPEG and WebP are read, with whatever Pillow says of anything else never asked. The header
decides whether a picture is decoded at all.
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
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = {5, 6, 7, 8}


class ImageProblem(Exception):
    """Why a picture cannot be used. The message is the end of a sentence about it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Around all decoding: Pillow's warnings are silent, but those of bombs are errors."""
    with catch_warnings():
        simplefilter("ignore")
        filterwarnings("error", category=Image.DecompressionBombWarning)
        yield


def open_image(content: bytes, limits: Limits) -> Image.Image:
    """The header alone. Raises PictureProblem."""
    kind = detect_file_type(content[:HEAD_BYTES])
    if kind not in PIL_FORMATS:
        if refused := unsupported_file_type(content[:HEAD_BYTES]):
            raise ImageProblem("image_format", f"is a {refused}; send PNG, JPEG or WebP")
        raise ImageProblem("image_unreadable", "is not an image" if content else "is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=[PIL_FORMATS[kind]])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(limits) from error
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise _damaged(kind) from error
    width, height = image.size
    if max(width, height) > limits.image_side or width * height > limits.image_pixels:
        raise _too_large(limits)
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG and its previews
        raise ImageProblem("image_animated", "is animated; send one frame a file")
    if min(width, height) < limits.image_size_min:
        least = limits.image_size_min
        raise ImageProblem(
            "image_too_small", f"is {height}x{width} pixels; the least is {least} on each side"
        )
    return image


def oriented_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) as `decode` will give it, from the header where that has the orientation."""
    width, height = image.size
    return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)


def decode(image: Image.Image) -> Image.Image:
    """In mode L or RGB. What was transparent is white. Raises PictureProblem."""
    try:
        image.load()
        method = _TRANSPOSED.get(_orientation(image))
        flat = _flatten(image)
        return flat if method is None else flat.transpose(method)
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise _damaged(str(image.format).lower()) from error


def describe_conversion(image: Image.Image) -> str | None:
    """What `decode` changes beyond the file format, for the notes."""
    if image.mode == "CMYK":
        return "converted from CMYK"
    if image.mode.startswith("I"):
        return "scaled from 16 to 8 bits"
    if image.has_transparency_data:
        return "laid on white where they were transparent"
    return None


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _scaled(image)
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


def _scaled(image: Image.Image) -> Image.Image:
    values: NDArray[np.int64] = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values.clip(0, 65_535) + 128) // 257).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """1 for most; damaged metadata counts as none."""
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
        f"is too large; at most {limits.image_side:,} pixels a side and "
        f"{limits.image_pixels:,} in all are read",
    )


def _damaged(kind: str) -> ImageProblem:
    return ImageProblem("image_unreadable", f"is damaged or cut off ({kind.upper()})")
