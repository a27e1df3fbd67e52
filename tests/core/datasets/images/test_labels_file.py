"""labels.csv and labels.json inside an archive."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from core.datasets.images import Label
from tests.core.datasets.images.conftest import Read, Refuse
from tests.core.datasets.images.factories import folders, pixels, png, tar_of, zip_of

PICTURES = {f"{i}.png": png(i) for i in range(12)}
LABELS = {name: "even" if int(name[:-4]) % 2 == 0 else "odd, really" for name in PICTURES}


def csv_of(rows: list[list[str]], *, encoding: str = "utf-8", end: str = "\r\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue().encode(encoding)


ROWS = [["path", "label"], *([name, label] for name, label in LABELS.items())]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", csv_of(ROWS)),
        ("labels.csv", csv_of(ROWS, encoding="utf-8-sig", end="\n")),
        ("Labels.CSV", csv_of([["Label ", " PATH"], *(row[::-1] for row in ROWS[1:])])),
        (
            "labels.csv",
            csv_of([[f"./{path}", label] for path, label in ROWS]).replace(b"./", b"", 1),
        ),
        ("labels.csv", csv_of([[*row, "x"] for row in ROWS])),
        ("labels.csv", csv_of(ROWS) + b"\r\n\r\n"),
        ("labels.json", json.dumps(LABELS).encode()),
        ("labels.json", json.dumps({"labels": list(LABELS.items())}).encode("utf-8-sig")),
        ("labels.json", json.dumps([{"path": p, "label": n} for p, n in LABELS.items()]).encode()),
        ("labels.json", json.dumps(list(LABELS.items())).encode()),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("folder", ["", "set/"])
@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_a_manifest_names_the_label_of_each_image(
    make: object, folder: str, name: str, content: bytes, tmp_path: Path, read: Read
) -> None:
    assert callable(make)
    files = {folder + path: picture for path, picture in PICTURES.items()}
    result = read(make(tmp_path / "a", files | {folder + name: content}))
    assert result.names == list(LABELS.values())
    assert result.summary.format.endswith(name[-4:].lower().replace(".", "-"))
    np.testing.assert_array_equal(result.x[5], pixels(5))


def test_a_manifest_beats_folders(tmp_path: Path, read: Read) -> None:
    files = folders("cats", "dogs")
    rows = [["path", "label"], *([name, f"not {name[:4]}"] for name in files)]
    summary, *_ = read(zip_of(tmp_path / "a.zip", files | {"labels.csv": csv_of(rows)}))
    assert summary.labels == (Label("not cats", 10, 0), Label("not dogs", 10, 0))


def test_paths_may_count_from_the_root_beside_a_manifest_in_a_folder(
    tmp_path: Path, read: Read
) -> None:
    files = {f"set/{name}": content for name, content in PICTURES.items()}
    rows = [["path", "label"], *([name, "a"] for name in files)]
    read(zip_of(tmp_path / "a.zip", files | {"set/labels.csv": csv_of(rows)}))


def test_paths_are_compared_in_normal_form(tmp_path: Path, read: Read) -> None:
    files = {f"cafe\u0301 {i}.png": png(i) for i in range(10)}
    rows = [["path", "label"], *([f"caf\u00e9 {i}.png", "a"] for i in range(10))]
    read(tar_of(tmp_path / "a.tar", files | {"labels.csv": csv_of(rows)}))


def test_a_split_column_marks_the_parts(tmp_path: Path, read: Read) -> None:
    rows = [["path", "label", "split"]]
    rows += [[name, "a", "Test" if i < 2 else "train"] for i, name in enumerate(PICTURES)]
    summary, x, _ = read(zip_of(tmp_path / "a.zip", PICTURES | {"labels.csv": csv_of(rows)}))
    assert (summary.n_train, summary.n_test) == (10, 2)
    np.testing.assert_array_equal(x[10], pixels(0))


def test_without_a_split_column_the_folders_mark_the_parts(tmp_path: Path, read: Read) -> None:
    files = folders("train", "test")
    rows = [["path", "label"], *([name, "a"] for name in files)]
    summary, *_ = read(zip_of(tmp_path / "a.zip", files | {"labels.csv": csv_of(rows)}))
    assert summary.labels == (Label("a", 10, 10),)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_label_is_none(empty: str, tmp_path: Path, read: Read) -> None:
    rows = [["path", "label"], *([name, "a" if i else empty] for i, name in enumerate(PICTURES))]
    result = read(zip_of(tmp_path / "a.zip", PICTURES | {"labels.csv": csv_of(rows)}))
    assert result.names == [None, *["a"] * 11]
    assert result.summary.labels == (Label("a", 11, 0),)
    assert not result.summary.unlabeled


def test_null_in_json_is_no_label_and_a_number_is_one(tmp_path: Path, read: Read) -> None:
    labels = {name: None if i == 0 else 7 for i, name in enumerate(PICTURES)}
    files = PICTURES | {"labels.json": json.dumps(labels).encode()}
    assert read(zip_of(tmp_path / "a.zip", files)).names == [None, *["7"] * 11]


def test_an_image_that_is_not_named_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    error = refuse(zip_of(tmp_path / "a.zip", PICTURES | {"labels.csv": csv_of(ROWS[:-2])}))
    assert error.code == "label_missing"
    assert [fault.pointer for fault in error.field_errors] == ["/file/10.png", "/file/11.png"]


def test_a_name_without_an_image_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    rows = [*ROWS, ["ghost.png", "even"], ["../../etc/passwd", "x"]]
    error = refuse(zip_of(tmp_path / "a.zip", PICTURES | {"labels.csv": csv_of(rows)}))
    assert error.code == "labels_file_invalid"
    assert error.field_errors[0].pointer == "/file/ghost.png"


def test_an_image_that_is_named_twice_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    error = refuse(zip_of(tmp_path / "a.zip", PICTURES | {"labels.csv": csv_of([*ROWS, ROWS[1]])}))
    assert error.code == "labels_file_invalid"


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
        ("labels.csv", csv_of(ROWS, encoding="utf-16")),
        ("labels.csv", b"path,label\n0.png," + b"x" * 200_000),
        ("labels.csv", b"path,label,split\n0.png,a,maybe\n"),
        ("labels.json", b""),
        ("labels.json", b"null"),
        ("labels.json", b"[1, 2]"),
        ("labels.json", b'{"0.png": ["a"]}'),
        ("labels.json", b'{"0.png": true}'),
        ("labels.json", b'{"0.png": 1.5}'),
        ("labels.json", b'{"0.png": "a", "0.png": "b"}'),
        ("labels.json", b'[{"label": "a"}]'),
        ("labels.json", b'[{"path": "0.png", "label": "a", "split": 3}]'),
        ("labels.json", b'{"0.png": ' + b"9" * 5_000 + b"}"),
        ("labels.json", b"[" * 100_000),
        ("labels.json", '{"0.png": "a"}'.encode("utf-16")),
    ],
    ids=range(23),
)
def test_a_manifest_that_cannot_be_read_is_refused(
    name: str, content: bytes, tmp_path: Path, refuse: Refuse
) -> None:
    error = refuse(zip_of(tmp_path / "a.zip", PICTURES | {name: content}))
    assert error.code == "labels_file_invalid"
    assert name in error.detail


def test_a_surrogate_in_a_label_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    files = PICTURES | {"labels.json": b'{"0.png": "\\ud800"}'}
    assert refuse(zip_of(tmp_path / "a.zip", files)).code == "label_invalid"


def test_two_manifests_are_refused(tmp_path: Path, refuse: Refuse) -> None:
    files = PICTURES | {"labels.csv": csv_of(ROWS), "labels.json": json.dumps(LABELS).encode()}
    assert refuse(zip_of(tmp_path / "a.zip", files)).code == "unsupported_file_combination"


def test_a_manifest_for_some_of_the_folders_is_refused(tmp_path: Path, refuse: Refuse) -> None:
    files = folders("cats", "dogs") | {"cats/labels.csv": csv_of(ROWS)}
    assert refuse(zip_of(tmp_path / "a.zip", files)).code == "labels_file_invalid"


def test_what_we_hand_out_can_be_uploaded_again(tmp_path: Path, read: Read) -> None:
    """A samples zip: label folders with the slash encoded, and labels.csv with the true names."""
    files, rows = {}, [["path", "label"]]
    for k, label in enumerate(("T-shirt/top", "Ankle boot")):
        for i in range(6):
            path = f"{label.replace('/', '%2F')}/{i:06}.png"
            files[path] = png(100 * k + i)
            rows.append([path, label])
    with_manifest = read(zip_of(tmp_path / "a.zip", {"labels.csv": csv_of(rows)} | files))
    without = read(zip_of(tmp_path / "b.zip", files))
    assert with_manifest.names == without.names == ["T-shirt/top"] * 6 + ["Ankle boot"] * 6
