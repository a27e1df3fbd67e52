"""Small sets that come with the service, for a first try without data of one's own."""

from pathlib import Path

from core.datasets.source import SourceFile
from core.errors import FieldError, ValidationFailed

NAMES = ("digits", "circle")

_SEED = 0  # the same circle for everybody


def check_name(name: str) -> None:
    """Raises ValidationFailed, which lists the names there are."""
    if name not in NAMES:
        message = f"there is no such set; there is {', '.join(NAMES)}"
        fault = FieldError("/builtin", "unknown_builtin", message, allowed=NAMES)
        raise ValidationFailed(message, code="unknown_builtin", field_errors=[fault])


def get_digits() -> list[SourceFile]:
    """What a client would have uploaded."""
    path = Path(__file__).parent / "digits.npz"
    return [SourceFile(path, path.name)]


def make_circle(folder: Path, *, radius: float, points: int) -> list[SourceFile]:
    """Rows x, y at angles drawn evenly, with six significant digits and more."""
    import numpy as np  # takes time to load, and few ask for a circle

    angles = np.random.default_rng(_SEED).uniform(0, 2 * np.pi, points)
    decimals = max(0, 6 - int(np.floor(np.log10(radius))))
    path = folder / "circle.csv"
    with path.open("w", encoding="ascii") as file:
        file.write("x,y\n")
        for x, y in radius * np.stack([np.cos(angles), np.sin(angles)], axis=1):
            file.write(f"{x:.{decimals}f},{y:.{decimals}f}\n")
    return [SourceFile(path, path.name)]
