"""Images changed a little: moved, coloured, disturbed. Free of torch.

Image k of a label depends on (seed, label, k), the real images of the label and the transforms
alone. Shapes: `N` images, `H` height, `W` width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models import noise

Pixels = NDArray[np.float64]  # (H, W) or (H, W, 3), from 0 to 1
Floats = NDArray[np.float64]

TransformName = Literal[
    "flip",
    "rotate",
    "shift",
    "scale",
    "hue",
    "saturation",
    "brightness",
    "contrast",
    "noise",
]
TRANSFORM_NAMES: tuple[TransformName, ...] = get_args(TransformName)
COLOR_TRANSFORMS: frozenset[TransformName] = frozenset({"hue", "saturation"})
RANDOM_STREAM = (
    2**31
)  # of random numbers, one for each label from here on; samples have those below
NOISE_STREAM = 2**30  # of the noise of pixels, the same way


@dataclass(frozen=True)
class Range:
    """How far a transform may go: what is usual, and what is allowed."""

    default: float
    limit: float
    unit: str


RANGES: dict[TransformName, Range] = {
    "flip": Range(0.5, 1.0, "probability of a left-right flip"),
    "rotate": Range(10.0, 180.0, "degrees, either way"),
    "shift": Range(0.08, 0.5, "share of each side, either way"),
    "scale": Range(0.1, 0.5, "smaller or larger by this share"),
    "hue": Range(10.0, 180.0, "degrees, either way"),
    "saturation": Range(0.3, 1.0, "less or more by this share"),
    "brightness": Range(0.1, 0.5, "of the way from black to white, either way"),
    "contrast": Range(0.2, 0.9, "less or more by this share"),
    "noise": Range(0.02, 0.25, "standard deviation, of the way from black to white"),
}
# No flip: a mirrored letter is another one. Whoever knows better asks for it.
DEFAULT_TRANSFORMS: tuple[TransformName, ...] = (
    "rotate",
    "shift",
    "scale",
    "brightness",
    "contrast",
    "noise",
)
DEFAULT_COLOR_TRANSFORMS: tuple[TransformName, ...] = (
    *DEFAULT_TRANSFORMS[:3],
    "hue",
    "saturation",
    *DEFAULT_TRANSFORMS[3:],
)


@dataclass(frozen=True)
class Transform:
    """`most`: how far it goes at most, in the unit of its range."""

    name: TransformName
    max_magnitude: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def default_transforms(channels: int) -> tuple[Transform, ...]:
    names = DEFAULT_COLOR_TRANSFORMS if channels == 3 else DEFAULT_TRANSFORMS
    return tuple(Transform(name, RANGES[name].default) for name in names)


@dataclass(frozen=True)
class TransformedImage:
    """An image, the place of the real one among those given, and what was done to it."""

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
    """An image for each number. `real` (N, H, W) or (N, H, W, 3): all of the label."""
    chances = noise.uniforms(seed, indices, 1 + 2 * len(transforms), RANDOM_STREAM + label)
    for number, chance in zip(indices, chances, strict=True):
        place = int(chance[0] * len(images))
        done = [
            {"name": t.name, **_draw_parameters(t, *chance[1 + 2 * i : 3 + 2 * i])}
            for i, t in enumerate(transforms)
        ]
        image = apply(images[place], done, noise_key=(seed, label, int(number)))
        yield TransformedImage(image, place, done)


def apply(
    image: NDArray[np.uint8], steps: Sequence[Mapping[str, Any]], *, noise_key: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """What moves pixels is done at once, so that they are looked up once; then colours, in order.
    `grain`: seed, label and number of the noise."""
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


def _draw_parameters(transform: Transform, one: float, two: float) -> dict[str, Any]:
    """The parameters of one image, out of two numbers in (0, 1)."""
    name, most = transform.name, transform.max_magnitude
    either = round(float((2 * one - 1) * most), 6)
    if name == "flip":
        return {"by": bool(one < most)}
    if name == "shift":
        return {"by": [either, round(float((2 * two - 1) * most), 6)]}
    if name in ("scale", "saturation", "contrast"):
        return {"by": round(1 + either, 6)}
    if name == "noise":
        return {"by": round(float(one * most), 6)}
    return {"by": either}


def _flip(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    return np.diag([1.0, -1.0 if step["by"] else 1.0, 1.0])


def _rotate(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    angle = np.deg2rad(step["by"])
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _shift(step: Mapping[str, Any], size: tuple[int, int]) -> Floats:
    down, right = (share * side for share, side in zip(step["by"], size, strict=True))
    return np.array([[1, 0, -down], [0, 1, -right], [0, 0, 1]])


def _scale(step: Mapping[str, Any], _size: tuple[int, int]) -> Floats:
    return np.diag([1 / step["by"], 1 / step["by"], 1.0])


# From a place in the new image to the one in the old (rows, columns, 1), both from their middle.
WARPS: dict[str, Callable[[Mapping[str, Any], tuple[int, int]], Floats]] = {
    "flip": _flip,
    "rotate": _rotate,
    "shift": _shift,
    "scale": _scale,
}


def warp(pixels: Pixels, matrix: Floats) -> Pixels:
    """Each pixel from where it was, between four (bilinear); beyond the edge, what is at it."""
    height, width = pixels.shape[:2]
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.mgrid[:height, :width]
    there = np.stack([rows.ravel() - middle[0], columns.ravel() - middle[1], np.ones(rows.size)])
    y, x = (matrix @ there)[:2] + middle[:, None]
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = y - top, x - left
    if pixels.ndim == 3:
        down, across = down[:, None], across[:, None]
    upper = (1 - across) * pixels[top, left] + across * pixels[top, right]
    lower = (1 - across) * pixels[below, left] + across * pixels[below, right]
    return ((1 - down) * upper + down * lower).reshape(pixels.shape)


# NTSC's luma and chroma: brightness (ITU-R BT.601's weights) and two axes of colour; hue is the
# angle in their plane, saturation the distance from its middle (Foley et al., Computer Graphics:
# Principles and Practice, 2nd ed., 13.3.3).
YIQ = np.array(
    [
        [0.299, 0.587, 0.114],
        [0.5959, -0.2746, -0.3213],
        [0.2115, -0.5227, 0.3112],
    ]
)
RGB = np.linalg.inv(YIQ)


def _turned(pixels: Pixels, degrees: float) -> Pixels:
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return pixels @ (RGB @ turn @ YIQ).T


def _saturated(pixels: Pixels, factor: float) -> Pixels:
    return pixels @ (RGB @ np.diag([1.0, factor, factor]) @ YIQ).T


def _brightened(pixels: Pixels, by: float) -> Pixels:
    return pixels + by


def _contrasted(pixels: Pixels, factor: float) -> Pixels:
    """Around the image's own mean luma, so that it stays as bright as it was."""
    luma = pixels @ YIQ[0] if pixels.ndim == 3 else pixels
    mean = luma.mean()
    return mean + factor * (pixels - mean)


COLOR_OPS: dict[str, Callable[[Pixels, float], Pixels]] = {
    "hue": _turned,
    "saturation": _saturated,
    "brightness": _brightened,
    "contrast": _contrasted,
}


def _pixel_noise(noise_key: tuple[int, int, int], shape: tuple[int, ...]) -> Pixels:
    seed, label, number = noise_key
    size = int(np.prod(shape))
    drawn = noise.normals(seed, np.array([number]), size, NOISE_STREAM + label)
    return drawn.reshape(shape).astype(np.float64)
