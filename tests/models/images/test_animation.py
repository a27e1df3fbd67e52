"""Animated GIFs stay below a limit of bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from models.images.animation import MAX_GIF_BYTES, MIN_FRAMES, encode_gif


def noise_frames(count: int, height: int, width: int, mode: str = "RGB") -> list[bytes]:
    """Return frames that no palette and no compression can make smaller."""
    rng = np.random.default_rng(0)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    frames = []
    for _ in range(count):
        png = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(png, "PNG", compress_level=0)
        frames.append(png.getvalue())
    return frames


def open_gif(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_small_animation_keeps_all_frames_and_its_size(mode: str) -> None:
    gif = open_gif(encode_gif(noise_frames(20, 40, 60, mode)))
    assert gif.size == (60, 40)
    assert gif.n_frames == 20  # type: ignore[attr-defined]


def test_a_gray_animation_keeps_its_pixels() -> None:
    frames = noise_frames(2, 40, 60, "L")
    gif = open_gif(encode_gif(frames))
    gif.seek(1)
    assert np.array_equal(np.asarray(gif.convert("L")), np.asarray(open_gif(frames[1])))


def test_a_large_animation_loses_frames_first() -> None:
    frames = noise_frames(20, 300, 400, "L")
    data = encode_gif(frames, 2_000_000)
    gif = open_gif(data)
    assert len(data) <= 2_000_000
    assert gif.size == (400, 300)
    assert MIN_FRAMES <= gif.n_frames < 20  # type: ignore[attr-defined]
    gif.seek(gif.n_frames - 1)  # type: ignore[attr-defined]
    assert np.array_equal(np.asarray(gif.convert("L")), np.asarray(open_gif(frames[-1])))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_gif_stays_below_three_megabytes(mode: str) -> None:
    data = encode_gif(noise_frames(12, 900, 900, mode))
    assert len(data) <= MAX_GIF_BYTES == 3_000_000
    gif = open_gif(data)
    assert gif.n_frames == MIN_FRAMES  # type: ignore[attr-defined]
    assert gif.width > 300
