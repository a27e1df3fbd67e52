"""Sources of labels that an upload offers, and the choice of one of them."""

from collections import Counter
from pathlib import Path

import pytest

from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    png_folders,
    random_pixels,
    random_png,
    write_file,
    write_zip,
)
from tests.uploads import make_npz

FRUIT = png_folders("apple/red", "apple/green", "pear/green")
TABLE = "file,kind,color\n" + "".join(
    f"{name},{name.split('/')[0]},{name.split('/')[1]}\n" for name in FRUIT
)


def choices(read: Read, *args: object, **options: object) -> list[tuple[object, ...]]:
    layout = read(*args, **options).summary.layout
    assert layout is not None
    return [tuple(choice.values()) for choice in layout["label_sources"]]


def test_an_upload_lists_its_sources_of_labels(tmp_path: Path, read: Read) -> None:
    source = write_zip(tmp_path / "fruit.zip", FRUIT | {"list.csv": TABLE.encode()})
    assert choices(read, source) == [
        ("folders", None, None, 3, ["apple/green", "apple/red", "pear/green"]),
        ("folders", None, 1, 2, ["apple", "pear"]),
        ("folders", None, 2, 2, ["green", "red"]),
        ("list.csv", "kind", None, 2, ["apple", "pear"]),
        ("list.csv", "color", None, 2, ["green", "red"]),
        ("none", None, None, 0, []),
    ]


def test_files_next_to_the_images_are_the_default_choice(tmp_path: Path, read: Read) -> None:
    files = {f"{i}.png": random_png(i) for i in range(12)}
    files |= {f"{i}.cls": b"01"[i % 2 : i % 2 + 1] for i in range(12)}
    expected = [(None, None, None, 2, ["0", "1"]), ("none", None, None, 0, [])]
    assert choices(read, write_zip(tmp_path / "shard.zip", files)) == expected


def test_labels_in_file_names_are_a_choice(tmp_path: Path, read: Read) -> None:
    names = {f"{label}.{i}.png": random_png(i) for i in range(10) for label in ("cat", "dog")}
    source = write_zip(tmp_path / "pets.zip", names)
    assert ("file_names", None, None, 2, ["cat", "dog"]) in choices(read, source)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"labels_from": "folders"}, {"apple/red": 10, "apple/green": 10, "pear/green": 10}),
        ({"labels_from": "folders", "folder_level": 1}, {"apple": 20, "pear": 10}),
        ({"labels_from": "folders", "folder_level": 2}, {"red": 10, "green": 20}),
        ({"labels_from": "list.csv", "label_column": "color"}, {"red": 10, "green": 20}),
        ({"labels_from": "none"}, {None: 30}),
    ],
)
def test_each_choice_gives_the_labels_that_it_lists(
    options: dict[str, object], expected: dict[str, int], tmp_path: Path, read: Read
) -> None:
    source = write_zip(tmp_path / "fruit.zip", FRUIT | {"list.csv": TABLE.encode()})
    assert Counter(read(source, **options).names) == expected


def test_a_folder_level_that_does_not_exist_is_rejected(tmp_path: Path, reject: Reject) -> None:
    error = reject(write_zip(tmp_path / "fruit.zip", FRUIT), folder_level=3)
    assert error.field_errors[0].pointer == "/meta/folder_level"
    assert "at most 2" in error.detail


@pytest.mark.parametrize(
    ("parts", "cats", "dogs"),
    [
        (None, (10, 10), (10, 10)),
        ({"test": "train"}, (20, 0), (20, 0)),
        ({"test": "leave_out"}, (10, 0), (10, 0)),
        ({"train": "test", "test": "train"}, (10, 10), (10, 10)),
    ],
)
def test_a_client_chooses_the_use_of_folders(
    parts: dict[str, str] | None,
    cats: tuple[int, int],
    dogs: tuple[int, int],
    tmp_path: Path,
    read: Read,
) -> None:
    source = write_zip(
        tmp_path / "pets.zip", png_folders("train/cat", "train/dog", "test/cat", "test/dog")
    )
    labels = read(source, parts=parts).summary.labels
    assert [(label.count, label.test_count) for label in labels] == [cats, dogs]


def test_a_folder_that_is_not_a_part_becomes_one(tmp_path: Path, read: Read) -> None:
    source = write_zip(tmp_path / "pets.zip", png_folders("cat", "dog", "new/cat", "new/dog"))
    labels = read(source, parts={"new": "test"}).summary.labels
    expected = [("cat", 10, 10), ("dog", 10, 10)]
    assert [(label.name, label.count, label.test_count) for label in labels] == expected


def test_copies_in_another_folder_are_left_out(tmp_path: Path, read: Read) -> None:
    source = write_zip(
        tmp_path / "scans.zip", png_folders("yes", "no", "augmented data/yes", "augmented data/no")
    )
    assert len(read(source).summary.labels) == 4
    chosen = read(source, parts={"augmented data": "leave_out"})
    assert Counter(chosen.names) == {"no": 10, "yes": 10}
    layout = chosen.summary.layout
    assert layout is not None
    assert {"name": "augmented data", "train": 0, "test": 0, "left_out": 20} in layout["parts"]


def test_an_unlabeled_part_can_be_trained_on(tmp_path: Path, read: Read) -> None:
    files = png_folders("train/cat", "train/dog") | {
        f"unlabeled/{i}.png": random_png(9_000 + i) for i in range(10)
    }
    source = write_zip(tmp_path / "pets.zip", files)
    assert Counter(read(source).names) == {"cat": 10, "dog": 10}
    chosen = read(source, parts={"unlabeled": "train"})
    assert Counter(chosen.names) == {"cat": 10, "dog": 10, None: 10}


def test_a_part_that_does_not_exist_is_rejected(tmp_path: Path, reject: Reject) -> None:
    error = reject(write_zip(tmp_path / "fruit.zip", FRUIT), parts={"old": "leave_out"})
    assert error.field_errors[0].pointer == "/meta/parts"


@pytest.mark.parametrize("option", ["labels_from", "label_column", "folder_level", "parts"])
def test_options_of_files_do_not_apply_to_arrays(
    option: str, tmp_path: Path, reject: Reject
) -> None:
    x = [random_pixels(i) for i in range(12)]
    source = write_file(tmp_path / "x.npz", make_npz(x=x, y=[0, 1] * 6))
    value = {"parts": {"a": "train"}, "folder_level": 1}.get(option, "folders")
    error = reject(source, **{option: value})
    assert error.field_errors[0].pointer == f"/meta/{option}"
