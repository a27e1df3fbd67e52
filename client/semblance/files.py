"""Conversion of local paths to files that the service accepts."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

IDX_SUFFIXES = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")


@contextmanager
def uploadable(paths: list[Path]) -> Iterator[list[Path]]:
    """Yield the files to upload for `paths`.

    Files are uploaded unchanged. A folder of idx files becomes those files; any other folder
    becomes one temporary zip file.

    Raises:
        FileNotFoundError: A path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
    if len(paths) != 1 or paths[0].is_file():
        yield paths
        return
    folder = paths[0]
    idx = sorted(path for path in folder.iterdir() if path.name.endswith(IDX_SUFFIXES))
    if idx:
        yield idx
        return
    with TemporaryDirectory() as temporary:
        archive = Path(temporary) / f"{folder.resolve().name}.zip"
        _zip(folder, archive)
        yield [archive]


def _zip(folder: Path, archive: Path) -> None:
    # Image formats are already compressed: deflating them again only costs time.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not any(part.startswith(".") for part in path.parts):
                out.write(path, path.relative_to(folder).as_posix())


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that exists only once it is complete."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
