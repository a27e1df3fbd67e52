"""Animated GIFs of bounded size. This module does not import torch."""

import io
from collections.abc import Sequence

from PIL import Image

MAX_GIF_BYTES = 3_000_000
MIN_FRAMES = 8  # a longer animation loses frames before its pictures are reduced
MIN_FRAME_SIDE = 32  # pixels
_PALETTE_SAMPLE_SIDE = 64  # pixels of each frame that the palette is chosen from
_FRAME_MS, _LAST_FRAME_MS = 200, 2_000


def encode_gif(pngs: Sequence[bytes], max_bytes: int = MAX_GIF_BYTES) -> bytes:
    """Encode pictures of one size as a GIF: five per second, the last for two seconds.

    If the GIF would be larger than `max_bytes`, it has fewer frames: evenly spaced, with the last
    one, and at least MIN_FRAMES. If that is not enough, the frames are reduced.
    """
    pictures = _with_one_palette([_open(png) for png in pngs])
    frame_bytes = len(_encode(pictures[-1:]))  # the last frame is usually the most detailed one
    count = min(len(pictures), max(MIN_FRAMES, max_bytes // frame_bytes))
    pictures = [pictures[index] for index in _evenly_spaced(len(pictures), count)]
    scale = min(1.0, (max_bytes / (count * frame_bytes)) ** 0.5)
    while len(data := _encode([_reduce(picture, scale) for picture in pictures])) > max_bytes:
        if scale * max(pictures[0].size) < MIN_FRAME_SIDE:
            break
        scale *= 0.95 * (max_bytes / len(data)) ** 0.5
    return data


def _with_one_palette(pictures: list[Image.Image]) -> list[Image.Image]:
    """Convert color pictures to the palette of some of their pixels.

    A palette for each frame takes a hundred times as long.
    """
    if pictures[0].mode != "RGB":
        return pictures
    side = _PALETTE_SAMPLE_SIDE
    sample = Image.new("RGB", (side, side * len(pictures)))
    for number, picture in enumerate(pictures):
        pixels = picture.resize((side, side), Image.Resampling.NEAREST)
        sample.paste(pixels, (0, number * side))
    palette = sample.quantize(256, dither=Image.Dither.NONE)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]


def _evenly_spaced(length: int, count: int) -> list[int]:
    return [round(i * (length - 1) / max(1, count - 1)) for i in range(count)]


def _open(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        return image.copy()


def _reduce(picture: Image.Image, scale: float) -> Image.Image:
    if scale == 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if picture.mode != "P":
        return picture.resize((width, height), Image.Resampling.LANCZOS)
    reduced = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return reduced.quantize(palette=picture, dither=Image.Dither.NONE)


def _encode(frames: Sequence[Image.Image]) -> bytes:
    out = io.BytesIO()
    frames[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS],
        loop=0,
    )
    return out.getvalue()
