"""Names, magnitudes and defaults of image transforms. Free of numpy, because requests name them."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

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
COLOR_TRANSFORMS: frozenset[TransformName] = frozenset({"hue", "saturation"})


@dataclass(frozen=True)
class Range:
    """Default and maximum magnitude of a transform."""

    default: float
    limit: float
    unit: str


RANGES: dict[TransformName, Range] = {
    "flip": Range(0.5, 1.0, "probability of a left-right flip"),
    "rotate": Range(10.0, 180.0, "degrees, either way"),
    "shift": Range(0.08, 0.5, "fraction of each side, either way"),
    "scale": Range(0.1, 0.5, "smaller or larger by this fraction"),
    "hue": Range(10.0, 180.0, "degrees, either way"),
    "saturation": Range(0.3, 1.0, "less or more by this fraction"),
    "brightness": Range(0.1, 0.5, "fraction of the range from black to white, either way"),
    "contrast": Range(0.2, 0.9, "less or more by this fraction"),
    "noise": Range(
        0.02, 0.25, "standard deviation, as a fraction of the range from black to white"
    ),
}
# Flips are not a default: a mirrored letter is a different letter.
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
    """A transform with its maximum magnitude, in the unit of its range."""

    name: TransformName
    max_magnitude: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def default_transforms(channels: int) -> tuple[Transform, ...]:
    names = DEFAULT_COLOR_TRANSFORMS if channels == 3 else DEFAULT_TRANSFORMS
    return tuple(Transform(name, RANGES[name].default) for name in names)
