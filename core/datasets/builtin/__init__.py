"""Small datasets included in the package, for a first try of the service."""

from pathlib import Path

from core.datasets.source import SourceFile
from core.errors import ValidationFailed

NAMES = ("digits", "circle")

_SEED = 0  # every installation generates the same circle


def check_name(name: str) -> None:
    """Raise ValidationFailed if there is no built-in dataset of this name."""
    if name not in NAMES:
        message = f"`builtin` must be one of {', '.join(NAMES)}."
        raise ValidationFailed.of_field(
            "/builtin", "unknown_builtin", message, NAMES, code="unknown_builtin"
        )


def get_digits() -> list[SourceFile]:
    """Return the files that a client would upload to create this dataset."""
    path = Path(__file__).parent / "digits.npz"
    return [SourceFile(path, path.name)]


def make_circle(folder: Path, *, radius: float, points: int) -> list[SourceFile]:
    """Write circle.csv: points at uniformly random angles, with at least six significant digits."""
    import numpy as np  # slow to import, and rarely needed here

    angles = np.random.default_rng(_SEED).uniform(0, 2 * np.pi, points)
    decimals = max(0, 6 - int(np.floor(np.log10(radius))))
    path = folder / "circle.csv"
    with path.open("w", encoding="ascii") as file:
        file.write("x,y\n")
        for x, y in radius * np.stack([np.cos(angles), np.sin(angles)], axis=1):
            file.write(f"{x:.{decimals}f},{y:.{decimals}f}\n")
    return [SourceFile(path, path.name)]
