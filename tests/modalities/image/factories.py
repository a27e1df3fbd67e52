"""Small image uploads, generated in the tests."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.datasets.source import SourceFile

Pixels = NDArray[np.uint8]


def random_pixels(seed: int = 0, height: int = 8, width: int = 8, channels: int = 1) -> Pixels:
    """Return noise that differs for every seed."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encode_image(image: Pixels | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    pil_image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pil_image.save(out, kind, **options)
    return out.getvalue()


def random_png(seed: int = 0, height: int = 8, width: int = 8, channels: int = 1) -> bytes:
    return encode_image(random_pixels(seed, height, width, channels))


def png_folders(*names: str, each: int = 10, **shape: int) -> dict[str, bytes]:
    """Return `each` different PNG files in each folder, by path."""
    return {
        f"{name}/{i}.png": random_png(1000 * k + i, **shape)
        for k, name in enumerate(names)
        for i in range(each)
    }


def write_zip(path: Path, files: Mapping[str, bytes], *, deflated: bool = False) -> SourceFile:
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return SourceFile(path, path.name)


def write_tar(path: Path, files: Mapping[str, bytes], *, packing: str = "") -> SourceFile:
    with tarfile.open(path, f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return SourceFile(path, path.name)


def write_npz(path: Path, *, compressed: bool = True, **arrays: NDArray[Any]) -> SourceFile:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return SourceFile(path, path.name)


def idx_bytes(array: NDArray[Any]) -> bytes:
    types = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    head = bytes([0, 0, types[array.dtype.str[1:]], array.ndim])
    return (
        head
        + struct.pack(f">{array.ndim}L", *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def write_idx(path: Path, array: NDArray[Any], *, gzipped: bool = False) -> SourceFile:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if gzipped else content)
    return SourceFile(path, path.name)


def write_file(path: Path, content: bytes) -> SourceFile:
    path.write_bytes(content)
    return SourceFile(path, path.name)


def random_images(count: int, *, first: int = 0, **shape: int) -> Pixels:
    return np.stack([random_pixels(first + i, **shape) for i in range(count)])


def overwrite_bytes(content: bytes, patches: Sequence[tuple[int, bytes]]) -> bytes:
    """Return `content` with the bytes at each (offset, value) of `patches` replaced."""
    changed = bytearray(content)
    for offset, value in patches:
        changed[offset : offset + len(value)] = value
    return bytes(changed)


def zip_bytes(files: dict[str, bytes], *, deflated: bool = False) -> bytes:
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_bytes(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def central_directory_offset(content: bytes, index: int = 0) -> int:
    """Return the offset of an entry in the central directory of a zip."""
    offset = struct.unpack_from("<L", content, content.rfind(b"PK\x05\x06") + 16)[0]
    for _ in range(index):
        name, extra, comment = struct.unpack_from("<3H", content, offset + 28)
        offset += 46 + name + extra + comment
    return int(offset)


def build_raw_zip(*entries: tuple[str, bytes, bytes, bytes, int]) -> bytes:
    """Build a zip of (name, extra field, compressed data, content, compressed size).

    The local header declares the length of the extra field, but its bytes are not written: it
    covers the bytes that follow, such as the header of the next entry.
    """
    archive, directory = b"", b""
    for name, extra, compressed, content, size in entries:
        raw, start = name.encode(), len(archive)
        sums = struct.pack("<3L", zlib.crc32(content), size, len(content))
        head = struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sums
        lengths = struct.pack("<2H", len(raw), len(extra))
        archive += b"PK\x03\x04" + head + lengths + raw + compressed
        directory += (
            b"PK\x01\x02\x14\0" + head + struct.pack("<5H2L", len(raw), *[0] * 5, start) + raw
        )
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, *[len(entries)] * 2, len(directory), len(archive), 0
    )
    return archive + directory + end


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()
