"""Parquet files of images, and tables of pixels."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.datasets.peek import Peek
from core.datasets.source import SourceFile
from modalities import registry
from modalities.image.upload.summary import Label
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    random_images,
    random_pixels,
    random_png,
    write_file,
    write_zip,
)

NAMES = ["cat", "dog", "fish"]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"_type": "ClassLabel", "names": NAMES},
}


def parquet_bytes(labels: list[int], *, first: int = 0, **columns: list[Any]) -> bytes:
    """Build a file as Hugging Face writes it, with the names of the labels in its metadata."""
    images = [{"bytes": random_png(first + i), "path": f"{i}.png"} for i in range(len(labels))]
    table = pa.table({"image": images, "label": pa.array(labels), **columns})
    metadata = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), out)
    return out.getvalue()


def plain_parquet(columns: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_parquet_of_hugging_face_is_read_with_the_names_of_its_labels(
    tmp_path: Path, read: Read
) -> None:
    content = parquet_bytes([i % 3 for i in range(12)])
    result = read(write_file(tmp_path / "train-00000-of-00001.parquet", content))
    assert result.names == NAMES * 4
    np.testing.assert_array_equal(result.x[5], random_pixels(5))
    assert result.summary.format == "parquet"


def test_parquet_files_of_parts_are_read_together(tmp_path: Path, read: Read) -> None:
    train = write_file(tmp_path / "train-0.parquet", parquet_bytes([0, 1] * 6))
    test = write_file(tmp_path / "test-0.parquet", parquet_bytes([1] * 4, first=50))
    result = read(test, train)
    assert result.summary.labels == (Label("cat", 6, 0), Label("dog", 6, 4))
    np.testing.assert_array_equal(result.x[12], random_pixels(50))


def test_test_images_without_a_label_in_parquet_are_left_out(tmp_path: Path, read: Read) -> None:
    train = write_file(tmp_path / "train.parquet", parquet_bytes([0, 1] * 6))
    test = write_file(tmp_path / "test.parquet", parquet_bytes([-1] * 4, first=50))
    summary = read(train, test).summary
    assert (summary.n_train, summary.n_test) == (12, 0)
    assert "4 test images without a label were left out." in summary.notes


def test_parquet_in_a_zip_is_read(tmp_path: Path, read: Read) -> None:
    files = {
        "data/train-00000-of-00001.parquet": parquet_bytes([0, 1] * 6),
        "data/validation-00000-of-00001.parquet": parquet_bytes([1] * 3, first=50),
        "README.md": b"#",
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert (result.summary.n_train, result.summary.n_test) == (12, 3)
    assert result.summary.format == "zip-parquet"


def test_label_column_of_parquet_is_searched_or_chosen(tmp_path: Path, read: Read) -> None:
    pngs = [random_png(i) for i in range(12)]
    columns = {"picture": pngs, "species": ["a", "b"] * 6, "owner": ["x", "x", "y"] * 4}
    source = write_file(tmp_path / "a.parquet", plain_parquet(columns))
    assert read(source).names == ["a", "b"] * 6
    assert read(source, label_column="owner").names == ["x", "x", "y"] * 4
    assert read(source, labels_from="none").summary.unlabeled


def test_captions_in_parquet_are_not_labels(tmp_path: Path, read: Read) -> None:
    columns = {
        "image": [{"bytes": random_png(i)} for i in range(30)],
        "text": [f"picture {i}" for i in range(30)],
    }
    result = read(write_file(tmp_path / "a.parquet", plain_parquet(columns)))
    assert result.summary.unlabeled
    assert result.issue("labels_not_read") is not None


def test_parquet_without_the_bytes_of_images_is_rejected(tmp_path: Path, reject: Reject) -> None:
    paths = [{"bytes": None, "path": f"{i}.png"} for i in range(12)]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    content = plain_parquet({"image": pa.array(paths, struct)})
    error = reject(write_file(tmp_path / "a.parquet", content))
    assert "paths are not enough" in error.detail


def pixel_rows(pixels: Any, labels: list[str]) -> list[list[Any]]:
    flat = pixels.reshape(len(pixels), -1).tolist()
    return [[label, *row] for label, row in zip(labels, flat, strict=True)]


def csv_bytes(rows: list[list[Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


X = random_images(12, height=28, width=28)
Y = ["3", "7"] * 6
ROWS = pixel_rows(X, Y)
HEADERS = {
    "pixel0": [f"pixel{i}" for i in range(784)],
    "1x1": [f"{a}x{b}" for a in range(1, 29) for b in range(1, 29)],
    "0": [str(i) for i in range(784)],
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_table_of_pixels_with_a_header_is_read(
    header: str, delimiter: str, tmp_path: Path, read: Read
) -> None:
    content = csv_bytes([["label", *HEADERS[header]], *ROWS], delimiter)
    result = read(write_file(tmp_path / "train.csv", content))
    np.testing.assert_array_equal(result.x, X)
    assert result.names == Y


@pytest.mark.parametrize(
    "header",
    [
        ["0", *(f"0.{i}" for i in range(1, 785))],  # as pandas writes columns of equal names
        ["label", *(f"px_{i}" for i in range(784))],
        ["label", *(f"pixel{i % 783}" for i in range(784))],  # a name occurs twice
    ],
)
def test_columns_of_pixels_may_be_numbered(header: list[str], tmp_path: Path, read: Read) -> None:
    result = read(write_file(tmp_path / "a.csv", csv_bytes([header, *ROWS])))
    np.testing.assert_array_equal(result.x, X)
    assert result.names == Y


def test_table_of_pixels_without_a_header_is_read(tmp_path: Path, read: Read) -> None:
    result = read(write_file(tmp_path / "mnist_train.csv", csv_bytes(ROWS)))
    np.testing.assert_array_equal(result.x, X)
    assert result.names == Y


def test_label_may_be_the_last_column_of_a_table_of_pixels(tmp_path: Path, read: Read) -> None:
    rows = [[*HEADERS["pixel0"], "label"], *([*row[1:], row[0]] for row in ROWS)]
    result = read(write_file(tmp_path / "a.csv.gz", gzip.compress(csv_bytes(rows))))
    np.testing.assert_array_equal(result.x, X)
    assert result.names == Y


def test_tables_of_pixels_in_a_zip_are_parts(tmp_path: Path, read: Read) -> None:
    header = ["label", *HEADERS["pixel0"]]
    files = {
        "train.csv": csv_bytes([header, *ROWS]),
        "test.csv": csv_bytes([header, *ROWS[:4]]),
        "sample_submission.csv": csv_bytes([["ImageId", "Label"], [1, 0]]),
    }
    result = read(write_zip(tmp_path / "digits.zip", files))
    assert (result.summary.n_train, result.summary.n_test) == (12, 4)
    assert "Ignored 1 files: 1 .csv (sample_submission.csv)." in result.summary.notes


def test_table_of_test_pixels_without_labels_is_left_out(tmp_path: Path, read: Read) -> None:
    files = {
        "test.csv": csv_bytes(
            [["id", *HEADERS["pixel0"]], *pixel_rows(X, [str(i) for i in range(12)])]
        ),
        "train.csv": csv_bytes([["label", *HEADERS["pixel0"]], *ROWS]),
    }
    result = read(write_zip(tmp_path / "digits.zip", files))
    assert (result.summary.n_train, result.summary.n_test) == (12, 0)
    assert "test.csv has no labels: left out." in result.summary.notes


def test_all_pixels_may_be_in_one_field(tmp_path: Path, read: Read) -> None:
    usages = ["Training"] * 10 + ["PublicTest", "PrivateTest"]
    rows = [["emotion", "pixels", "Usage"]]
    rows += [[y, " ".join(map(str, x.ravel())), u] for y, x, u in zip(Y, X, usages, strict=True)]
    result = read(write_file(tmp_path / "fer.csv", csv_bytes(rows)))
    np.testing.assert_array_equal(result.x, X)
    assert (result.summary.n_train, result.summary.n_test) == (10, 2)


@pytest.mark.parametrize("channels_first", [False, True])
def test_order_of_the_channels_of_flat_pixels_is_recognized(
    channels_first: bool, tmp_path: Path, read: Read
) -> None:
    ramp = np.linspace(0, 250, 10).astype(np.uint8)
    image = np.stack(
        [np.tile(ramp, (10, 1)), np.tile(ramp[:, None], 10), np.full((10, 10), 90)], -1
    )
    images = np.stack([np.roll(image, i, axis=0) for i in range(12)]).astype(np.uint8)
    flat = np.moveaxis(images, 3, 1) if channels_first else images
    header = ["label", *(f"pixel{i}" for i in range(300))]
    content = csv_bytes([header, *pixel_rows(flat, Y)])
    np.testing.assert_array_equal(read(write_file(tmp_path / "a.csv", content)).x, images)


@pytest.mark.parametrize(
    "rows",
    [
        [*ROWS[:3], ROWS[3][:-1], *ROWS[4:]],
        [*ROWS[:3], ["3", "dark", *ROWS[3][2:]], *ROWS[4:]],
        [*ROWS[:3], ["3", "", *ROWS[3][2:]], *ROWS[4:]],
        [["3", *row[:302]] for row in ROWS],
    ],
    ids=["short row", "text", "missing pixel", "no square"],
)
def test_invalid_table_of_pixels_is_rejected(
    rows: list[list[Any]], tmp_path: Path, reject: Reject
) -> None:
    header = ["label", *HEADERS["pixel0"][: len(rows[0]) - 1]]
    error = reject(write_file(tmp_path / "a.csv", csv_bytes([header, *rows])))
    assert error.code == "arrays_invalid"


def test_one_array_per_label_is_read(tmp_path: Path, read: Read) -> None:
    files = {}
    for name, first in (("cat", 0), ("full_numpy_bitmap_dog", 6)):
        out = io.BytesIO()
        np.save(out, X[first : first + 6].reshape(6, -1))
        files[f"{name}.npy"] = out.getvalue()
    result = read(write_zip(tmp_path / "a.zip", files))
    np.testing.assert_array_equal(result.x, X)
    assert result.names == ["cat"] * 6 + ["dog"] * 6


@pytest.mark.parametrize(
    ("content", "modality"),
    [
        (parquet_bytes([0, 1] * 6), "image"),
        (plain_parquet({"a": [1, 2], "b": ["x", "y"]}), "tabular"),
        (csv_bytes([["label", *HEADERS["pixel0"]], *ROWS]), "image"),
        (csv_bytes(ROWS), "image"),
        (csv_bytes([["a", "b"], *([i, i] for i in range(9))]), "tabular"),
        (csv_bytes([[f"x{i}" for i in range(100)], *([k] * 100 for k in range(9))]), "tabular"),
        (csv_bytes([[i % 17 for i in range(65)] for _ in range(9)]), "tabular"),
        (gzip.compress(csv_bytes([["label", *HEADERS["1x1"]], *ROWS])), "image"),
    ],
    ids=["parquet", "table", "pixels", "no header", "csv", "wide", "wide numbers", "gz"],
)
def test_modality_is_detected_from_the_first_bytes(content: bytes, modality: str) -> None:
    assert registry.detect(Peek.of_bytes(content[:4096], "upload")).name == modality


def test_zip_of_pixels_is_detected_as_images(tmp_path: Path) -> None:
    content = csv_bytes([["label", *HEADERS["pixel0"]], *ROWS])
    source: SourceFile = write_zip(tmp_path / "a.zip", {"train.csv": content}, deflated=True)
    assert registry.detect(Peek.of_bytes(source.path.read_bytes(), "a.zip")).name == "image"


def test_zip_of_pixels_is_recognized_by_any_of_its_tables(tmp_path: Path, read: Read) -> None:
    train = csv_bytes([["label", *HEADERS["pixel0"]], *ROWS])
    test = csv_bytes([HEADERS["pixel0"], *(row[1:] for row in ROWS)])
    submission = csv_bytes([["ImageId", "Label"], *([i, 0] for i in range(1, 9))])
    files = {"sample_submission.csv": submission, "test.csv": test, "train.csv": train}
    source = write_zip(tmp_path / "digit-recognizer.zip", files, deflated=True)
    assert registry.detect(Peek.of_bytes(source.path.read_bytes(), "a.zip")).name == "image"
    result = read(source)
    assert result.summary.n_train == len(ROWS)
    assert result.summary.n_test == 0
    assert "test.csv has no labels: left out." in result.summary.notes


def test_zip_of_vector_images_next_to_a_table_is_a_set_of_images(tmp_path: Path) -> None:
    files = {
        "countries.csv": csv_bytes([["code", "name"], ["ad", "Andorra"]]),
        "svg/ad.svg": b"<svg/>",
    }
    source = write_zip(tmp_path / "a.zip", files)
    assert registry.detect(Peek.of_bytes(source.path.read_bytes(), "a.zip")).name == "image"


def test_zip_of_a_submission_only_is_a_table(tmp_path: Path) -> None:
    rows = csv_bytes([["ImageId", "Label"], *([i, 0] for i in range(1, 9))])
    source = write_zip(tmp_path / "a.zip", {"submission.csv": rows}, deflated=True)
    assert registry.detect(Peek.of_bytes(source.path.read_bytes(), "a.zip")).name == "tabular"


@pytest.mark.parametrize("image_column", [{"bytes": b"", "path": ""}, b""], ids=["struct", "bytes"])
def test_parquet_whose_first_pages_hold_no_image_is_detected_by_its_schema(
    image_column: Any,
) -> None:
    captions = [f"{i} {random_png(i).hex()}" for i in range(100)]
    columns = {"caption": captions, "image": [image_column] * 99}
    columns["image"].append({"bytes": random_png(0), "path": ""} if image_column else random_png(0))
    content = plain_parquet(columns)
    assert b"PNG" not in content[:4096]
    assert registry.detect(Peek.of_bytes(content, "a.parquet")).name == "image"


@pytest.mark.parametrize(
    "columns",
    [
        {"image": ["a.png", "b.png"], "bytes": [1, 2]},
        {"image": [1, 2], "key": [b"ab", b"cd"]},
    ],
    ids=["paths", "keys"],
)
def test_parquet_of_paths_or_keys_is_a_table(columns: dict[str, Any]) -> None:
    peek = Peek.of_bytes(plain_parquet(columns), "a.parquet")
    assert registry.detect(peek).name == "tabular"


@pytest.mark.parametrize("open_writer", [pa.ipc.new_stream, pa.ipc.new_file])
def test_arrow_files_of_images_are_read_on_their_own_and_in_a_zip(
    open_writer: Any, tmp_path: Path, read: Read
) -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes([0, 1] * 6)))
    out = io.BytesIO()
    with open_writer(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    parts = {f"ds/{part}/data-00000-of-00001.arrow": out.getvalue() for part in ("train", "test")}
    for source, n_test in (
        (write_file(tmp_path / "a.arrow", out.getvalue()), 0),
        (write_zip(tmp_path / "a.zip", parts | {"ds/train/state.json": b"{}"}), 6),
    ):
        peek = Peek.of_bytes(source.path.read_bytes(), source.name)
        assert registry.detect(peek).name == "image"
        labels = read(source).summary.labels
        assert labels == (Label("cat", 6, n_test), Label("dog", 6, n_test))


def test_damaged_arrow_file_of_images_is_rejected(tmp_path: Path, reject: Reject) -> None:
    table = pq.read_table(io.BytesIO(parquet_bytes([0, 1] * 6)))
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    reject(write_file(tmp_path / "a.arrow", out.getvalue()[:-900]))


def test_whole_numbers_of_a_float_column_of_parquet_are_labels(tmp_path: Path, read: Read) -> None:
    content = plain_parquet({"image": [random_png(i) for i in range(12)], "y": [0.0, 1.0] * 6})
    assert read(write_file(tmp_path / "a.parquet", content)).names == ["0", "1"] * 6
