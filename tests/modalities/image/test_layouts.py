"""Layouts of public image sets: labels and parts wherever they are."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.datasets.source import SourceFile
from modalities.image import encode
from modalities.image.upload.summary import Label
from tests.modalities.image.conftest import Read, Reject, Result
from tests.modalities.image.factories import (
    encode_image,
    png_folders,
    random_png,
    write_file,
    write_tar,
    write_zip,
)


def csv_bytes(rows: list[list[Any]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def images(count: int, path: str = "{}.png") -> dict[str, bytes]:
    return {path.format(i): random_png(i) for i in range(count)}


SEAS = ("sea", "ice")


def counts(result: Result) -> list[tuple[str, int, int]]:
    return [(label.name, label.count, label.test_count) for label in result.summary.labels]


@pytest.mark.parametrize(
    ("folders", "labels", "left_out"),
    [
        (
            [f"seg_{part}/seg_{part}/{label}" for part in ("train", "test") for label in SEAS]
            + ["seg_pred/seg_pred"],
            [("ice", 10, 10), ("sea", 10, 10)],
            ["seg_pred/seg_pred"],
        ),
        (
            ["dataset/training_set/cats", "dataset/training_set/dogs", "dataset/test_set/cats"],
            [("cats", 10, 10), ("dogs", 10, 0)],
            [],
        ),
        (
            ["cat/train", "cat/test", "dog/train", "dog/test"],
            [("cat", 10, 10), ("dog", 10, 10)],
            [],
        ),
        (["train/cat", "train/dog", "test"], [("cat", 10, 0), ("dog", 10, 0)], ["test"]),
        (
            ["train/cat", "train/dog", "test/images"],
            [("cat", 10, 0), ("dog", 10, 0)],
            ["test/images"],
        ),
        (["Dataset/0", "Dataset/1", "Examples"], [("0", 10, 0), ("1", 10, 0)], ["Examples"]),
        (
            ["test/cat", "test/dog", "validation/cat", "validation/dog"],
            [("cat", 20, 0), ("dog", 20, 0)],
            [],
        ),
        (["Train/0", "Train/1", "Test", "Meta"], [("0", 10, 0), ("1", 10, 0)], ["Test", "Meta"]),
        (
            ["signs/DATA/0", "signs/DATA/1", "signs/TEST"],
            [("0", 10, 0), ("1", 10, 0)],
            ["signs/TEST"],
        ),
        (
            ["abc_train/abc_train/A", "abc_train/abc_train/B", "abc_test/abc_test"],
            [("A", 10, 0), ("B", 10, 0)],
            ["abc_test/abc_test"],
        ),
        (
            ["train/n01/images", "train/n02/images", "val/images"],
            [("n01", 10, 0), ("n02", 10, 0)],
            ["val/images"],
        ),
        (
            ["fold1/cat", "fold1/dog", "fold2/cat", "fold2/dog"],
            [("cat", 20, 0), ("dog", 20, 0)],
            [],
        ),
        (["TrainingSet/a", "TrainingSet/b", "ValidationSet/a"], [("a", 10, 10), ("b", 10, 0)], []),
        (["bullet train", "test tube"], [("bullet train", 10, 0), ("test tube", 10, 0)], []),
        (["images/cat", "images/dog"], [("cat", 10, 0), ("dog", 10, 0)], []),
    ],
)
def test_class_folders_and_parts_are_recognized_at_any_level(
    folders: list[str],
    labels: list[tuple[str, int, int]],
    left_out: list[str],
    tmp_path: Path,
    read: Read,
) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders(*folders)))
    assert counts(result) == labels
    notes = " ".join(result.summary.notes)
    assert all(f"in {folder}" in notes or f", {folder}" in notes for folder in left_out)
    assert "were left out" in notes if left_out else "left out" not in notes


def test_summary_describes_the_parts_of_the_upload(tmp_path: Path, read: Read) -> None:
    files = png_folders("seg_train/sea", "seg_train/ice", "seg_test/sea", "seg_pred") | {
        "README.md": b"#",
        "notes/a.xml": b"<a/>",
        "notes/b.xml": b"<b/>",
    }
    layout = read(write_zip(tmp_path / "a.zip", files)).summary.layout
    assert layout == {
        "labels_from": "folders",
        "parts": [
            {"name": "seg_train", "train": 20, "test": 0, "left_out": 0},
            {"name": "seg_test", "train": 0, "test": 10, "left_out": 0},
            {"name": "seg_pred", "train": 0, "test": 0, "left_out": 10},
        ],
        "label_sources": [
            {
                "labels_from": source,
                "label_column": None,
                "folder_level": None,
                "labels": len(labels),
                "examples": labels,
            }
            for source, labels in (("folders", ["ice", "sea"]), ("none", []))
        ],
        "ignored": [
            {"kind": ".xml", "files": 2, "example": "notes/a.xml"},
            {"kind": ".md", "files": 1, "example": "README.md"},
        ],
    }


TABLES = {
    "train.csv": csv_bytes(
        [["filename", "class"], *([f"{i}.png", "ab"[i % 2]] for i in range(12))]
    ),
    "metadata.csv": csv_bytes(
        [["file_name", "width", "label"], *([f"{i}.png", 8, "ab"[i % 2]] for i in range(12))]
    ),
    "breeds.csv": csv_bytes([["id", "breed"], *([i, "ab"[i % 2]] for i in range(12))]),
    "data.tsv": csv_bytes([["label", "image"], *(["ab"[i % 2], f"{i}"] for i in range(12))], "\t"),
    "annot.csv": csv_bytes(
        [["Image Index", "Label"], *([f"{i}.PNG", "ab"[i % 2]] for i in range(12))], ";"
    ),
    "_classes.csv": csv_bytes(
        [["filename", " a", " b"], *([f"{i}.png", 1 - i % 2, i % 2] for i in range(12))]
    ),
    "list.txt": csv_bytes([[f"data/{i}.png", "ab"[i % 2]] for i in range(12)], " "),
    "paths.csv": csv_bytes(
        [["path", "label"], *([f"C:\\set\\imgs\\{i}.png", "ab"[i % 2]] for i in range(12))]
    ),
    "utf16.csv": "path,label\n".encode("utf-16")
    + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(12)).encode("utf-16-le"),
    "dataset.json": json.dumps({"labels": [[f"{i}.png", "ab"[i % 2]] for i in range(12)]}).encode(),
    "metadata.jsonl": "\n".join(
        json.dumps({"file_name": f"{i}.png", "label": "ab"[i % 2]}) for i in range(12)
    ).encode(),
    "by_label.json": json.dumps(
        {"a": [f"{i}.png" for i in range(0, 12, 2)], "b": [f"{i}.png" for i in range(1, 12, 2)]}
    ).encode(),
    "train2019.json": json.dumps(
        {
            "images": [{"id": i, "file_name": f"x/{i}.png"} for i in range(12)],
            "annotations": [{"id": i, "image_id": i, "category_id": i % 2} for i in range(12)],
            "categories": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}],
        }
    ).encode(),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("folder", ["", "imgs/", "train/"])
def test_table_with_labels_is_read_under_any_name_and_header(
    name: str, folder: str, tmp_path: Path, read: Read
) -> None:
    files = images(12, folder + "{}.png") | {name: TABLES[name]}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.names == ["a", "b"] * 6
    assert any(name in note for note in result.summary.notes)


def test_test_images_without_a_label_are_left_out_beside_a_table(
    tmp_path: Path, read: Read
) -> None:
    rows = [["id", "breed"], *([f"t{i}", "ab"[i % 2]] for i in range(12))]
    files = images(12, "train/t{}.jpg") | {f"test/x{i}.jpg": random_png(90 + i) for i in range(12)}
    result = read(write_zip(tmp_path / "a.zip", files | {"labels.csv": csv_bytes(rows)}))
    assert counts(result) == [("a", 6, 0), ("b", 6, 0)]
    assert "12 images without a label in test were left out." in result.summary.notes
    assert result.issue("label_missing") is None


def test_tables_of_parts_label_the_images_of_their_part(tmp_path: Path, read: Read) -> None:
    files = png_folders("train", "test", each=12)
    for part, labels in (("train", "ab"), ("test", "ba")):
        rows = [["file", "label"], *([f"{i}.png", labels[i % 2]] for i in range(12))]
        files[f"{part}.csv"] = csv_bytes(rows)
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.names == ["a", "b"] * 6 + ["b", "a"] * 6
    assert (result.summary.n_train, result.summary.n_test) == (12, 12)


def test_paths_with_dots_and_another_case_are_matched(tmp_path: Path, read: Read) -> None:
    rows = [["path", "label"], *([f"./IMGS/{i}.jpg", "ab"[i % 2]] for i in range(12))]
    files = images(12, "imgs/{}.JPG") | {"labels.csv": csv_bytes(rows)}
    assert read(write_zip(tmp_path / "a.zip", files)).names == ["a", "b"] * 6


def test_table_that_names_the_classes_of_the_folders_is_not_a_list_of_images(
    tmp_path: Path, read: Read
) -> None:
    files = {f"DATA/{i % 12}/{i}.png": random_png(i) for i in range(48)}
    files["labels.csv"] = csv_bytes([["ClassId", "Name"], *([i, f"sign {i}"] for i in range(12))])
    result = read(write_zip(tmp_path / "a.zip", files))
    assert [label.name for label in result.summary.labels] == [f"sign {i}" for i in range(12)]
    assert [label.count for label in result.summary.labels] == [4] * 12


def test_readme_and_tables_beside_class_folders_are_ignored(tmp_path: Path, read: Read) -> None:
    files = png_folders("cats", "dogs") | {
        "README.txt": b"Cats and dogs.\nSee https://example.org, and enjoy.",
        "sizes.csv": csv_bytes([["breed", "kg"], ["Pug", 8], ["Boxer", 30]]),
        "cats/info.json": b'{"source": "web"}',
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == [("cats", 10, 0), ("dogs", 10, 0)]
    assert any(note.startswith("Ignored 3 files") for note in result.summary.notes)


def test_two_possible_label_columns_are_not_guessed(tmp_path: Path, read: Read) -> None:
    rows = [["file", "owner", "place"]]
    rows += [[f"{i}.png", "xy"[i % 2], "pq"[i // 6]] for i in range(12)]
    source = write_zip(tmp_path / "a.zip", images(12) | {"info.csv": csv_bytes(rows * 1)})
    result = read(source)
    issue = result.issue("labels_not_read")
    assert issue is not None
    assert (issue["severity"], issue["examples"]) == ("error", ["info.csv"])
    assert "`label_column` to owner, place" in issue["hint"]
    assert read(source, label_column="place").names == ["p"] * 6 + ["q"] * 6


def test_table_that_cannot_be_used_is_named_in_an_error_issue(tmp_path: Path, read: Read) -> None:
    rows = [["photo", "price"], *([f"{i}.png", i + 0.5] for i in range(40))]
    result = read(write_zip(tmp_path / "a.zip", images(40) | {"prices.csv": csv_bytes(rows)}))
    issue = result.issue("labels_not_read")
    assert issue is not None
    assert "prices.csv has no column with labels" in issue["hint"]


def test_several_labels_of_one_image_are_not_read(tmp_path: Path, read: Read) -> None:
    rows = [["filename", "a", "b", "c"], *([f"{i}.png", 1, i % 2, 1] for i in range(12))]
    result = read(write_zip(tmp_path / "a.zip", images(12) | {"_classes.csv": csv_bytes(rows)}))
    issue = result.issue("labels_not_read")
    assert issue is not None
    assert "several labels" in issue["hint"]


def test_labels_in_file_names_are_offered_and_used_on_request(tmp_path: Path, read: Read) -> None:
    files = {f"train/{kind}.{i}.png": random_png(i) for i in range(10) for kind in ("cat", "dog")}
    source = write_zip(tmp_path / "a.zip", files)
    result = read(source)
    assert result.summary.unlabeled
    issue = result.issue("labels_in_file_names")
    assert issue is not None
    assert "cat (10), dog (10)" in issue["hint"]
    assert "file_names" in issue["hint"]
    assert counts(read(source, labels_from="file_names")) == [("cat", 10, 0), ("dog", 10, 0)]


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("{1}_{0}.png", ["ant", "bee"]),
        ("{1}{0:03}.png", ["ant", "bee"]),
        ("{1} ({0}).png", ["ant", "bee"]),
        ("{0:05}-{1}.png", ["ant", "bee"]),
        ("{2}_{0}.png", ["0", "1"]),
        ("{0:05}_{2}.png", ["0", "1"]),
        ("img_{0}.png", []),
        ("{0}.png", []),
    ],
)
def test_usual_patterns_of_labels_in_file_names(
    pattern: str, labels: list[str], tmp_path: Path, read: Read, reject: Reject
) -> None:
    files = {pattern.format(i, ("ant", "bee")[i % 2], i % 2): random_png(i) for i in range(20)}
    source = write_zip(tmp_path / "a.zip", files)
    if labels:
        result = read(source, labels_from="file_names")
        assert [label.name for label in result.summary.labels] == labels
    else:
        assert read(source).issue("labels_in_file_names") is None
        assert reject(source, labels_from="file_names").code == "labels_from_unknown"


def test_source_of_the_labels_can_be_chosen(tmp_path: Path, read: Read, reject: Reject) -> None:
    files = {f"{'xy'[i % 2]}/{i}.png": random_png(i) for i in range(12)}
    files["a.csv"] = csv_bytes(
        [["file", "label"], *([f"{i}.png", "pq"[i // 6]] for i in range(12))]
    )
    source = write_zip(tmp_path / "a.zip", files)
    assert [label.name for label in read(source).summary.labels] == ["p", "q"]
    assert [e.name for e in read(source, labels_from="folders").summary.labels] == ["x", "y"]
    assert [e.name for e in read(source, labels_from="a.csv").summary.labels] == ["p", "q"]
    assert read(source, labels_from="none").summary.unlabeled
    assert reject(source, labels_from="b.csv").code == "labels_from_unknown"


BOXES = {
    "_annotations.coco.json": b'{"images": [], "annotations": []}',
    "_annotations.csv": csv_bytes(
        [["filename", "class", "xmin", "ymin", "xmax", "ymax"]]
        + [[f"{i // 2}.png", "ab"[i % 2], 1, 2, 3, 4] for i in range(24)]
    ),
    "0.xml": b"<annotation><object><name>a</name><bndbox/></object></annotation>",
    "labels/0.txt": b"0 0.5 0.5 0.25 0.25\n1 0.1 0.2 0.1 0.1\n",
    "0.txt": b"0 0.5 0.5 0.25 0.25",
    "0.json": b'{"shapes": [{"label": "a", "points": []}], "imagePath": "0.png"}',
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_not_labels_and_an_error_issue_says_so(
    name: str, tmp_path: Path, read: Read
) -> None:
    result = read(write_zip(tmp_path / "a.zip", images(12) | {name: BOXES[name]}))
    assert result.summary.unlabeled
    codes = {issue.code: issue.severity for issue in result.summary.issues}
    assert codes.get("annotations_not_read", codes.get("labels_not_read")) == "error"


def test_masks_of_objects_are_neither_images_nor_labels(tmp_path: Path, read: Read) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders("images", "masks", each=12)))
    assert result.summary.unlabeled
    assert result.summary.n_train == 12
    issue = result.issue("annotations_not_read")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("error", 12)


@pytest.mark.parametrize(
    "sidecar",
    [
        lambda i: {f"{i:04}.cls": str(i % 2).encode()},
        lambda i: {f"{i:04}.cls": b"7", f"{i:04}.json": json.dumps({"label": str(i % 2)}).encode()},
        lambda i: {f"{i:04}.txt": str(i % 2).encode()},
        lambda i: {f"{i:04}.json": json.dumps({"class": i % 2, "source": "web"}).encode()},
    ],
    ids=["cls", "json and cls", "txt", "json"],
)
@pytest.mark.parametrize("write_archive", [write_tar, write_zip])
def test_files_next_to_the_images_hold_labels(
    sidecar: Any, write_archive: Any, tmp_path: Path, read: Read
) -> None:
    files = {}
    for i in range(12):
        files |= {f"{i:04}.png": random_png(i)} | sidecar(i)
    assert read(write_archive(tmp_path / "a", files)).names == ["0", "1"] * 6


def test_captions_next_to_the_images_are_not_labels(tmp_path: Path, read: Read) -> None:
    files = images(12, "{}.png") | {f"{i}.txt": f"picture no {i}".encode() for i in range(12)}
    assert read(write_tar(tmp_path / "a.tar", files)).summary.unlabeled


ODD_LABELS = ["cat/dog", "Größe", "漢字", "😀 smile", "50% off", "a&b <x>", ".hidden", "con", "-1"]


@pytest.mark.parametrize("format", ["zip", "tar", "npz"])
def test_answers_of_the_service_are_read_back(format: str, tmp_path: Path, read: Read) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (18, 8, 8), np.uint8)
    indices = np.arange(18) % 9
    batches = iter([(indices[:10], pixels[:10]), (indices[10:], pixels[10:])])
    shape = {"height": 8, "width": 8, "channels": 1}
    content = b"".join(encode.encode(format, batches, ODD_LABELS, count=18, image=shape))
    result = read(write_file(tmp_path / f"a.{format}", content))
    assert result.names == [ODD_LABELS[i] for i in indices]
    np.testing.assert_array_equal(result.x, pixels)


def test_folders_of_an_answer_are_labels_without_its_table(tmp_path: Path, read: Read) -> None:
    files = {
        f"{encode.label_folder(label)}/{i}.png": random_png(100 * k + i)
        for k, label in enumerate(ODD_LABELS)
        for i in range(2)
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert {label.name for label in result.summary.labels} == set(ODD_LABELS)


def test_unlabeled_images_of_an_answer_stay_unlabeled(tmp_path: Path, read: Read) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    indices = np.arange(12) % 3 - 1
    content = b"".join(encode.encode_tar(iter([(indices, pixels)]), ["a", "b"]))
    result = read(write_file(tmp_path / "a.tar", content))
    assert result.names == [None, "a", "b"] * 4


def test_same_picture_under_two_labels_is_reported(tmp_path: Path, read: Read) -> None:
    files = png_folders("a", "b") | {f"b/copy{i}.png": random_png(i) for i in range(3)}
    issue = read(write_zip(tmp_path / "a.zip", files)).issue("conflicting_labels")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("warning", 6)


@pytest.mark.parametrize(
    ("label", "is_garbled"),
    [("GrÃ¶ÃŸe", True), ("─pfel", True), ("Größe", False), ("漢字", False), ("naïve", False)],
)
def test_labels_in_a_wrong_encoding_are_reported(
    label: str, is_garbled: bool, tmp_path: Path, read: Read
) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders(label, "plain")))
    assert (result.issue("garbled_label") is not None) is is_garbled


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "PPM", "TGA"])
def test_other_image_formats_are_read(kind: str, tmp_path: Path, read: Read) -> None:
    files = {
        f"{label}/{i}.{kind.lower()}": encode_image(Image.open(io.BytesIO(content)), kind)
        for label in "ab"
        for i, content in enumerate(images(10).values())
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.summary.labels == (Label("a", 10, 0), Label("b", 10, 0))
    assert not [note for note in result.summary.notes if "suffix" in note]


def deep_files(values: list[np.ndarray[Any, Any]], kind: str) -> dict[str, bytes]:
    return {
        f"{'ab'[i % 2]}/{i}.{kind.lower()}": encode_image(Image.fromarray(value), kind)
        for i, value in enumerate(values)
    }


@pytest.mark.parametrize(
    ("highest", "white"), [(226, 255), (4_000, 4_095), (300, 300), (60_000, 65_535), (1, 1)]
)
def test_16_bit_images_are_scaled_by_the_range_in_use(
    highest: int, white: int, tmp_path: Path, read: Read
) -> None:
    rng = np.random.default_rng(0)
    values = [rng.integers(0, highest + 1, (8, 8)).astype(np.uint16) for _ in range(12)]
    values[11][0, 0] = highest
    result = read(write_zip(tmp_path / "a.zip", deep_files(values, "PNG")))
    expected = np.rint(np.stack(values) * 255.0 / white).astype(np.uint8)
    np.testing.assert_array_equal(result.x, expected)
    assert any("8 bits" in note for note in result.summary.notes)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (600.0, 900.0)])
def test_float_images_are_scaled_by_the_range_in_use(
    low: float, high: float, tmp_path: Path, read: Read
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8))
    pixels[0, 0, :2] = 0, 255
    values = (low + pixels / 255 * (high - low)).astype(np.float32)
    result = read(write_zip(tmp_path / "a.zip", deep_files(list(values), "TIFF")))
    np.testing.assert_array_equal(result.x, pixels)


def test_float_images_that_are_not_finite_are_left_out(tmp_path: Path, read: Read) -> None:
    values = [np.full((8, 8), i / 24, np.float32) for i in range(24)]
    values[3][2, 2] = np.nan
    result = read(write_zip(tmp_path / "a.zip", deep_files(values, "TIFF")))
    issue = result.issue("unreadable_image")
    assert issue is not None
    assert issue["examples"] == ["b/3.tiff"]
    assert result.summary.n_train == 23


def test_masks_of_0_and_1_become_black_and_white(tmp_path: Path, read: Read) -> None:
    values = np.random.default_rng(0).integers(0, 2, (12, 8, 8)).astype(np.uint8)
    result = read(write_zip(tmp_path / "a.zip", deep_files(list(values), "PNG")))
    np.testing.assert_array_equal(result.x, values * 255)
    assert "All pixels are 0 or 1: they were scaled to 0 and 255." in result.summary.notes


def test_tiny_range_of_pixels_is_reported(tmp_path: Path, read: Read) -> None:
    values = np.random.default_rng(0).integers(0, 9, (12, 8, 8)).astype(np.uint8)
    issue = read(write_zip(tmp_path / "a.zip", deep_files(list(values), "PNG"))).issue("tiny_range")
    assert issue is not None
    assert "between 0 and 8" in issue["hint"]


@pytest.mark.parametrize(
    ("background", "expected"), [("white", 255), ("black", 0), ("#646464", 100), ("#ff0000", None)]
)
def test_background_of_transparent_images_can_be_chosen(
    background: str, expected: int | None, tmp_path: Path, read: Read
) -> None:
    logo = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    files = {f"{'ab'[i % 2]}/{i}.png": encode_image(logo) for i in range(12)}
    result = read(write_zip(tmp_path / "a.zip", files), background=background)
    if expected is None:
        assert result.x[0, 0, 0].tolist() == [255, 0, 0]
    else:
        assert result.x[0, 0, 0] == expected


def test_background_that_is_not_a_color_is_rejected_by_name(tmp_path: Path, reject: Reject) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders("a", "b"))
    error = reject(source, background="keep")
    assert error.field_errors[0].pointer == "/meta/background"
    assert "fourth channel" in error.detail


def test_set_without_labels_has_an_issue_that_states_it(tmp_path: Path, read: Read) -> None:
    source: SourceFile = write_zip(tmp_path / "a.zip", images(12) | {"list.pdf": b"%PDF"})
    result = read(source)
    assert result.summary.unlabeled
    issue = result.issue("no_labels")
    assert issue is not None
    assert issue["severity"] == "info"


def test_only_folder_is_no_label_if_the_file_names_hold_labels(tmp_path: Path, read: Read) -> None:
    files = {
        f"kana/{kana}{i}.png": random_png(10 * j + i)
        for j, kana in enumerate(("kanaA", "kanaI"))
        for i in range(10)
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.summary.unlabeled
    assert result.issue("labels_in_file_names") is not None


def test_only_folder_is_no_label_if_boxes_describe_its_images(tmp_path: Path, read: Read) -> None:
    files = images(12, "BCCD/JPEGImages/{}.png") | {
        f"BCCD/Annotations/{i}.xml": b"<annotation><object><bndbox/></object></annotation>"
        for i in range(12)
    }
    result = read(write_zip(tmp_path / "a.zip", files | {"example.png": random_png(50)}))
    assert result.summary.unlabeled
    issue = result.issue("annotations_not_read")
    assert issue is not None
    assert issue["severity"] == "error"


def test_ids_without_leading_zeros_name_padded_images(tmp_path: Path, read: Read) -> None:
    table = csv_bytes([["id", " hemorrhage"], *([i, i % 2] for i in range(20))])
    files = {f"head_ct/{i:03}.png": random_png(i) for i in range(20)}
    result = read(write_zip(tmp_path / "a.zip", files | {"labels.csv": table}))
    assert counts(result) == [("0", 10, 0), ("1", 10, 0)]
    assert result.names == ["0", "1"] * 10


def test_table_of_a_test_part_on_its_own_labels_the_dataset(tmp_path: Path, read: Read) -> None:
    table = csv_bytes([["file", "class"], *([f"{i}.png", "ab"[i % 2]] for i in range(20))])
    result = read(
        write_zip(tmp_path / "a.zip", images(20, "Test/images/{}.png") | {"Test.csv": table})
    )
    assert counts(result) == [("a", 10, 0), ("b", 10, 0)]


def test_measurements_in_a_table_with_a_header_are_not_boxes(tmp_path: Path, read: Read) -> None:
    rows = [[f"{i // 2}.png", "ab"[i // 2 % 2], i, 2 * i, i + 3, i * i] for i in range(24)]
    table = csv_bytes([["Name", "Type", "HP", "Attack", "Defense", "Speed"], *rows])
    result = read(write_zip(tmp_path / "a.zip", images(12) | {"pokemon.csv": table}))
    assert counts(result) == [("a", 6, 0), ("b", 6, 0)]


def test_expression_after_a_dot_is_a_label_in_a_file_name(tmp_path: Path, read: Read) -> None:
    files = {
        f"faces/subject{i:02}.{expression}": random_png(2 * i + j)
        for i in range(8)
        for j, expression in enumerate(("happy", "sad"))
    }
    result = read(write_zip(tmp_path / "a.zip", files), labels_from="file_names")
    assert counts(result) == [("happy", 8, 0), ("sad", 8, 0)]


def test_labels_that_are_also_names_of_images_are_not_the_column_of_names(
    tmp_path: Path, read: Read
) -> None:
    files = images(20, "head/{:03}.png") | {"examples/0.png": random_png(99)}
    rows = [["id", " hemorrhage"], *([str(i), str(int(i < 10))] for i in range(20))]
    source = write_zip(tmp_path / "heads.zip", files | {"labels.csv": csv_bytes(rows)})
    assert counts(read(source)) == [("0", 10, 0), ("1", 10, 0)]
