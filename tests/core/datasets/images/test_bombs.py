"""Archives that unpack to more than they should."""

import gzip
import lzma
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

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
    tar_bytes,
    tar_of,
    zip_bytes,
    zip_of,
)

GOOD = folders("cats", "dogs")


def test_overlapping_entries_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    """The quoted overlap of a zip bomb: two directory entries with the same bytes behind them."""
    content = zip_bytes(GOOD)
    first = content[central(content, 0) + 42 : central(content, 0) + 46]
    content = patched(content, [(central(content, 1) + 42, first)])
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_bomb"


def test_an_entry_that_reaches_into_the_next_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    content = zip_bytes(GOOD)
    place = central(content, 0)
    (size,) = struct.unpack_from("<L", content, place + 20)
    longer = struct.pack("<2L", size + 200, size + 200)
    assert (
        refuse(file_of(tmp_path / "a.zip", patched(content, [(place + 20, longer)]))).code
        == "archive_bomb"
    )


def test_an_entry_that_quotes_the_next_in_its_extra_field_is_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    """Both have the same bytes behind them, at half the price: D. Fifield's bomb, WOOT 2019."""
    picture = encoded(np.zeros((8, 8), np.uint8))
    kernel = deflated(picture)
    second = ("b/1.png", b"", kernel, picture, len(kernel))
    quoted = bytes(30 + len("b/1.png"))
    first = ("a/" + "x" * 100 + ".png", quoted, b"", picture, len(kernel))
    assert len(kernel) < 100
    assert refuse(file_of(tmp_path / "a.zip", by_hand(second))).code == "too_few_images"
    error = refuse(file_of(tmp_path / "a.zip", by_hand(first, second)))
    assert error.code == "archive_invalid"
    assert error.field_errors[0].pointer.startswith("/file/a/xxx")


@pytest.mark.parametrize("count", [2**63, 2**32, 10**9])
def test_absurd_counts_in_a_zip64_end_record_are_refused(
    count: int, tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes(GOOD)
    end = len(content) - 22
    size, start = struct.unpack_from("<12x2L", content, end)
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    source = file_of(tmp_path / "b.zip", content[:end] + wide + locator + content[end:])
    assert refuse(source).code == "archive_invalid"


def test_more_entries_than_allowed_are_refused(tmp_path: Path, read: Read, refuse: Refuse) -> None:
    for make in (zip_of, tar_of):
        source = make(tmp_path / make.__name__, GOOD)
        assert read(source, limits=Limits(archive_entries=20)).summary.n_train == 20
        assert refuse(source, limits=Limits(archive_entries=19)).code == "archive_too_many"


def test_zeros_that_pack_too_well_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    bomb = GOOD | {"cats/zeros.png": bytes(10 * 1024 * 1024)}
    error = refuse(zip_of(tmp_path / "a.zip", bomb, deflated=True))
    assert error.code == "archive_bomb"
    assert error.field_errors[0].pointer == "/file/cats/zeros.png"
    for packing in ("gz", "bz2", "xz"):
        assert refuse(tar_of(tmp_path / "a.tar", bomb, packing=packing)).code == "archive_bomb"


def test_many_entries_that_each_pack_well_enough_are_refused_in_sum(
    tmp_path: Path, refuse: Refuse
) -> None:
    files = GOOD | {f"cats/zeros{i}.png": bytes(1024 * 1024) for i in range(5)}
    assert refuse(zip_of(tmp_path / "a.zip", files, deflated=True)).code == "archive_bomb"


def test_an_entry_may_be_as_large_as_the_limit_and_no_larger(
    tmp_path: Path, read: Read, refuse: Refuse
) -> None:
    largest = max(map(len, GOOD.values()))
    for make in (zip_of, tar_of):
        source = make(tmp_path / make.__name__, GOOD)
        assert read(source, limits=Limits(archive_entry_bytes=largest)).summary.n_train == 20
        error = refuse(source, limits=Limits(archive_entry_bytes=largest - 1))
        assert error.code == "archive_bomb"


def test_the_whole_may_be_as_large_as_the_limit_and_no_larger(
    tmp_path: Path, read: Read, refuse: Refuse
) -> None:
    total = sum(map(len, GOOD.values()))
    source = zip_of(tmp_path / "a.zip", GOOD)
    assert read(source, limits=Limits(archive_bytes=total)).summary.n_train == 20
    assert refuse(source, limits=Limits(archive_bytes=total - 1)).code == "archive_bomb"
    tar = tar_of(tmp_path / "a.tar", GOOD)
    assert refuse(tar, limits=Limits(archive_bytes=total)).code == "archive_bomb"  # headers count


def test_fifty_gigabytes_are_refused_by_what_they_declare(tmp_path: Path, refuse: Refuse) -> None:
    content = zip_bytes({"zeros.npy": bytes(1000)} | GOOD, deflated=True)
    place = central(content, 0)
    content = patched(content, [(place + 24, struct.pack("<L", 0xFFFFFFF0))])
    limits = Limits(archive_bytes=2**32 - 100)
    assert refuse(file_of(tmp_path / "a.zip", content), limits=limits).code == "archive_bomb"
    entry = tarfile.TarInfo("zeros.png")
    entry.size = 50 * 2**30
    source = file_of(tmp_path / "a.tar.gz", gzip.compress(entry.tobuf() + bytes(5000)))
    assert refuse(source).code == "archive_bomb"


def test_an_entry_that_unpacks_to_more_than_it_declares_is_stopped(
    tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes({"cats/zeros.png": bytes(50 * 1024 * 1024)} | GOOD, deflated=True)
    content = patched(content, [(central(content, 0) + 24, struct.pack("<L", 1000))])
    error = refuse(file_of(tmp_path / "a.zip", content))
    assert error.code == "archive_bomb"
    assert "more than it declares" in error.detail


def test_an_entry_that_unpacks_to_less_than_it_declares_is_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    content = zip_bytes(GOOD, deflated=True)
    content = patched(content, [(central(content, 0) + 24, struct.pack("<L", 5000))])
    assert refuse(file_of(tmp_path / "a.zip", content)).code == "archive_invalid"


def test_an_xz_stream_that_asks_for_a_huge_dictionary_is_refused(
    tmp_path: Path, refuse: Refuse
) -> None:
    content = lzma.compress(tar_bytes(GOOD))
    header = content[12 : 12 + 4 * (content[12] + 1) - 4]
    huge = patched(header, [(4, b"\x28")])  # the code for 4 GiB
    content = patched(content, [(12, huge + struct.pack("<L", zlib.crc32(huge)))])
    assert lzma.LZMADecompressor().decompress(content)  # it would be read, at its price
    assert refuse(file_of(tmp_path / "a.tar.xz", content)).code == "archive_invalid"
