"""Decompression bombs and other archives that unpack to too much."""

import gzip
import lzma
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from core.limits import Limits
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    build_raw_zip,
    central_directory_offset,
    deflate,
    encode_image,
    overwrite_bytes,
    png_folders,
    tar_bytes,
    write_file,
    write_tar,
    write_zip,
    zip_bytes,
)

GOOD = png_folders("cats", "dogs")


def test_overlapping_entries_are_rejected(tmp_path: Path, reject: Reject) -> None:
    # Two directory entries refer to the same compressed bytes.
    content = zip_bytes(GOOD)
    first = content[
        central_directory_offset(content, 0) + 42 : central_directory_offset(content, 0) + 46
    ]
    content = overwrite_bytes(content, [(central_directory_offset(content, 1) + 42, first)])
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_bomb"


def test_entry_that_extends_into_the_next_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes(GOOD)
    offset = central_directory_offset(content, 0)
    (size,) = struct.unpack_from("<L", content, offset + 20)
    longer = struct.pack("<2L", size + 200, size + 200)
    assert (
        reject(
            write_file(tmp_path / "a.zip", overwrite_bytes(content, [(offset + 20, longer)]))
        ).code
        == "archive_bomb"
    )


def test_entry_that_quotes_the_next_in_its_extra_field_is_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    # Both entries share the same compressed bytes (D. Fifield, "A better zip bomb", WOOT 2019).
    png = encode_image(np.zeros((8, 8), np.uint8))
    kernel = deflate(png)
    second = ("b/1.png", b"", kernel, png, len(kernel))
    quoted = bytes(30 + len("b/1.png"))
    first = ("a/" + "x" * 100 + ".png", quoted, b"", png, len(kernel))
    assert len(kernel) < 100
    assert reject(write_file(tmp_path / "a.zip", build_raw_zip(second))).code == "too_few_images"
    error = reject(write_file(tmp_path / "a.zip", build_raw_zip(first, second)))
    assert error.code == "archive_invalid"
    assert error.field_errors[0].pointer.startswith("/file/a/xxx")


@pytest.mark.parametrize("count", [2**63, 2**32, 10**9])
def test_absurd_entry_counts_in_a_zip64_end_record_are_rejected(
    count: int, tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD)
    end = len(content) - 22
    size, start = struct.unpack_from("<12x2L", content, end)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    source = write_file(tmp_path / "b.zip", content[:end] + wide + locator + content[end:])
    assert reject(source).code == "archive_invalid"


def test_more_entries_than_allowed_are_rejected(tmp_path: Path, read: Read, reject: Reject) -> None:
    for write_archive in (write_zip, write_tar):
        source = write_archive(tmp_path / write_archive.__name__, GOOD)
        assert read(source, limits=Limits(archive_entries=20)).summary.n_train == 20
        assert reject(source, limits=Limits(archive_entries=19)).code == "archive_too_many"


def test_entry_with_too_high_a_compression_ratio_is_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    bomb = GOOD | {"cats/zeros.png": bytes(10 * 1024 * 1024)}
    error = reject(write_zip(tmp_path / "a.zip", bomb, deflated=True))
    assert error.code == "archive_bomb"
    assert error.field_errors[0].pointer == "/file/cats/zeros.png"
    for packing in ("gz", "bz2", "xz"):
        assert reject(write_tar(tmp_path / "a.tar", bomb, packing=packing)).code == "archive_bomb"


def test_compression_ratio_is_limited_across_all_entries(tmp_path: Path, reject: Reject) -> None:
    files = GOOD | {f"cats/zeros{i}.png": bytes(1024 * 1024) for i in range(5)}
    assert reject(write_zip(tmp_path / "a.zip", files, deflated=True)).code == "archive_bomb"


def test_entry_size_limit_is_inclusive(tmp_path: Path, read: Read, reject: Reject) -> None:
    largest = max(map(len, GOOD.values()))
    for write_archive in (write_zip, write_tar):
        source = write_archive(tmp_path / write_archive.__name__, GOOD)
        assert read(source, limits=Limits(archive_entry_bytes=largest)).summary.n_train == 20
        error = reject(source, limits=Limits(archive_entry_bytes=largest - 1))
        assert error.code == "archive_bomb"


def test_archive_size_limit_is_inclusive(tmp_path: Path, read: Read, reject: Reject) -> None:
    total = sum(map(len, GOOD.values()))
    source = write_zip(tmp_path / "a.zip", GOOD)
    assert read(source, limits=Limits(archive_bytes=total)).summary.n_train == 20
    assert reject(source, limits=Limits(archive_bytes=total - 1)).code == "archive_bomb"
    tar = write_tar(tmp_path / "a.tar", GOOD)
    assert reject(tar, limits=Limits(archive_bytes=total)).code == "archive_bomb"  # headers count


def test_entries_are_rejected_by_their_declared_size(tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes({"zeros.npy": bytes(1000)} | GOOD, deflated=True)
    offset = central_directory_offset(content, 0)
    content = overwrite_bytes(content, [(offset + 24, struct.pack("<L", 0xFFFFFFF0))])
    limits = Limits(archive_bytes=2**32 - 100)
    assert reject(write_file(tmp_path / "a.zip", content), limits=limits).code == "archive_bomb"
    entry = tarfile.TarInfo("zeros.png")
    entry.size = 50 * 2**30
    source = write_file(tmp_path / "a.tar.gz", gzip.compress(entry.tobuf() + bytes(5000)))
    assert reject(source).code == "archive_bomb"


def test_entry_that_unpacks_to_more_than_it_declares_is_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes({"cats/zeros.png": bytes(50 * 1024 * 1024)} | GOOD, deflated=True)
    content = overwrite_bytes(
        content, [(central_directory_offset(content, 0) + 24, struct.pack("<L", 1000))]
    )
    error = reject(write_file(tmp_path / "a.zip", content))
    assert error.code == "archive_bomb"
    assert "more than it declares" in error.detail


def test_entry_that_unpacks_to_less_than_it_declares_is_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD, deflated=True)
    content = overwrite_bytes(
        content, [(central_directory_offset(content, 0) + 24, struct.pack("<L", 5000))]
    )
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_xz_stream_with_a_huge_dictionary_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = lzma.compress(tar_bytes(GOOD))
    header = content[12 : 12 + 4 * (content[12] + 1) - 4]
    huge = overwrite_bytes(header, [(4, b"\x28")])  # the code for 4 GiB
    content = overwrite_bytes(content, [(12, huge + struct.pack("<L", zlib.crc32(huge)))])
    assert lzma.LZMADecompressor().decompress(content)  # it is valid, but needs 4 GiB
    assert reject(write_file(tmp_path / "a.tar.xz", content)).code == "archive_invalid"
