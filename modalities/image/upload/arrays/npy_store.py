"""Writer and reader of x.npy, which never hold all images in memory.

The file has one channel until the first color image is appended. Then the images written so far
are rewritten with three equal channels.
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

_HEADER_BYTES = 128  # numpy pads the header of every shape that occurs here to this size

Images = NDArray[np.uint8]  # (n, height, width) or (n, height, width, 3)


class ImageStore:
    """Writer of x.npy. Accepts training and test images in any order; training images come first.

    A context manager: x.npy is complete after an exit without an exception.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / "x.npy"
        self._test_path = out / "test.part"
        self._train: BinaryIO = self.path.open("wb")
        self._test: BinaryIO = self._test_path.open("wb")
        self._train.write(bytes(_HEADER_BYTES))
        self.size = (0, 0)
        self.channels = 1
        self.n_train = 0
        self.n_test = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        with self._train, self._test:
            if error_type is None:
                self._join()

    def append(self, images: Images, *, is_test: bool) -> None:
        """Append images. All images of a file must have the same height and width."""
        self.size = (images.shape[1], images.shape[2])
        if images.ndim == 4 and self.channels == 1:
            if _is_gray(images):
                images = images[..., 0]
            else:
                self._convert_to_color()
        elif images.ndim == 3 and self.channels == 3:
            images = np.repeat(images[..., None], 3, axis=-1)
        file = self._test if is_test else self._train
        file.write(np.ascontiguousarray(images).data)
        if is_test:
            self.n_test += len(images)
        else:
            self.n_train += len(images)

    def _join(self) -> None:
        self._test.close()
        with self._test_path.open("rb") as test:
            shutil.copyfileobj(test, self._train, BLOCK_BYTES)
        self._test_path.unlink()
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
        # A header of another length would shift or overwrite the pixels.
        assert len(header.getvalue()) == _HEADER_BYTES  # noqa: S101
        return header.getvalue()

    def _convert_to_color(self) -> None:
        self.channels = 3
        self._train = _triple_channels(self._train, self.path, skip=_HEADER_BYTES)
        self._test = _triple_channels(self._test, self._test_path, skip=0)


class StoredImages:
    """Reader of a complete x.npy, in blocks or by index."""

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
        """Yield single images, (height, width) or (height, width, 3)."""
        with self.path.open("rb") as file:
            for index in indices:
                file.seek(_HEADER_BYTES + int(index) * self._image_bytes)
                image = np.frombuffer(file.read(self._image_bytes), np.uint8)
                yield image.reshape(self.shape[1:])


def stretch_binary(path: Path) -> bool:
    """Multiply the pixels of x.npy by 255 if all are 0 or 1. Returns True if so."""
    images = StoredImages(path)
    highest = 0
    for block in images.iter_blocks():
        highest = max(highest, int(block.max()))
        if highest > 1:
            return False
    if highest:
        pixels = np.lib.format.open_memmap(path, mode="r+")
        rows = max(1, BLOCK_BYTES // pixels[0].nbytes)
        for start in range(0, len(pixels), rows):
            pixels[start : start + rows] *= 255
        pixels.flush()
    return bool(highest)


def _is_gray(images: Images) -> bool:
    return bool(
        (images[..., 0] == images[..., 1]).all() and (images[..., 1] == images[..., 2]).all()
    )


def _triple_channels(file: BinaryIO, path: Path, *, skip: int) -> BinaryIO:
    """Repeat every byte after `skip` three times. Returns the new file, open at its end."""
    file.close()
    color_path = path.with_suffix(".color")
    with path.open("rb") as gray, color_path.open("wb") as color:
        color.write(gray.read(skip))
        while block := gray.read(BLOCK_BYTES):
            color.write(np.repeat(np.frombuffer(block, np.uint8), 3).data)
    os.replace(color_path, path)
    file = path.open("r+b")
    file.seek(0, os.SEEK_END)
    return file
