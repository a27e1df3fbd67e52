"""Images and labels as arrays in an npz file."""

import io
import zipfile
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
    overwrite_bytes,
    random_images,
    write_file,
    write_npz,
    write_tar,
    write_zip,
)

X = random_images(30)
Y = np.arange(30) % 3
COLOR_X = random_images(30, channels=3)


def npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_x_and_y_are_read(compressed: bool, tmp_path: Path, read: Read) -> None:
    summary, x, y = read(write_npz(tmp_path / "a.npz", compressed=compressed, x=X, y=Y))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert summary.labels == tuple(Label(str(i), 10, 0) for i in range(3))
    assert summary.format == "npz"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images", "labels", "images_val", "labels_val"),
        ("x", "y", "x_valid", "y_valid"),
    ],
)
def test_test_arrays_become_the_test_split(
    names: tuple[str, ...], tmp_path: Path, read: Read
) -> None:
    arrays = dict(zip(names, (X[:20], Y[:20], X[20:], Y[20:]), strict=True))
    reordered = dict(sorted(arrays.items(), reverse=True))
    for content in (arrays, reordered):
        summary, x, y = read(write_npz(tmp_path / "a.npz", **content))
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)
        assert (summary.n_train, summary.n_test) == (20, 10)
        assert sum(label.test_count for label in summary.labels) == 10


def test_val_and_test_arrays_both_become_the_test_split(tmp_path: Path, read: Read) -> None:
    parts = {"train": slice(0, 20), "val": slice(20, 25), "test": slice(25, 30)}
    arrays = {f"{part}_images": X[rows] for part, rows in parts.items()}
    arrays |= {f"{part}_labels": Y[rows, None] for part, rows in parts.items()}
    summary, x, y = read(write_npz(tmp_path / "a.npz", **arrays))
    assert (summary.n_train, summary.n_test) == (20, 10)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X[..., None], X),
        (X[:, None], X),
        (COLOR_X, COLOR_X),
        (np.moveaxis(COLOR_X, 3, 1), COLOR_X),
        (np.repeat(X[..., None], 3, -1), X),
        (X.astype(np.int64), X),
        (X.astype(">i2"), X),
        (X.astype(np.float32) / 255, X),
        (X.astype(np.float64) / 255, X),
        (X.astype(np.float32), X),
        (X.astype(np.float64) + 1e-5 * (X < 255), X),
        (X.reshape(30, 64), X),
        (X.astype(np.uint16) * 257, X),
        (X.astype(np.float32) * 2 / 255 - 1, X),
        (X.astype(np.uint16) * 16, np.rint(X * 16.0 * 255 / 4095)),
        (X > 127, np.where(X > 127, 255, 0)),
        ((X > 127).astype(np.float32), np.where(X > 127, 255, 0)),
        ((X > 127).astype(np.uint8), np.where(X > 127, 255, 0)),
    ],
    ids=range(18),
)
def test_unambiguous_shapes_and_types_are_read(
    given: NDArray[Any], expected: NDArray[Any], tmp_path: Path, read: Read
) -> None:
    _, x, _ = read(write_npz(tmp_path / "a.npz", x=given, y=Y))
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(
    "invalid",
    [
        np.where(X > 10, X.astype(np.float32) / 255, np.nan),
        np.where(X > 10, X.astype(np.float32) / 255, np.inf),
        X.astype(np.complex64),
        X.astype("S3"),
        X.astype("U3"),
        X.astype(object),
        X.astype("M8[s]"),
        X[..., 0].reshape(30, 8),
        X.reshape(30, 4, 2, 8),
        X.reshape(-1),
        np.uint8(3),
        X[:0],
        np.asfortranarray(X),
        X.reshape(30, 1, 1, 8, 8),
        np.zeros(30, [("a", "u1"), ("b", "u1")]),
    ],
    ids=range(15),
)
def test_invalid_image_arrays_are_rejected_by_name(
    invalid: NDArray[Any], tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_npz(tmp_path / "a.npz", x_train=invalid, y_train=Y))
    assert error.code == "arrays_invalid"
    assert error.field_errors[0].pointer == "/file/x_train"


@pytest.mark.parametrize("y", [Y.astype("u1"), Y.astype(">i8"), Y[:, None], Y.astype(np.int16)])
def test_integer_labels_of_any_width_are_read(y: NDArray[Any], tmp_path: Path, read: Read) -> None:
    assert read(write_npz(tmp_path / "a.npz", x=X, y=y)).y.tolist() == Y.tolist()


def test_boolean_and_negative_labels_are_accepted(tmp_path: Path, read: Read) -> None:
    summary, *_ = read(write_npz(tmp_path / "a.npz", x=X, y=Y == 1))
    assert [label.name for label in summary.labels] == ["0", "1"]
    summary, *_ = read(write_npz(tmp_path / "a.npz", x=X, y=Y - 1))
    assert [label.name for label in summary.labels] == ["-1", "0", "1"]


@pytest.mark.parametrize(
    "y", [Y.astype(float), np.eye(3)[Y], np.eye(3, dtype=bool)[Y], np.eye(3, dtype="u1")[Y]]
)
def test_float_and_one_hot_labels_are_numbers_of_classes(
    y: NDArray[Any], tmp_path: Path, read: Read
) -> None:
    result = read(write_npz(tmp_path / "a.npz", x=X, y=y))
    assert result.names == [str(label) for label in Y]


def test_byte_strings_are_labels(tmp_path: Path, read: Read) -> None:
    names = np.array([b"cat", "Größe".encode(), b"fish"])[Y]
    result = read(write_npz(tmp_path / "a.npz", x=X, y=names))
    assert result.names[:3] == ["cat", "Größe", "fish"]


@pytest.mark.parametrize("shape", [(30,), (30, 1)])
def test_text_labels_are_read(shape: tuple[int, ...], tmp_path: Path, read: Read) -> None:
    names = np.array(["dog", "a cat ", "äöü😀"])[Y].reshape(shape)
    summary, _, y = read(write_npz(tmp_path / "a.npz", x=X, y=names))
    assert [label.name for label in summary.labels] == ["a cat", "dog", "äöü😀"]
    assert y[:3].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "invalid",
    [
        Y.astype(float) + 0.5,
        Y.astype(object),
        np.array([b"\xff"] * 30),
        np.ones((30, 3), int),
        np.zeros((30, 3)),
        np.ones((30, 1, 1), int),
        Y[:-1],
        Y.astype("U1").astype(object),
        np.frombuffer(np.full(30, 0x110000, "<u4").tobytes(), "<U1"),
    ],
    ids=range(9),
)
def test_invalid_label_arrays_are_rejected_by_name(
    invalid: NDArray[Any], tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_npz(tmp_path / "a.npz", x=X, y=invalid))
    assert error.code == "arrays_invalid"
    assert error.field_errors[0].pointer == "/file/y"


def test_pickled_objects_are_never_loaded(tmp_path: Path, reject: Reject) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    bombs = np.array([Bomb()] * 30, dtype=object)
    error = reject(write_npz(tmp_path / "a.npz", x=X, y=bombs))
    assert "Python objects" in error.detail
    assert not (tmp_path / "exploded").exists()


def test_dataset_without_labels_is_unlabeled(tmp_path: Path, read: Read) -> None:
    summary, _, y = read(write_npz(tmp_path / "a.npz", x=X))
    assert summary.unlabeled
    assert y.tolist() == [-1] * 30


def test_labels_for_only_one_split_are_rejected(tmp_path: Path, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X)
    assert reject(source).code == "label_missing"
    source = write_npz(tmp_path / "a.npz", x_train=X, y_train=Y, y_test=Y)
    assert reject(source).code == "arrays_invalid"


def test_two_arrays_with_the_same_role_are_rejected(tmp_path: Path, reject: Reject) -> None:
    assert (
        reject(write_npz(tmp_path / "a.npz", x=X, images=X, y=Y)).code
        == "unsupported_file_combination"
    )


def test_npz_without_an_image_array_is_rejected(tmp_path: Path, reject: Reject) -> None:
    error = reject(write_npz(tmp_path / "a.npz", things=X))
    assert error.code == "arrays_invalid"
    assert "things" in error.detail


@pytest.mark.parametrize(
    "arrays", [{"arr_0": X, "arr_1": Y}, {"a": X, "b": Y[:, None], "c": X[::-1].copy(), "d": Y}]
)
def test_arrays_without_names_are_recognized_by_their_shapes(
    arrays: dict[str, NDArray[Any]], tmp_path: Path, read: Read
) -> None:
    summary, _, y = read(write_npz(tmp_path / "a.npz", **arrays))
    assert (summary.n_train, summary.n_test) == (len(X), len(X) * (len(arrays) // 4))
    assert y[: len(Y)].tolist() == Y.tolist()
    assert "by the shapes" in summary.notes[0]


@pytest.mark.parametrize(
    "files",
    [
        {f"{part}.npz": {"x": X, "y": Y} for part in ("train", "test")},
        {f"k-{part}-{what}.npz": {"arr_0": array} for part in ("train", "test") for what, array in
         (("imgs", X), ("labels", Y))},
    ],
)  # fmt: skip
def test_npz_files_in_a_zip_are_read(
    files: dict[str, dict[str, NDArray[Any]]], tmp_path: Path, read: Read
) -> None:
    packed = {}
    for name, arrays in files.items():
        out = io.BytesIO()
        np.savez(out, **arrays)  # type: ignore[arg-type]
        packed[name] = out.getvalue()
    summary, *_ = read(write_zip(tmp_path / "a.zip", packed))
    assert (summary.n_train, summary.n_test, len(summary.labels)) == (len(X), len(X), len(set(Y)))


def test_folder_of_arrays_is_not_part_of_their_names(tmp_path: Path, read: Read) -> None:
    files = {"data/train_x.npy": npy(X), "data/train_label.npy": npy(Y)}
    assert len(read(write_zip(tmp_path / "a.zip", files)).summary.labels) == len(set(Y))


def test_other_arrays_are_ignored_and_reported(tmp_path: Path, read: Read) -> None:
    summary, *_ = read(write_npz(tmp_path / "a.npz", x=X, y=Y, ids=Y))
    assert summary.notes == ("Ignored arrays: ids.",)


def test_files_next_to_the_arrays_are_ignored_and_reported(tmp_path: Path, read: Read) -> None:
    files = {"x.npy": npy(X), "labels.csv": b"path,label", "README.md": b"x"}
    (note,) = read(write_zip(tmp_path / "a.npz", files)).summary.notes
    assert "labels.csv" in note


def test_downloaded_npz_can_be_uploaded_again(tmp_path: Path, read: Read) -> None:
    # The service writes x, y as label indices, and the label names.
    labels = np.array(["sneaker", "bag", "T-shirt/top"])
    summary, x, y = read(write_npz(tmp_path / "a.npz", x=X, y=Y, labels=labels))
    assert [label.name for label in summary.labels] == labels.tolist()
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_minus_one_means_unlabeled_when_label_names_are_given(tmp_path: Path, read: Read) -> None:
    # The service writes -1 for unlabeled images.
    labels = np.where(np.arange(30) < 12, Y, -1)
    names = np.array(["dog", "cat", "bird"])
    summary, _, y = read(write_npz(tmp_path / "a.npz", x=X, y=labels, labels=names))
    np.testing.assert_array_equal(y, labels)
    assert [label.name for label in summary.labels] == ["dog", "cat", "bird"]
    summary, _, _ = read(write_npz(tmp_path / "a.npz", x=X, y=labels))
    assert [label.name for label in summary.labels] == ["-1", "0", "1", "2"]


@pytest.mark.parametrize(
    "class_names", [["zero", "one", "two"], {"0": "zero", "2": "two", "1": "one", "7": "seven"}]
)
def test_class_names_rename_labels_and_keep_their_order(
    class_names: Any, tmp_path: Path, read: Read
) -> None:
    result = read(write_npz(tmp_path / "a.npz", x=X, y=Y), class_names=class_names)
    assert [label.name for label in result.summary.labels] == ["zero", "one", "two"]
    assert result.y.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("class_names", "code"),
    [
        (["zero", "one"], "label_unnamed"),
        ({"0": "zero", "1": "one"}, "label_unnamed"),
        (["a", "b", "a"], "label_duplicate"),
        (["a", "b", " a "], "label_duplicate"),
        (["a", "b", ""], "label_invalid"),
        (["a", "b", "c\0"], "label_invalid"),
        (["a", "b", "x" * 257], "label_invalid"),
        (["a", "b", 3], "label_invalid"),
    ],
)
def test_class_names_that_do_not_match_the_labels_are_rejected(
    class_names: Any, code: str, tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_npz(tmp_path / "a.npz", x=X, y=Y), class_names=class_names)
    assert error.code == "class_names_invalid"
    assert error.field_errors[0].code == code
    assert error.field_errors[0].pointer.startswith("/meta/class_names")


def test_more_labels_than_allowed_are_rejected(tmp_path: Path, read: Read, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", x=X, y=np.arange(30))
    assert len(read(source, limits=Limits(classes_max=30)).summary.labels) == 30
    assert reject(source, limits=Limits(classes_max=29)).code == "too_many_labels"


def test_more_images_than_allowed_are_rejected(tmp_path: Path, read: Read, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", x_train=X, x_test=X)
    assert read(source, limits=Limits(images_max=60)).summary.n_train == 30
    assert reject(source, limits=Limits(images_max=59)).code == "too_many_images"
    assert reject(source, limits=Limits(images_max=29)).code == "too_many_images"


def test_fewer_images_than_the_minimum_are_rejected(
    tmp_path: Path, read: Read, reject: Reject
) -> None:
    assert read(write_npz(tmp_path / "a.npz", x=X[:10])).summary.n_train == 10
    error = reject(write_npz(tmp_path / "a.npz", x=X[:9], x_test=X))
    assert error.code == "too_few_images"
    assert "at least 10" in error.detail


def test_highly_compressible_arrays_are_not_treated_as_bombs(tmp_path: Path, read: Read) -> None:
    x = np.zeros((40_000, 8, 8), np.uint8)
    x[:, 0, 0] = np.arange(40_000) % 2
    assert read(write_npz(tmp_path / "a.npz", x=x)).summary.n_train == 40_000


@pytest.mark.parametrize("rows", [29, 31, 10**6, 10**18])
def test_npy_header_with_a_wrong_row_count_is_rejected(
    rows: int, tmp_path: Path, reject: Reject
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (rows, 8, 8)}
    )
    source = write_zip(tmp_path / "a.npz", {"x.npy": header.getvalue() + X.tobytes()})
    assert reject(source).code in {"arrays_invalid", "too_many_images"}


@pytest.mark.parametrize(
    "head",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x07\x00\x10\x00{}              ",
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')",
        b"\x93NUMPY\x01\x00\x20\x00" + b"{'descr':'|u1','shape':(3,)}".ljust(32),
        b"\x93NUMPY\x01\x00\x40\x00"
        + b"{'descr':'|u1','fortran_order':False,'shape':(-3,8,8)}".ljust(64),
        b"\x93NUMPY\x01\x00\x40\x00"
        + b"{'descr':'nope','fortran_order':False,'shape':(3,8,8)}".ljust(64),
        b"\x93NUMPY\x01\x00\x40\x00"
        + b"{'descr':'|V0','fortran_order':False,'shape':(30,8,8)}".ljust(64),
    ],
    ids=range(11),
)
def test_unreadable_npy_header_is_rejected(head: bytes, tmp_path: Path, reject: Reject) -> None:
    source = write_zip(tmp_path / "a.npz", {"x.npy": head + bytes(100), "y.npy": npy(Y)})
    assert reject(source).code == "arrays_invalid"


def test_npy_header_from_python_2_is_read(tmp_path: Path, read: Read) -> None:
    content = npy(X).replace(b"(30, 8, 8), }  ", b"(30L, 8, 8), } ")
    assert read(write_zip(tmp_path / "a.npz", {"x.npy": content})).summary.n_train == 30


def test_damaged_array_is_named(tmp_path: Path, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", compressed=False, x=X, y=Y)
    content = source.path.read_bytes()
    damaged = overwrite_bytes(content, [(content.index(X.tobytes()[:20]) + 200, b"damaged")])
    error = reject(write_file(tmp_path / "b.npz", damaged))
    assert error.code == "archive_invalid"
    assert error.field_errors[0].pointer == "/file/x.npy"


def test_arrays_in_a_tar_are_read(tmp_path: Path, read: Read) -> None:
    source = write_tar(tmp_path / "a.tgz", {"x.npy": npy(X), "y.npy": npy(Y)}, packing="gz")
    summary, x, _ = read(source)
    assert summary.format == "tar.gz-npy"
    np.testing.assert_array_equal(x, X)


def test_single_npy_file_is_rejected_with_advice_to_use_npz(tmp_path: Path, reject: Reject) -> None:
    assert ".npz" in reject(write_file(tmp_path / "x.npy", npy(X))).detail


def test_issue_examples_name_the_array_and_the_index(tmp_path: Path, read: Read) -> None:
    x_test = X[20:].copy()
    x_test[4] = X[17]
    source = write_npz(tmp_path / "a.npz", x_train=X[:20], x_test=x_test)
    issue = read(source).issue("leaked_duplicate")
    assert issue is not None
    assert issue["examples"] == ["x_test[4]"]


def test_encrypted_npz_is_rejected(tmp_path: Path, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", x=X)
    content = source.path.read_bytes()
    offset = content.index(b"PK\x01\x02")
    assert reject(
        write_file(tmp_path / "b.npz", overwrite_bytes(content, [(offset + 8, b"\1")]))
    ).code == ("archive_encrypted")


def test_array_above_the_byte_limit_is_rejected(tmp_path: Path, reject: Reject) -> None:
    source = write_npz(tmp_path / "a.npz", x=X)
    with zipfile.ZipFile(source.path) as archive:
        size = archive.getinfo("x.npy").file_size
    assert reject(source, limits=Limits(archive_bytes=size - 1)).code == "archive_bomb"
    assert reject(SourceFile(source.path, "a"), limits=Limits(archive_entry_bytes=63)).code == (
        "arrays_invalid"
    )
