"""x.npy while it is written and after: images one after another, never all in memory.

A set is grey until its first coloured image; then what has been written is rewritten with three
equal channels.
"""

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 4 * 1024 * 1024

_HEADER_BYTES = 128  # numpy pads every header of ours to this

Images = NDArray[np.uint8]  # (n, height, width) or (n, height, width, 3)


class ImageStore:
    """Takes the training and the held-out images in any order and writes the first kind first.

    A context manager: x.npy is complete when it is left without an error.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / "x.npy"
        self._held_out_path = out / "test.part"
        self._train: BinaryIO = self.path.open("wb")
        self._held_out: BinaryIO = self._held_out_path.open("wb")
        self._train.write(bytes(_HEADER_BYTES))
        self.size = (0, 0)
        self.channels = 1
        self.n_train = 0
        self.n_test = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._train, self._held_out:
            if kind is None:
                self._join()

    def append(self, images: Images, *, is_test: bool) -> None:
        """All images of one size."""
        self.size = (images.shape[1], images.shape[2])
        if images.ndim == 4 and self.channels == 1:
            if _is_grey(images):
                images = images[..., 0]
            else:
                self._colour()
        elif images.ndim == 3 and self.channels == 3:
            images = np.repeat(images[..., None], 3, axis=-1)
        file = self._held_out if is_test else self._train
        file.write(np.ascontiguousarray(images).data)
        if is_test:
            self.n_test += len(images)
        else:
            self.n_train += len(images)

    def _join(self) -> None:
        self._held_out.close()
        with self._held_out_path.open("rb") as held_out:
            shutil.copyfileobj(held_out, self._train, BLOCK_BYTES)
        self._held_out_path.unlink()
        self._train.seek(0)
        self._train.write(self._header())

    def _header(self) -> bytes:
        shape = (self.n_train + self.n_test, *self.size)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {
                "descr": "|u1",
                "fortran_order": False,
                "shape": shape if self.channels == 1 else (*shape, 3),
            },
        )
        assert len(header.getvalue()) == _HEADER_BYTES  # noqa: S101 - or the pixels would shift
        return header.getvalue()

    def _colour(self) -> None:
        self.channels = 3
        self._train = _repeated(self._train, self.path, skip=_HEADER_BYTES)
        self._held_out = _repeated(self._held_out, self._held_out_path, skip=0)


class StoredImages:
    """An x.npy that is complete, read in blocks or by place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self.shape = np.lib.format.read_array_header_1_0(file)[0]
        self._image_bytes = int(np.prod(self.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def iter_blocks(self) -> Iterator[Images]:
        rows = max(1, BLOCK_BYTES // self._image_bytes)
        with self.path.open("rb") as file:
            file.seek(_HEADER_BYTES)
            while block := file.read(rows * self._image_bytes):
                yield np.frombuffer(block, np.uint8).reshape(-1, *self.shape[1:])

    def iter_images(self, indices: Iterable[int]) -> Iterator[Images]:
        """Single images, (height, width) or (height, width, 3)."""
        with self.path.open("rb") as file:
            for place in indices:
                file.seek(_HEADER_BYTES + int(place) * self._image_bytes)
                image = np.frombuffer(file.read(self._image_bytes), np.uint8)
                yield image.reshape(self.shape[1:])


def _is_grey(images: Images) -> bool:
    return bool(
        (images[..., 0] == images[..., 1]).all() and (images[..., 1] == images[..., 2]).all()
    )


def _repeated(file: BinaryIO, path: Path, *, skip: int) -> BinaryIO:
    """The file again, open at its end, with every byte after `skip` three times."""
    file.close()
    wide_path = path.with_suffix(".colour")
    with path.open("rb") as narrow, wide_path.open("wb") as wide:
        wide.write(narrow.read(skip))
        while block := narrow.read(BLOCK_BYTES):
            wide.write(np.repeat(np.frombuffer(block, np.uint8), 3).data)
    os.replace(wide_path, path)
    file = path.open("r+b")
    file.seek(0, os.SEEK_END)
    return file
