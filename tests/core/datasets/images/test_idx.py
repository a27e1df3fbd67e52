"""The files of MNIST."""

import gzip
import struct
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.datasets.images import Label
from core.datasets.source import SourceFile
from core.settings import Limits
from tests.core.datasets.images.conftest import Read, Refuse
from tests.core.datasets.images.factories import (
    file_of,
    idx_bytes,
    idx_of,
    patched,
    stack,
    tar_of,
    zip_of,
)

X = stack(30)
Y = (np.arange(30) % 3).astype(np.uint8)
COLOURED = stack(30, channels=3)
FILES: dict[str, NDArray[Any]] = {
    "train-images-idx3-ubyte": X[:20],
    "train-labels-idx1-ubyte": Y[:20],
    "t10k-images-idx3-ubyte": X[20:],
    "t10k-labels-idx1-ubyte": Y[20:],
}


def check(summary: Any, x: NDArray[np.uint8], y: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert (summary.n_train, summary.n_test) == (20, 10)
    assert summary.labels[0] == Label("0", 7, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_four_files_are_two_parts_in_any_order(packed: bool, tmp_path: Path, read: Read) -> None:
    sources = [idx_of(tmp_path / name, array, packed=packed) for name, array in FILES.items()]
    for order in list(permutations(sources))[::5]:
        result = read(*order)
        check(*result)
        assert result.summary.format == "idx"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("folder", ["", "latest/raw/"])
def test_the_files_may_lie_in_an_archive(
    folder: str, make: object, packed: bool, tmp_path: Path, read: Read
) -> None:
    assert callable(make)
    files = {folder + name: idx_bytes(array) for name, array in FILES.items()}
    if packed:
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    result = read(make(tmp_path / "a", files | {"README.txt": b"MNIST"}))
    check(*result)
    assert result.summary.format.endswith("-idx")


def test_folders_may_tell_the_parts_apart(tmp_path: Path, read: Read) -> None:
    names = ["train/images", "train/labels", "test/images", "test/labels"]
    files = dict(zip(names, map(idx_bytes, FILES.values()), strict=True))
    check(*read(zip_of(tmp_path / "a.zip", files)))


@pytest.mark.parametrize("name", ["images", "t10k-images"])
def test_two_files_are_one_part_whatever_their_names(name: str, tmp_path: Path, read: Read) -> None:
    summary, _, y = read(idx_of(tmp_path / "labels", Y), idx_of(tmp_path / name, X))
    assert (summary.n_train, summary.n_test) == (30, 0)
    np.testing.assert_array_equal(y, Y)


def test_images_alone_are_unlabelled(tmp_path: Path, read: Read) -> None:
    assert read(idx_of(tmp_path / "images", X)).summary.unlabeled


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X[..., None], X),
        (COLOURED, COLOURED),
        (np.moveaxis(COLOURED, 3, 1), COLOURED),
    ],
)
def test_colours_first_or_last_are_read(
    given: NDArray[np.uint8], expected: NDArray[np.uint8], tmp_path: Path, read: Read
) -> None:
    _, x, _ = read(idx_of(tmp_path / "images", given), idx_of(tmp_path / "labels", Y))
    np.testing.assert_array_equal(x, expected)


def test_wider_labels_are_read(tmp_path: Path, read: Read) -> None:
    labels = (Y.astype(np.int32) + 100_000).reshape(-1, 1)
    for shape in (labels, labels[:, 0]):
        summary, *_ = read(idx_of(tmp_path / "images", X), idx_of(tmp_path / "labels", shape))
        assert [label.name for label in summary.labels] == ["100000", "100001", "100002"]


def test_a_set_that_does_not_fit_together_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    images, labels = idx_of(tmp_path / "images", X), idx_of(tmp_path / "labels", Y)
    short = idx_of(tmp_path / "short", Y[:-1])
    test = idx_of(tmp_path / "test-images", X)
    error = refuse(images, short)
    assert error.code == "arrays_invalid"
    assert "29" in error.detail
    assert "30" in error.detail
    assert refuse(labels).code == "idx_invalid"
    assert refuse(labels, short).code == "idx_invalid"
    assert refuse(images, labels, short).code == "idx_invalid"
    assert refuse(images, labels, idx_of(tmp_path / "more", X)).code == "idx_invalid"
    assert refuse(images, labels, test).code == "label_missing"
    assert refuse(images, labels, file_of(tmp_path / "a", b"text")).code == "archive_invalid"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (idx_bytes(X)[:-1], "arrays_invalid"),
        (idx_bytes(X) + b"\0", "arrays_invalid"),
        (gzip.compress(idx_bytes(X))[:-200], "archive_invalid"),
        (gzip.compress(idx_bytes(X))[:-3], "archive_invalid"),
        (gzip.compress(idx_bytes(X) + bytes(10**7)), "arrays_invalid"),
        (patched(idx_bytes(X), [(4, b"\xff\xff\xff\xff")]), "too_many_images"),
        (patched(idx_bytes(X), [(8, b"\xff\xff\xff\xff")]), "arrays_invalid"),
        (patched(idx_bytes(X), [(4, bytes(4))]), "arrays_invalid"),
        (b"\0\0\x08\x03\0\0", "idx_invalid"),
        (
            b"\0\0\x08\x08" + struct.pack(">8L", 30, 2, 2, 2, 2, 2, 2, 1) + bytes(2000),
            "arrays_invalid",
        ),
        (idx_bytes(X.reshape(30, 64)), "idx_invalid"),
    ],
    ids=range(11),
)
def test_a_file_that_is_not_what_its_header_says_is_refused(
    content: bytes, code: str, tmp_path: Path, refuse: Refuse
) -> None:
    error = refuse(file_of(tmp_path / "images", content), idx_of(tmp_path / "labels", Y))
    assert error.code == code
    assert error.field_errors[0].pointer == "/file/images"


def test_floats_follow_the_rules_of_arrays(tmp_path: Path, read: Read) -> None:
    _, x, _ = read(idx_of(tmp_path / "images", (X / 255).astype(np.float32)))
    np.testing.assert_array_equal(x, X)


def test_the_bytes_of_a_packed_file_are_limited(tmp_path: Path, refuse: Refuse) -> None:
    source = idx_of(tmp_path / "images", X, packed=True)
    assert refuse(source, limits=Limits(archive_bytes=X.size - 1)).code == "archive_bomb"


def test_files_of_one_name_are_told_apart_by_content(tmp_path: Path, read: Read) -> None:
    images = SourceFile(idx_of(tmp_path / "a", X).path, "file")
    labels = SourceFile(idx_of(tmp_path / "b", Y).path, "file")
    assert read(labels, images).summary.n_train == 30
