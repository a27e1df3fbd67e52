"""Small uploads, made from scratch."""

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


def pixels(seed: int = 0, height: int = 8, width: int = 8, channels: int = 1) -> Pixels:
    """Noise, so that no two seeds are alike."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image: Pixels | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(out, kind, **options)
    return out.getvalue()


def png(seed: int = 0, height: int = 8, width: int = 8, channels: int = 1) -> bytes:
    return encoded(pixels(seed, height, width, channels))


def folders(*names: str, each: int = 10, **shape: int) -> dict[str, bytes]:
    """`each` pictures in each folder, all different."""
    return {
        f"{name}/{i}.png": png(1000 * k + i, **shape)
        for k, name in enumerate(names)
        for i in range(each)
    }


def zip_of(path: Path, files: Mapping[str, bytes], *, deflated: bool = False) -> SourceFile:
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return SourceFile(path, path.name)


def tar_of(path: Path, files: Mapping[str, bytes], *, packing: str = "") -> SourceFile:
    with tarfile.open(path, f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return SourceFile(path, path.name)


def npz_of(path: Path, *, compressed: bool = True, **arrays: NDArray[Any]) -> SourceFile:
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


def idx_of(path: Path, array: NDArray[Any], *, packed: bool = False) -> SourceFile:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    return SourceFile(path, path.name)


def file_of(path: Path, content: bytes) -> SourceFile:
    path.write_bytes(content)
    return SourceFile(path, path.name)


def stack(count: int, *, first: int = 0, **shape: int) -> Pixels:
    return np.stack([pixels(first + i, **shape) for i in range(count)])


def patched(content: bytes, patches: Sequence[tuple[int, bytes]]) -> bytes:
    """`content` with some bytes written over."""
    changed = bytearray(content)
    for place, value in patches:
        changed[place : place + len(value)] = value
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


def central(content: bytes, index: int = 0) -> int:
    """Where the central directory has the entry."""
    place = struct.unpack_from("<L", content, content.rfind(b"PK\x05\x06") + 16)[0]
    for _ in range(index):
        name, extra, comment = struct.unpack_from("<3H", content, place + 28)
        place += 46 + name + extra + comment
    return int(place)


def by_hand(*entries: tuple[str, bytes, bytes, bytes, int]) -> bytes:
    """A zip of (name, what stands as its local extra field, packed, unpacked, packed bytes)."""
    content, directory = b"", b""
    for name, extra, packed, unpacked, size in entries:
        raw, start = name.encode(), len(content)
        sums = struct.pack("<3L", zlib.crc32(unpacked), size, len(unpacked))
        head = struct.pack("<HHHHH", 20, 0, 8, 0, 0) + sums
        lengths = struct.pack("<2H", len(raw), len(extra))
        content += b"PK\x03\x04" + head + lengths + raw + packed
        directory += (
            b"PK\x01\x02\x14\0" + head + struct.pack("<5H2L", len(raw), *[0] * 5, start) + raw
        )
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, *[len(entries)] * 2, len(directory), len(content), 0
    )
    return content + directory + end


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()
