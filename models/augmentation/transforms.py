"""Random transforms of images: geometric, color and noise. Does not import torch.

Image k of a label depends on (seed, label, k), the real images of the label and the transforms
alone. Shapes: N images, H height, W width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import noise
from models.augmentation.transform_ranges import Transform

Pixels = NDArray[np.float64]  # (H, W) or (H, W, 3), from 0 to 1
Floats = NDArray[np.float64]

# First random stream of the labels: label i uses stream RANDOM_STREAM + i. Model samples use lower
# numbers.
RANDOM_STREAM = 2**31
NOISE_STREAM = 2**30  # likewise, for pixel noise


@dataclass(frozen=True)
class TransformedImage:
    """An image, the index of its source among the given real images, and the applied steps."""

    pixels: NDArray[np.uint8]
    source_index: int
    steps: list[dict[str, Any]]


def transform_images(
    images: NDArray[np.uint8],
    transforms: Sequence[Transform],
    *,
    seed: int,
    label: int,
    indices: NDArray[np.int64],
) -> Iterator[TransformedImage]:
    """Yield a transformed image for each index.

    `images` (N, H, W) or (N, H, W, 3) are all real images of the label.
    """
    uniforms = noise.uniforms(seed, indices, 1 + 2 * len(transforms), RANDOM_STREAM + label)
    for index, u in zip(indices, uniforms, strict=True):
        source_index = int(u[0] * len(images))
        steps = [
            {"name": transform.name, **_draw_parameters(transform, *u[1 + 2 * i : 3 + 2 * i])}
            for i, transform in enumerate(transforms)
        ]
        image = apply(images[source_index], steps, noise_key=(seed, label, int(index)))
        yield TransformedImage(image, source_index, steps)


def apply(
    image: NDArray[np.uint8], steps: Sequence[Mapping[str, Any]], *, noise_key: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Apply the steps to an image.

    All geometric steps are combined into one matrix, so that pixels are interpolated once. Color
    and noise steps follow in order. `noise_key`: seed, label and index of the noise.
    """
    height, width = image.shape[:2]
    matrix = np.eye(3)
    for step in steps:
        if step["name"] in WARPS:
            matrix = matrix @ WARPS[step["name"]](step, (height, width))
    pixels = image / 255.0
    if not np.array_equal(matrix, np.eye(3)):
        pixels = warp(pixels, matrix)
    for step in steps:
        if step["name"] in COLOR_OPS:
            pixels = COLOR_OPS[step["name"]](pixels, step["by"])
        elif step["name"] == "noise":
            pixels = pixels + step["by"] * _pixel_noise(noise_key, pixels.shape)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _draw_parameters(transform: Transform, u1: float, u2: float) -> dict[str, Any]:
    """Return the parameters of one image, given two uniforms."""
    name, max_magnitude = transform.name, transform.max_magnitude
    offset = round(float((2 * u1 - 1) * max_magnitude), 6)
    if name == "flip":
        return {"by": bool(u1 < max_magnitude)}
    if name == "shift":
        return {"by": [offset, round(float((2 * u2 - 1) * max_magnitude), 6)]}
    if name in ("scale", "saturation", "contrast"):
        return {"by": round(1 + offset, 6)}
    if name == "noise":
        return {"by": round(float(u1 * max_magnitude), 6)}
    return {"by": offset}


def _flip(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    return np.diag([1.0, -1.0 if step["by"] else 1.0, 1.0])


def _rotate(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    angle = np.deg2rad(step["by"])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _shift(step: Mapping[str, Any], size: tuple[int, int]) -> Floats:
    down, right = (fraction * side for fraction, side in zip(step["by"], size, strict=True))
    return np.array([[1, 0, -down], [0, 1, -right], [0, 0, 1]])


def _scale(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    return np.diag([1 / step["by"], 1 / step["by"], 1.0])


# Each matrix maps centered (row, column, 1) coordinates of the new image to those of the old one.
WARPS: dict[str, Callable[[Mapping[str, Any], tuple[int, int]], Floats]] = {
    "flip": _flip,
    "rotate": _rotate,
    "shift": _shift,
    "scale": _scale,
}


def warp(pixels: Pixels, matrix: Floats) -> Pixels:
    """Resample the image bilinearly; coordinates beyond the edge take the pixel at the edge."""
    height, width = pixels.shape[:2]
    center = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.mgrid[:height, :width]
    target = np.stack([rows.ravel() - center[0], columns.ravel() - center[1], np.ones(rows.size)])
    y, x = (matrix @ target)[:2] + center[:, None]
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = y - top, x - left
    if pixels.ndim == 3:
        down, across = down[:, None], across[:, None]
    upper = (1 - across) * pixels[top, left] + across * pixels[top, right]
    lower = (1 - across) * pixels[below, left] + across * pixels[below, right]
    return ((1 - down) * upper + down * lower).reshape(pixels.shape)


# NTSC luma (with the weights of ITU-R BT.601) and two chroma axes. Hue is the angle in the chroma
# plane, saturation the distance from its origin (Foley et al., Computer Graphics: Principles and
# Practice, 2nd ed., 13.3.3).
YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ]
)
RGB = np.linalg.inv(YIQ)


def _rotate_hue(pixels: Pixels, degrees: float) -> Pixels:
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return pixels @ (RGB @ rotation @ YIQ).T


def _scale_saturation(pixels: Pixels, factor: float) -> Pixels:
    return pixels @ (RGB @ np.diag([1.0, factor, factor]) @ YIQ).T


def _shift_brightness(pixels: Pixels, by: float) -> Pixels:
    return pixels + by


def _scale_contrast(pixels: Pixels, factor: float) -> Pixels:
    """Scale around the image's mean luma, so that its brightness does not change."""
    luma = pixels @ YIQ[0] if pixels.ndim == 3 else pixels
    mean = luma.mean()
    return mean + factor * (pixels - mean)


COLOR_OPS: dict[str, Callable[[Pixels, float], Pixels]] = {
    "hue": _rotate_hue,
    "saturation": _scale_saturation,
    "brightness": _shift_brightness,
    "contrast": _scale_contrast,
}


def _pixel_noise(noise_key: tuple[int, int, int], shape: tuple[int, ...]) -> Pixels:
    seed, label, index = noise_key
    size = int(np.prod(shape))
    normals = noise.normals(seed, np.array([index]), size, NOISE_STREAM + label)
    return normals.reshape(shape).astype(np.float64)
