"""Labels and splits from the folders of an archive."""

from pathlib import Path

import numpy as np
import pytest

from modalities.image.upload.summary import Label
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    png_folders,
    random_pixels,
    random_png,
    write_tar,
    write_zip,
)


@pytest.mark.parametrize("packing", ["zip", "zip deflated", "", "gz", "bz2", "xz"])
def test_class_folders_become_labels_in_every_archive_format(
    packing: str, tmp_path: Path, read: Read
) -> None:
    files = png_folders("cats", "dogs")
    if packing.startswith("zip"):
        source = write_zip(tmp_path / "a", files, deflated=packing.endswith("deflated"))
    else:
        source = write_tar(tmp_path / "a", files, packing=packing)
    summary, x, y = read(source)
    assert summary.labels == (Label("cats", 10, 0), Label("dogs", 10, 0))
    assert (summary.n_train, summary.n_test, summary.channels) == (20, 0, 1)
    assert x.shape == (20, 8, 8)
    assert x.dtype == np.uint8
    assert y.dtype == np.int32
    assert y.tolist() == [0] * 10 + [1] * 10
    np.testing.assert_array_equal(x[13], random_pixels(1003))
    expected = "zip" if packing.startswith("zip") else f"tar.{packing}".rstrip(".")
    assert summary.format == f"{expected}-folders"
    assert summary.issues == () or {i.code for i in summary.issues} == {"tiny_class"}


def test_archive_order_is_preserved(tmp_path: Path, read: Read) -> None:
    files = png_folders("b", "a", each=5)
    mixed = dict(sorted(files.items(), key=lambda item: item[0][-5:]))
    result = read(write_zip(tmp_path / "a.zip", mixed))
    assert result.names == [name[0] for name in mixed]
    np.testing.assert_array_equal(result.x[0], random_pixels(0))


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["set/cats", "set/dogs"], ["cats", "dogs"]),
        (["a/b/cats", "a/b/dogs"], ["cats", "dogs"]),
        (["animals/cats", "animals/dogs", "cars"], ["animals/cats", "animals/dogs", "cars"]),
        (["set/animals/cats", "set/cars"], ["animals/cats", "cars"]),
        (["cats"], ["cats"]),
        (["set/cats"], ["cats"]),
        (["train", "car"], ["car", "train"]),
        (["train", "test", "car"], ["car", "test", "train"]),
        (["test/cats", "test/dogs"], ["cats", "dogs"]),
        (["T-shirt%2Ftop", "Trouser"], ["T-shirt/top", "Trouser"]),
        (["100%", "50%zz"], ["100%", "50%zz"]),
        (["%ff", "b"], ["%ff", "b"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["b", "B2", "a", "10"], ["10", "B2", "a", "b"]),
        (["cafe\u0301", "b"], ["b", "caf\u00e9"]),
        (["😀", "日本"], ["日本", "😀"]),
    ],
)
def test_label_is_the_path_below_the_common_prefix(
    paths: list[str], labels: list[str], tmp_path: Path, read: Read
) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders(*paths)))
    assert [label.name for label in result.summary.labels] == labels
    assert result.summary.n_test == 0


@pytest.mark.parametrize("root", ["", "set/", "a/b/"])
@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Training", "TESTING"), ("train", "val"), ("train", "Validation")],
)
def test_train_and_test_folders_define_the_splits(
    root: str, train: str, test: str, tmp_path: Path, read: Read
) -> None:
    names = [f"{root}{part}/{label}" for part in (test, train) for label in ("cats", "dogs")]
    summary, x, y = read(write_zip(tmp_path / "a.zip", png_folders(*names)))
    assert summary.labels == (Label("cats", 10, 10), Label("dogs", 10, 10))
    assert (summary.n_train, summary.n_test) == (20, 20)
    assert y.tolist() == ([0] * 10 + [1] * 10) * 2
    np.testing.assert_array_equal(x[0], random_pixels(2000))  # the training part comes first
    np.testing.assert_array_equal(x[20], random_pixels(0))


def test_images_without_folders_are_an_unlabeled_dataset(tmp_path: Path, read: Read) -> None:
    summary, x, y = read(
        write_zip(tmp_path / "a.zip", {f"{i}.png": random_png(i) for i in range(12)})
    )
    assert summary.unlabeled
    assert summary.labels == ()
    assert y.tolist() == [-1] * 12
    assert len(x) == 12


def test_unlabeled_images_may_have_a_test_split(tmp_path: Path, read: Read) -> None:
    summary, *_ = read(write_zip(tmp_path / "a.zip", png_folders("train", "test", each=11)))
    assert summary.unlabeled
    assert (summary.n_train, summary.n_test) == (11, 11)


def test_image_without_a_folder_among_labeled_images_is_left_out_and_named(
    tmp_path: Path, read: Read, reject: Reject
) -> None:
    files = png_folders("cats") | {"stray.png": random_png(77)}
    result = read(write_zip(tmp_path / "a.zip", files))
    issue = result.issue("label_missing")
    assert issue is not None
    assert issue["examples"] == ["stray.png"]
    assert result.names == ["cats"] * 10
    error = reject(write_zip(tmp_path / "a.zip", files))
    assert error.code == "label_missing"
    assert [fault.pointer for fault in error.field_errors] == ["/file/stray.png"]


def test_files_that_are_not_images_are_ignored_and_reported(tmp_path: Path, read: Read) -> None:
    files = png_folders("cats", "dogs") | {
        "__MACOSX/cats/._1.png": b"x",
        "cats/.DS_Store": b"x",
        "cats/Thumbs.db": b"x",
        "README.md": b"# cats",
        "cats/notes.TXT": b"notes",
        "inner.zip": b"PK\x03\x04",
    }
    summary, *_ = read(write_zip(tmp_path / "a.zip", files))
    assert summary.n_train == 20
    assert len(summary.notes) == 1
    assert summary.notes[0].startswith("Ignored 6 files")
    assert "README.md" in summary.notes[0]


def test_image_needs_no_file_extension(tmp_path: Path, read: Read) -> None:
    files = {f"cats/image {i}": random_png(i) for i in range(10)}
    assert read(write_zip(tmp_path / "a.zip", files)).summary.n_train == 10


def test_blanks_around_labels_are_stripped_and_reported(tmp_path: Path, read: Read) -> None:
    summary, *_ = read(write_zip(tmp_path / "a.zip", png_folders("cats ", "dogs")))
    assert [label.name for label in summary.labels] == ["cats", "dogs"]
    assert any("cats" in note and "stripped" in note for note in summary.notes)


@pytest.mark.parametrize(
    ("name", "code"),
    [("x" * 257, "label_invalid"), (" ", "label_invalid"), ("a%0Ab", "label_invalid")],
)
def test_invalid_label_is_rejected(name: str, code: str, tmp_path: Path, reject: Reject) -> None:
    error = reject(write_zip(tmp_path / "a.zip", png_folders(name, "dogs")))
    assert error.code == code


def test_label_of_the_maximum_length_is_accepted(tmp_path: Path, read: Read) -> None:
    summary, *_ = read(write_zip(tmp_path / "a.zip", png_folders("x" * 256, "dogs")))
    assert [len(label.name) for label in summary.labels] == [4, 256]
