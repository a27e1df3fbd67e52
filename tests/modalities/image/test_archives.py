"""Damaged and unusual archives."""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import open_archive, read_up_to
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    build_raw_zip,
    central_directory_offset,
    deflate,
    encode_image,
    overwrite_bytes,
    png_folders,
    random_png,
    tar_bytes,
    write_file,
    write_tar,
    write_zip,
    zip_bytes,
)

GOOD = png_folders("cats", "dogs")


@pytest.mark.parametrize(
    "content",
    [
        b"hello, world\n" * 100,
        b"%PDF-1.7 " + zip_bytes(GOOD),
        b"MZ" + bytes(100) + zip_bytes(GOOD),
        b"Rar!\x1a\x07\x00" + bytes(100),
        b"7z\xbc\xaf\x27\x1c" + bytes(100),
        gzip.compress(b"text"),
        random_png(),
        b"\x93NUMPY\x01\x00",
        zip_bytes(GOOD)[:-30],
        zip_bytes(GOOD)[: len(zip_bytes(GOOD)) // 2],
        zip_bytes(GOOD)[:40],
        b"PK\x03\x04",
        zip_bytes(GOOD) + b"more",
        tar_bytes(GOOD)[:700],
        gzip.compress(tar_bytes(GOOD))[:-8],
        gzip.compress(tar_bytes(GOOD))[:2000],
        bz2.compress(tar_bytes(GOOD))[:-8],
        lzma.compress(tar_bytes(GOOD))[:-8],
        overwrite_bytes(gzip.compress(tar_bytes(GOOD)), [(1000, b"\0\1\2\3\4\5")]),
    ],
    ids=range(19),
)
def test_invalid_archive_is_rejected(content: bytes, tmp_path: Path, reject: Reject) -> None:
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_invalid"


@pytest.mark.parametrize(
    "content",
    [b"", zip_bytes({}), tar_bytes({}), zip_bytes({"README.md": b"x"}), zip_bytes({"a/": b""})],
    ids=["no bytes", "zip", "tar", "only a text file", "only a folder"],
)
def test_empty_upload_is_rejected(content: bytes, tmp_path: Path, reject: Reject) -> None:
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_empty"


def test_upload_without_a_file_is_rejected(reject: Reject) -> None:
    assert reject().code == "unsupported_file_combination"


def test_two_archives_are_rejected(tmp_path: Path, reject: Reject) -> None:
    sources = [write_zip(tmp_path / name, GOOD) for name in ("a.zip", "b.zip")]
    assert reject(*sources).code == "unsupported_file_combination"


def test_tar_named_zip_is_read_by_its_content(tmp_path: Path, read: Read) -> None:
    assert (
        read(write_tar(tmp_path / "a.zip", GOOD, packing="gz")).summary.format == "tar.gz-folders"
    )


@pytest.mark.parametrize("deflated", [False, True])
def test_entry_with_a_wrong_checksum_is_named(
    deflated: bool, tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD, deflated=deflated)
    content = overwrite_bytes(content, [(central_directory_offset(content, 3) + 16, b"\1\2\3\4")])
    error = reject(write_file(tmp_path / "a.zip", content))
    assert error.code == "archive_invalid"
    assert error.field_errors[0].pointer == "/file/cats/3.png"


def test_entry_with_changed_bytes_is_named(tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes(GOOD)
    start = content.index(b"dogs/2.png")
    content = overwrite_bytes(content, [(start + 60, b"\0\0\0\0\0\0")])
    assert (
        reject(write_file(tmp_path / "a.zip", content)).field_errors[0].pointer
        == "/file/dogs/2.png"
    )


@pytest.mark.parametrize("flag", [0x01, 0x40, 0x2000])
def test_encrypted_entry_is_rejected(flag: int, tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes(GOOD)
    content = overwrite_bytes(
        content, [(central_directory_offset(content, 1) + 8, struct.pack("<H", flag))]
    )
    error = reject(write_file(tmp_path / "a.zip", content))
    assert error.code == "archive_encrypted"
    assert error.field_errors[0].pointer == "/file/cats/1.png"


@pytest.mark.parametrize("method", [9, 12, 14, 93, 95, 98, 1])
def test_entry_with_an_unsupported_compression_method_is_rejected(
    method: int, tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD)
    content = overwrite_bytes(
        content, [(central_directory_offset(content, 1) + 10, struct.pack("<H", method))]
    )
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_method"


def test_zip_after_other_bytes_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = b"PK\x03\x04 but no entry" + zip_bytes(GOOD)
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_self_extracting_zip_is_rejected(tmp_path: Path, reject: Reject) -> None:
    # Unlike in the test above, the offsets of the archive include the bytes before it.
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 a program")
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
    assert reject(SourceFile(path, "a.zip")).code == "archive_invalid"


def test_bytes_between_the_central_directory_and_its_end_record_are_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD)
    end = len(content) - 22
    source = write_file(tmp_path / "a.zip", content[:end] + b"hidden" + content[end:])
    assert reject(source).code == "archive_invalid"


def test_bytes_after_a_compressed_stream_are_rejected(tmp_path: Path, reject: Reject) -> None:
    compressed = deflate(random_png()) + b"hidden"
    content = build_raw_zip(("a/1.png", b"", compressed, random_png(), len(compressed)))
    assert (
        reject(write_file(tmp_path / "a.zip", content)).field_errors[0].pointer == "/file/a/1.png"
    )


def test_multi_disk_zip_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes(GOOD)
    content = overwrite_bytes(content, [(len(content) - 18, b"\1\0\1\0")])
    assert reject(write_file(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_zip_with_an_end_record_inside_its_comment_is_read(tmp_path: Path, read: Read) -> None:
    write_zip(tmp_path / "a.zip", GOOD)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(40)
    assert read(SourceFile(tmp_path / "a.zip", "a.zip")).summary.n_train == 20


def test_zip64_archive_is_read(tmp_path: Path, read: Read) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in GOOD.items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(content)
    content = (tmp_path / "a.zip").read_bytes()
    end = len(content) - 22
    count, size, start = struct.unpack_from("<10xH2L", content, end)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    full = b"\xff" * 12 + b"\0\0"
    source = write_file(
        tmp_path / "b.zip", content[:end] + wide + locator + content[end : end + 8] + full
    )
    assert read(source).summary.n_train == 20


def test_tar_without_its_end_blocks_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = tar_bytes(GOOD).rstrip(b"\0")
    padded = content + bytes(-len(content) % 512)
    assert reject(write_file(tmp_path / "a.tar", padded)).code == "archive_invalid"


@pytest.mark.parametrize("size", [b"-1\0", b"9_9\0", b"zz\0", b"\xff" * 12])
def test_tar_with_an_invalid_size_is_rejected(size: bytes, tmp_path: Path, reject: Reject) -> None:
    content = bytearray(tar_bytes(GOOD))
    content[124:136] = size.ljust(12, b"\0")
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    assert reject(write_file(tmp_path / "a.tar", bytes(content))).code == "archive_invalid"


def test_tar_with_a_damaged_header_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = tar_bytes(GOOD)
    offset = content.index(b"dogs/3.png")
    assert reject(
        write_file(tmp_path / "a.tar", overwrite_bytes(content, [(offset, b"c")]))
    ).code == ("archive_invalid")


def test_oversized_or_malformed_pax_header_is_rejected(tmp_path: Path, reject: Reject) -> None:
    comment = b"2097152 comment=".ljust(2_097_151, b"x") + b"\n"
    for content in (comment, b"9999 path=x\n", b"5 a=\n\n", b"11 pathxyz\n"):
        entry = tarfile.TarInfo("PaxHeaders/x")
        entry.type, entry.size = b"x", len(content)
        head = entry.tobuf() + content + bytes(-len(content) % 512)
        source = write_file(tmp_path / "a.tar", head + tar_bytes(GOOD))
        assert reject(source).code == "archive_invalid"


def test_concatenated_gzip_streams_are_read_as_one(tmp_path: Path, read: Read) -> None:
    content = tar_bytes(GOOD)
    joined = gzip.compress(content[:3000]) + gzip.compress(content[3000:]) + bytes(512)
    assert read(write_file(tmp_path / "a.tgz", joined)).summary.n_train == 20


def test_archive_members_can_be_opened_by_index(tmp_path: Path) -> None:
    for source in (write_zip(tmp_path / "a", GOOD), write_tar(tmp_path / "b", GOOD, packing="gz")):
        with open_archive(source.path, source.name, limits=Limits()) as archive:
            assert archive.names == list(GOOD)
            indices = [2, 5]
            contents = {i: read_up_to(reader, 10**6) for i, reader in archive.open_members(indices)}
        assert contents == {i: list(GOOD.values())[i] for i in indices}


def test_reader_returns_at_most_the_requested_bytes(tmp_path: Path) -> None:
    content = np.arange(100_000, dtype=np.uint32).tobytes()
    for write_archive in (write_zip, write_tar):
        source = write_archive(tmp_path / write_archive.__name__, {"x": content})
        with open_archive(source.path, source.name, limits=Limits()) as archive:
            for _, reader in archive.open_members([0]):
                chunks = []
                while chunk := reader.read(777):
                    assert len(chunk) <= 777
                    chunks.append(chunk)
        assert b"".join(chunks) == content


def test_opening_an_image_as_an_archive_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_image(np.zeros((8, 8), np.uint8)))
    with (
        pytest.raises(DatasetUnreadable, match="neither a zip nor a tar"),
        open_archive(path, "a.png", limits=Limits()),
    ):
        pass
