"""Uploaded source file of a dataset."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceFile:
    """A file on the local disk, as a client sent it."""

    path: Path
    name: str  # the client's name for the file: used in messages and to detect test splits
