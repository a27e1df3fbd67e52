"""Archives that are broken or odd."""

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.datasets.images.archive import open_archive, read_up_to
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.settings import Limits
from tests.core.datasets.images.conftest import Read, Refuse
from tests.core.datasets.images.factories import (
    by_hand,
    central,
    deflated,
    encoded,
    file_of,
    folders,
    patched,
    png,
    tar_bytes,
    tar_of,
    zip_bytes,
    zip_of,
)

GOOD = folders("cats", "dogs")


@pytest.mark.parametrize(
    "content",
    [
        b"hello, world\n" * 100,
        b"%PDF-1.7 " + zip_bytes(GOOD),
        b"MZ" + bytes(100) + zip_bytes(GOOD),
        b"Rar!\x1a\x07\x00" + bytes(100),
        b"7z\xbc\xaf\x27\x1c" + bytes(100),
        gzip.compress(b"text"),
        png(),
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
        patched(gzip.compress(tar_bytes(GOOD)), [(1000, b"\0\1\2\3\4\5")]),
    ],
    ids=range(19),
)
def test_what_is_no_sound_archive_is_refused(
    content: bytes, tmp_path: Path, refuse: Refuse
) -> None:
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_invalid"


@pytest.mark.parametrize(
    "content",
    [b"", zip_bytes({}), tar_bytes({}), zip_bytes({"README.md": b"x"}), zip_bytes({"a/": b""})],
    ids=["no bytes", "zip", "tar", "only a text", "only a folder"],
)
def test_an_empty_upload_is_refused(content: bytes, tmp_path: Path, refuse: Refuse) -> None:
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_empty"


def test_no_file_at_all_is_refused(refuse: Refuse) -> None:
    assert refuse().code == "unsupported_file_combination"


def test_two_archives_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    both = [zip_of(tmp_path / name, GOOD) for name in ("a.zip", "b.zip")]
    assert refuse(*both).code == "unsupported_file_combination"


def test_a_tar_named_zip_is_read_by_its_content(tmp_path: Path, read: Read) -> None:
    assert read(tar_of(tmp_path / "a.zip", GOOD, packing="gz")).summary.format == "tar.gz-folders"


@pytest.mark.parametrize("deflated", [False, True])
def test_an_entry_with_a_wrong_checksum_is_named(
    deflated: bool, tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes(GOOD, deflated=deflated)
    content = patched(content, [(central(content, 3) + 16, b"\1\2\3\4")])
    error = refuse(file_of(tmp_path / "a.zip", content))
    assert error.code == "archive_invalid"
    assert error.field_errors[0].pointer == "/file/cats/3.png"


def test_an_entry_whose_bytes_were_changed_is_named(tmp_path: Path, refuse: Refuse) -> None:
    content = zip_bytes(GOOD)
    start = content.index(b"dogs/2.png")
    content = patched(content, [(start + 60, b"\0\0\0\0\0\0")])
    assert (
        refuse(file_of(tmp_path / "a.zip", content)).field_errors[0].pointer == "/file/dogs/2.png"
    )


@pytest.mark.parametrize("flag", [0x01, 0x40, 0x2000])
def test_an_encrypted_entry_is_refused(flag: int, tmp_path: Path, refuse: Refuse) -> None:
    content = zip_bytes(GOOD)
    content = patched(content, [(central(content, 1) + 8, struct.pack("<H", flag))])
    error = refuse(file_of(tmp_path / "a.zip", content))
    assert error.code == "archive_encrypted"
    assert error.field_errors[0].pointer == "/file/cats/1.png"


@pytest.mark.parametrize("method", [9, 12, 14, 93, 95, 98, 1])
def test_an_entry_packed_in_another_way_is_refused(
    method: int, tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes(GOOD)
    content = patched(content, [(central(content, 1) + 10, struct.pack("<H", method))])
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_method"


def test_a_zip_behind_something_else_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    content = b"PK\x03\x04 but no entry" + zip_bytes(GOOD)
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_a_zip_behind_something_else_that_knows_of_it_is_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    """Its offsets count from the file's start, as those of self-extracting archives do."""
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 a program")
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in GOOD.items():
            archive.writestr(name, content)
    assert refuse(SourceFile(path, "a.zip")).code == "archive_invalid"


def test_bytes_between_the_directory_and_its_end_are_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes(GOOD)
    end = len(content) - 22
    source = file_of(tmp_path / "a.zip", content[:end] + b"hidden" + content[end:])
    assert refuse(source).code == "archive_invalid"


def test_bytes_behind_a_packed_stream_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    packed = deflated(png()) + b"hidden"
    content = by_hand(("a/1.png", b"", packed, png(), len(packed)))
    assert refuse(file_of(tmp_path / "a.zip", content)).field_errors[0].pointer == "/file/a/1.png"


def test_a_zip_on_several_disks_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    content = zip_bytes(GOOD)
    content = patched(content, [(len(content) - 18, b"\1\0\1\0")])
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_a_zip_with_a_comment_and_an_end_record_in_it_is_read(tmp_path: Path, read: Read) -> None:
    zip_of(tmp_path / "a.zip", GOOD)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(40)
    assert read(SourceFile(tmp_path / "a.zip", "a.zip")).summary.n_train == 20


def test_a_zip64_archive_is_read(tmp_path: Path, read: Read) -> None:
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
    source = file_of(
        tmp_path / "b.zip", content[:end] + wide + locator + content[end : end + 8] + full
    )
    assert read(source).summary.n_train == 20


def test_a_tar_without_its_end_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    content = tar_bytes(GOOD).rstrip(b"\0")
    padded = content + bytes(-len(content) % 512)
    assert refuse(file_of(tmp_path / "a.tar", padded)).code == "archive_invalid"


@pytest.mark.parametrize("size", [b"-1\0", b"9_9\0", b"zz\0", b"\xff" * 12])
def test_a_tar_with_a_senseless_size_is_refused(
    size: bytes, tmp_path: Path, refuse: Refuse
) -> None:
    content = bytearray(tar_bytes(GOOD))
    content[124:136] = size.ljust(12, b"\0")
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    assert refuse(file_of(tmp_path / "a.tar", bytes(content))).code == "archive_invalid"


def test_a_tar_with_a_damaged_header_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    content = tar_bytes(GOOD)
    place = content.index(b"dogs/3.png")
    assert refuse(file_of(tmp_path / "a.tar", patched(content, [(place, b"c")]))).code == (
        "archive_invalid"
    )


def test_a_pax_header_that_is_too_large_or_malformed_is_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    comment = b"2097152 comment=".ljust(2_097_151, b"x") + b"\n"
    for content in (comment, b"9999 path=x\n", b"5 a=\n\n", b"11 pathxyz\n"):
        entry = tarfile.TarInfo("PaxHeaders/x")
        entry.type, entry.size = b"x", len(content)
        head = entry.tobuf() + content + bytes(-len(content) % 512)
        source = file_of(tmp_path / "a.tar", head + tar_bytes(GOOD))
        assert refuse(source).code == "archive_invalid"


def test_two_gzip_streams_end_to_end_are_one(tmp_path: Path, read: Read) -> None:
    content = tar_bytes(GOOD)
    joined = gzip.compress(content[:3000]) + gzip.compress(content[3000:]) + bytes(512)
    assert read(file_of(tmp_path / "a.tgz", joined)).summary.n_train == 20


def test_an_archive_can_be_read_file_by_file(tmp_path: Path) -> None:
    """The interface that others use."""
    for source in (zip_of(tmp_path / "a", GOOD), tar_of(tmp_path / "b", GOOD, packing="gz")):
        with open_archive(source.path, source.name, limits=Limits()) as archive:
            assert archive.names == list(GOOD)
            wanted = [2, 5]
            found = {i: read_up_to(reader, 10**6) for i, reader in archive.open_members(wanted)}
        assert found == {i: list(GOOD.values())[i] for i in wanted}


def test_a_reader_gives_no_more_than_it_is_asked_for(tmp_path: Path) -> None:
    content = np.arange(100_000, dtype=np.uint32).tobytes()
    for make in (zip_of, tar_of):
        source = make(tmp_path / make.__name__, {"x": content})
        with open_archive(source.path, source.name, limits=Limits()) as archive:
            for _, reader in archive.open_members([0]):
                chunks = []
                while chunk := reader.read(777):
                    assert len(chunk) <= 777
                    chunks.append(chunk)
        assert b"".join(chunks) == content


def test_what_is_no_archive_cannot_be_opened_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(np.zeros((8, 8), np.uint8)))
    with (
        pytest.raises(DatasetUnreadable, match="neither a zip nor a tar"),
        open_archive(path, "a.png", limits=Limits()),
    ):
        pass
