"""Small sets that ship with the service, for a first try without data of one's own."""

from pathlib import Path

from core.datasets.source import SourceFile
from core.errors import Fault, Invalid

NAMES = ("digits",)


def builtin_files(name: str) -> list[SourceFile]:
    """What a client would have uploaded. Raises Invalid, which lists the names there are."""
    if name not in NAMES:
        message = f"there is no such set; there is {', '.join(NAMES)}"
        fault = Fault("/builtin", "unknown_builtin", message, allowed=NAMES)
        raise Invalid(message, code="unknown_builtin", faults=[fault])
    path = Path(__file__).parent / f"{name}.npz"
    return [SourceFile(path, path.name)]
