"""Labels files (labels.csv and labels.json) inside an archive."""

import csv
import io
import json
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

IMAGES = {f"{i}.png": random_png(i) for i in range(12)}
LABELS = {name: "even" if int(name[:-4]) % 2 == 0 else "odd, really" for name in IMAGES}


def encode_csv(rows: list[list[str]], *, encoding: str = "utf-8", end: str = "\r\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode(encoding)


ROWS = [["path", "label"], *([name, label] for name, label in LABELS.items())]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", encode_csv(ROWS)),
        ("labels.csv", encode_csv(ROWS, encoding="utf-8-sig", end="\n")),
        ("Labels.CSV", encode_csv([["Label ", " PATH"], *(row[::-1] for row in ROWS[1:])])),
        (
            "labels.csv",
            encode_csv([[f"./{path}", label] for path, label in ROWS]).replace(b"./", b"", 1),
        ),
        ("labels.csv", encode_csv([[*row, "x"] for row in ROWS])),
        ("labels.csv", encode_csv(ROWS) + b"\r\n\r\n"),
        ("labels.json", json.dumps(LABELS).encode()),
        ("labels.json", json.dumps({"labels": list(LABELS.items())}).encode("utf-8-sig")),
        ("labels.json", json.dumps([{"path": p, "label": n} for p, n in LABELS.items()]).encode()),
        ("labels.json", json.dumps(list(LABELS.items())).encode()),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("folder", ["", "set/"])
@pytest.mark.parametrize("write_archive", [write_zip, write_tar])
def test_labels_file_sets_the_label_of_each_image(
    write_archive: object, folder: str, name: str, content: bytes, tmp_path: Path, read: Read
) -> None:
    assert callable(write_archive)
    files = {folder + path: image for path, image in IMAGES.items()}
    result = read(write_archive(tmp_path / "a", files | {folder + name: content}))
    assert result.names == list(LABELS.values())
    assert result.summary.format.endswith(name[-4:].lower().replace(".", "-"))
    np.testing.assert_array_equal(result.x[5], random_pixels(5))


def test_labels_file_takes_precedence_over_folders(tmp_path: Path, read: Read) -> None:
    files = png_folders("cats", "dogs")
    rows = [["path", "label"], *([name, f"not {name[:4]}"] for name in files)]
    summary, *_ = read(write_zip(tmp_path / "a.zip", files | {"labels.csv": encode_csv(rows)}))
    assert summary.labels == (Label("not cats", 10, 0), Label("not dogs", 10, 0))


def test_paths_in_a_nested_labels_file_may_be_relative_to_the_archive_root(
    tmp_path: Path, read: Read
) -> None:
    files = {f"set/{name}": content for name, content in IMAGES.items()}
    rows = [["path", "label"], *([name, "a"] for name in files)]
    read(write_zip(tmp_path / "a.zip", files | {"set/labels.csv": encode_csv(rows)}))


def test_paths_are_compared_in_unicode_normal_form(tmp_path: Path, read: Read) -> None:
    files = {f"cafe\u0301 {i}.png": random_png(i) for i in range(10)}
    rows = [["path", "label"], *([f"caf\u00e9 {i}.png", "a"] for i in range(10))]
    read(write_tar(tmp_path / "a.tar", files | {"labels.csv": encode_csv(rows)}))


def test_split_column_defines_the_splits(tmp_path: Path, read: Read) -> None:
    rows = [["path", "label", "split"]]
    rows += [[name, "a", "Test" if i < 2 else "train"] for i, name in enumerate(IMAGES)]
    summary, x, _ = read(write_zip(tmp_path / "a.zip", IMAGES | {"labels.csv": encode_csv(rows)}))
    assert (summary.n_train, summary.n_test) == (10, 2)
    np.testing.assert_array_equal(x[10], random_pixels(0))


def test_folders_define_the_splits_without_a_split_column(tmp_path: Path, read: Read) -> None:
    files = png_folders("train", "test")
    rows = [["path", "label"], *([name, "a"] for name in files)]
    summary, *_ = read(write_zip(tmp_path / "a.zip", files | {"labels.csv": encode_csv(rows)}))
    assert summary.labels == (Label("a", 10, 10),)


@pytest.mark.parametrize("empty", ["", "  "])
def test_image_with_an_empty_label_is_unlabeled(empty: str, tmp_path: Path, read: Read) -> None:
    rows = [["path", "label"], *([name, "a" if i else empty] for i, name in enumerate(IMAGES))]
    result = read(write_zip(tmp_path / "a.zip", IMAGES | {"labels.csv": encode_csv(rows)}))
    assert result.names == [None, *["a"] * 11]
    assert result.summary.labels == (Label("a", 11, 0),)
    assert not result.summary.unlabeled


def test_json_null_is_unlabeled_and_a_number_is_a_label(tmp_path: Path, read: Read) -> None:
    labels = {name: None if i == 0 else 7 for i, name in enumerate(IMAGES)}
    files = IMAGES | {"labels.json": json.dumps(labels).encode()}
    assert read(write_zip(tmp_path / "a.zip", files)).names == [None, *["7"] * 11]


def test_image_missing_from_the_labels_file_is_left_out_and_named(
    tmp_path: Path, read: Read
) -> None:
    files = IMAGES | {"labels.csv": encode_csv(ROWS[:-2])}
    result = read(write_zip(tmp_path / "a.zip", files))
    issue = result.issue("label_missing")
    assert issue is not None
    assert (issue["severity"], issue["examples"]) == ("warning", ["10.png", "11.png"])
    assert result.summary.n_train == 10


def test_path_without_an_image_is_reported(tmp_path: Path, read: Read) -> None:
    rows = [*ROWS, ["ghost.png", "even"], ["../../etc/passwd", "x"]]
    result = read(write_zip(tmp_path / "a.zip", IMAGES | {"labels.csv": encode_csv(rows)}))
    issue = result.issue("listed_image_missing")
    assert issue is not None
    assert issue["examples"] == ["ghost.png", "../../etc/passwd"]
    assert result.names == list(LABELS.values())


def test_image_with_two_labels_is_left_out_and_named(tmp_path: Path, read: Read) -> None:
    rows = [*ROWS, ROWS[2], [ROWS[1][0], "both"]]
    result = read(write_zip(tmp_path / "a.zip", IMAGES | {"labels.csv": encode_csv(rows)}))
    issue = result.issue("contradictory_label")
    assert issue is not None
    assert issue["examples"] == ["0.png"]
    assert result.summary.n_train == 11


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", b""),
        ("labels.csv", b"0.png,even\n"),
        ("labels.csv", b"path,label,path\n0.png,a,b\n"),
        ("labels.csv", b"path,label\n0.png\n"),
        ("labels.csv", b"path,label\n0.png,a,b\n"),
        ("labels.csv", b'path,label\n0.png,"a\n'),
        ("labels.csv", b'path,label\n0.png,"a"b\n'),
        ("labels.csv", b"path,label\n0.png,\xff\xfe\n"),
        ("labels.csv", b"path,label,split\n0.png,a,maybe\n"),
        ("labels.json", b""),
        ("labels.json", b"null"),
        ("labels.json", b"[1, 2]"),
        ("labels.json", b'{"0.png": ["a"]}'),
        ("labels.json", b'{"0.png": true}'),
        ("labels.json", b'{"0.png": 1.5}'),
        ("labels.json", b'{"0.png": "a", "0.png": "b"}'),
        ("labels.json", b'[{"path": "0.png", "label": "a", "split": 3}]'),
        ("labels.json", b'{"0.png": ' + b"9" * 5_000 + b"}"),
        ("labels.json", b"[" * 100_000),
        ("labels.json", '{"0.png": "a"}'.encode("utf-16")),
    ],
    ids=range(20),
)
def test_unreadable_labels_file_is_rejected(
    name: str, content: bytes, tmp_path: Path, reject: Reject
) -> None:
    error = reject(write_zip(tmp_path / "a.zip", IMAGES | {name: content}))
    assert error.code == "labels_file_invalid"
    assert name in error.detail


def test_surrogate_in_a_label_is_rejected(tmp_path: Path, reject: Reject) -> None:
    files = IMAGES | {"labels.json": b'{"0.png": "\\ud800"}'}
    assert reject(write_zip(tmp_path / "a.zip", files)).code == "label_invalid"


def test_labels_files_of_shards_that_were_unpacked_side_by_side_are_joined(
    tmp_path: Path, read: Read
) -> None:
    files = {}
    for k in range(3):
        shard = {f"{4 * k + i:07}.png": random_png(4 * k + i) for i in range(4)}
        rows = [
            ["path", "label"],
            *([f"{'ab'[i % 2]}/{n}", "ab"[i % 2]] for i, n in enumerate(shard)),
        ]
        files |= {f"shard-{k}/{'ab'[i % 2]}/{n}": png for i, (n, png) in enumerate(shard.items())}
        files[f"shard-{k}/labels.csv"] = encode_csv(rows)
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.names == ["a", "b"] * 6


def test_labels_file_inside_one_of_the_class_folders_is_ignored_with_a_note(
    tmp_path: Path, read: Read
) -> None:
    files = png_folders("cats", "dogs") | {"cats/labels.csv": encode_csv(ROWS)}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert result.names == ["cats"] * 10 + ["dogs"] * 10
    assert any(note.startswith("cats/labels.csv lists only some") for note in result.summary.notes)


def test_downloaded_zip_can_be_uploaded_again(tmp_path: Path, read: Read) -> None:
    # The service writes label folders with encoded slashes, and labels.csv with the true names.
    files, rows = {}, [["path", "label"]]
    for k, label in enumerate(("T-shirt/top", "Ankle boot")):
        for i in range(6):
            path = f"{label.replace('/', '%2F')}/{i:06}.png"
            files[path] = random_png(100 * k + i)
            rows.append([path, label])
    with_labels_file = read(write_zip(tmp_path / "a.zip", {"labels.csv": encode_csv(rows)} | files))
    from_folders = read(write_zip(tmp_path / "b.zip", files))
    assert with_labels_file.names == from_folders.names == ["T-shirt/top"] * 6 + ["Ankle boot"] * 6
