"""A file that a client sent."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SourceFile:
    """`name` is what the client called the file: for messages, and to tell test parts apart."""

    path: Path
    name: str
