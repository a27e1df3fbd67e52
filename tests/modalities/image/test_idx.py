"""IDX files, the format of MNIST."""

import gzip
import struct
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.image.upload.summary import Label
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    idx_bytes,
    overwrite_bytes,
    random_images,
    write_file,
    write_idx,
    write_tar,
    write_zip,
)

X = random_images(30)
Y = (np.arange(30) % 3).astype(np.uint8)
COLOR_X = random_images(30, channels=3)
FILES: dict[str, NDArray[Any]] = {
    "train-images-idx3-ubyte": X[:20],
    "train-labels-idx1-ubyte": Y[:20],
    "t10k-images-idx3-ubyte": X[20:],
    "t10k-labels-idx1-ubyte": Y[20:],
}


def check_mnist_dataset(summary: Any, x: NDArray[np.uint8], y: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert (summary.n_train, summary.n_test) == (20, 10)
    assert summary.labels[0] == Label("0", 7, 3)


@pytest.mark.parametrize("gzipped", [False, True])
def test_four_idx_files_are_two_splits_in_any_order(
    gzipped: bool, tmp_path: Path, read: Read
) -> None:
    sources = [write_idx(tmp_path / name, array, gzipped=gzipped) for name, array in FILES.items()]
    for order in list(permutations(sources))[::5]:
        result = read(*order)
        check_mnist_dataset(*result)
        assert result.summary.format == "idx"


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("write_archive", [write_zip, write_tar])
@pytest.mark.parametrize("folder", ["", "latest/raw/"])
def test_idx_files_may_be_inside_an_archive(
    folder: str, write_archive: object, gzipped: bool, tmp_path: Path, read: Read
) -> None:
    assert callable(write_archive)
    files = {folder + name: idx_bytes(array) for name, array in FILES.items()}
    if gzipped:
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    result = read(write_archive(tmp_path / "a", files | {"README.txt": b"MNIST"}))
    check_mnist_dataset(*result)
    assert result.summary.format.endswith("-idx")


def test_folder_names_may_define_the_splits(tmp_path: Path, read: Read) -> None:
    names = ["train/images", "train/labels", "test/images", "test/labels"]
    files = dict(zip(names, map(idx_bytes, FILES.values()), strict=True))
    check_mnist_dataset(*read(write_zip(tmp_path / "a.zip", files)))


@pytest.mark.parametrize("name", ["images", "t10k-images"])
def test_two_idx_files_are_one_split_regardless_of_their_names(
    name: str, tmp_path: Path, read: Read
) -> None:
    summary, _, y = read(write_idx(tmp_path / "labels", Y), write_idx(tmp_path / name, X))
    assert (summary.n_train, summary.n_test) == (30, 0)
    np.testing.assert_array_equal(y, Y)


def test_idx_images_without_labels_are_unlabeled(tmp_path: Path, read: Read) -> None:
    assert read(write_idx(tmp_path / "images", X)).summary.unlabeled


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X[..., None], X),
        (COLOR_X, COLOR_X),
        (np.moveaxis(COLOR_X, 3, 1), COLOR_X),
    ],
)
def test_channels_first_and_channels_last_are_read(
    given: NDArray[np.uint8], expected: NDArray[np.uint8], tmp_path: Path, read: Read
) -> None:
    _, x, _ = read(write_idx(tmp_path / "images", given), write_idx(tmp_path / "labels", Y))
    np.testing.assert_array_equal(x, expected)


def test_32_bit_labels_are_read(tmp_path: Path, read: Read) -> None:
    labels = (Y.astype(np.int32) + 100_000).reshape(-1, 1)
    for shape in (labels, labels[:, 0]):
        summary, *_ = read(write_idx(tmp_path / "images", X), write_idx(tmp_path / "labels", shape))
        assert [label.name for label in summary.labels] == ["100000", "100001", "100002"]


def test_inconsistent_idx_files_are_rejected(tmp_path: Path, reject: Reject) -> None:
    images, labels = write_idx(tmp_path / "images", X), write_idx(tmp_path / "labels", Y)
    short = write_idx(tmp_path / "short", Y[:-1])
    test = write_idx(tmp_path / "test-images", X)
    error = reject(images, short)
    assert error.code == "arrays_invalid"
    assert "29" in error.detail
    assert "30" in error.detail
    assert reject(labels).code == "idx_invalid"
    assert reject(labels, short).code == "idx_invalid"
    assert reject(images, labels, short).code == "idx_invalid"
    assert reject(images, labels, write_idx(tmp_path / "more", X)).code == "idx_invalid"
    assert reject(images, labels, test).code == "label_missing"
    assert reject(images, labels, write_file(tmp_path / "a", b"text")).code == "archive_invalid"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (idx_bytes(X)[:-1], "arrays_invalid"),
        (idx_bytes(X) + b"\0", "arrays_invalid"),
        (gzip.compress(idx_bytes(X))[:-200], "archive_invalid"),
        (gzip.compress(idx_bytes(X))[:-3], "archive_invalid"),
        (gzip.compress(idx_bytes(X) + bytes(10**7)), "arrays_invalid"),
        (overwrite_bytes(idx_bytes(X), [(4, b"\xff\xff\xff\xff")]), "too_many_images"),
        (overwrite_bytes(idx_bytes(X), [(8, b"\xff\xff\xff\xff")]), "arrays_invalid"),
        (overwrite_bytes(idx_bytes(X), [(4, bytes(4))]), "arrays_invalid"),
        (b"\0\0\x08\x03\0\0", "idx_invalid"),
        (
            b"\0\0\x08\x08" + struct.pack(">8L", 30, 2, 2, 2, 2, 2, 2, 1) + bytes(2000),
            "arrays_invalid",
        ),
        (idx_bytes(X.reshape(30, 64)), "idx_invalid"),
    ],
    ids=range(11),
)
def test_idx_file_that_contradicts_its_header_is_rejected(
    content: bytes, code: str, tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_file(tmp_path / "images", content), write_idx(tmp_path / "labels", Y))
    assert error.code == code
    assert error.field_errors[0].pointer == "/file/images"


def test_float_pixels_are_scaled_as_in_npz(tmp_path: Path, read: Read) -> None:
    _, x, _ = read(write_idx(tmp_path / "images", (X / 255).astype(np.float32)))
    np.testing.assert_array_equal(x, X)


def test_unpacked_size_of_a_gzipped_idx_file_is_limited(tmp_path: Path, reject: Reject) -> None:
    source = write_idx(tmp_path / "images", X, gzipped=True)
    assert reject(source, limits=Limits(archive_bytes=X.size - 1)).code == "archive_bomb"


def test_idx_files_with_equal_names_are_distinguished_by_content(
    tmp_path: Path, read: Read
) -> None:
    images = SourceFile(write_idx(tmp_path / "a", X).path, "file")
    labels = SourceFile(write_idx(tmp_path / "b", Y).path, "file")
    assert read(labels, images).summary.n_train == 30
