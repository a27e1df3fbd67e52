"""Kinds of layouts in which public image sets are published."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from core.datasets.peek import Peek
from core.datasets.source import SourceFile
from modalities.image.detection import detect_images
from tests.modalities.image.conftest import Read, Reject, Result
from tests.modalities.image.factories import (
    png_folders,
    random_png,
    tar_bytes,
    write_file,
    write_zip,
    zip_bytes,
)

Files = dict[str, bytes]

PETS = ("cat", "dog")


def flat(path: str = "{:03}.png", count: int = 12) -> Files:
    return {path.format(i): random_png(i) for i in range(count)}


def pet(i: int) -> str:
    return PETS[i % 2]


def table(header: str, row: str, count: int = 12) -> bytes:
    """Return a CSV whose rows have the index as {i}, the label as {label} and its number as {n}."""
    rows = [row.format(i=i, label=pet(i), n=i % 2) for i in range(count)]
    return "\n".join([*([header] if header else []), *rows, ""]).encode()


def counts(result: Result) -> dict[str, tuple[int, int]]:
    return {label.name: (label.count, label.test_count) for label in result.summary.labels}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("entrenamiento", "prueba"),
        ("treino", "validação"),
        ("apprentissage", "validation"),
        ("Trainingsdaten", "Testdaten"),
        ("обучение", "тест"),
        ("训练集", "测试集"),
        ("学習データ", "テスト"),
    ],
)
def test_parts_are_recognized_in_other_languages(
    tmp_path: Path, read: Read, train: str, test: str
) -> None:
    folders = [f"{part}/{label}" for part in (train, test) for label in PETS]
    result = read(write_zip(tmp_path / "a.zip", png_folders(*folders)))
    assert counts(result) == {"cat": (10, 10), "dog": (10, 10)}


@pytest.mark.parametrize(
    "files",
    [
        {f"{part}.zip": zip_bytes(png_folders(*PETS)) for part in ("train", "test")},
        {"d/all.zip": zip_bytes(png_folders("train/cat", "train/dog", "test/cat", "test/dog"))},
        {
            "train.tgz": gzip.compress(tar_bytes(png_folders(*PETS))),
            "test.tar": tar_bytes(png_folders(*PETS)),
            "sample_submission.csv": b"id,label\n1,0\n",
        },
    ],
)
def test_archives_in_an_archive_are_folders(tmp_path: Path, read: Read, files: Files) -> None:
    source = write_zip(tmp_path / "a.zip", files)
    result = read(source)
    assert counts(result) == {"cat": (10, 10), "dog": (10, 10)}
    assert detect_images(Peek.of_bytes(source.path.read_bytes(), "a.zip")) > 0.5


def test_archive_of_images_next_to_a_table_of_labels_is_read(tmp_path: Path, read: Read) -> None:
    files = {"img.zip": zip_bytes(flat()), "train.csv": table("id,label", "{i},{label}")}
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 0), "dog": (6, 0)}


def test_archives_in_an_archive_are_limited(tmp_path: Path, reject: Reject) -> None:
    inner = zip_bytes(png_folders(*PETS))
    deep = write_zip(
        tmp_path / "a.zip", {"b.zip": zip_bytes({"c.zip": zip_bytes({"d.zip": inner})})}
    )
    assert reject(deep).code == "archive_empty"
    large = zip_bytes({"cat/0.png": random_png(), "x": bytes(3 * 1024 * 1024)})
    bomb = write_zip(tmp_path / "b.zip", {"a.zip": large}, deflated=True)
    assert reject(bomb).code == "archive_bomb"


@pytest.mark.parametrize(
    "files",
    [
        {f"{i:03}.{suffix}": random_png(i) for i in range(12) for suffix in ("bmp", "png")},
        flat("{:03}.png") | flat("{:03}_mask.png"),
        flat("train/images/{}.png") | flat("train/masks/{}.png"),
    ],
    ids=["another suffix", "a word", "a folder"],
)
def test_masks_of_the_same_name_are_not_the_images_of_a_table(
    tmp_path: Path, read: Read, files: Files
) -> None:
    files |= {"Labels of images.csv": table("image,label", "{i},{label}")}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"cat": (6, 0), "dog": (6, 0)}
    issue = result.issue("annotations_not_read")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("info", 12)


def test_the_same_images_in_several_sizes_are_used_once(tmp_path: Path, read: Read) -> None:
    files = {
        f"{color}/{size}x{size}/{name}.png": random_png(size + ord(name), size, size)
        for color in ("black", "white")
        for size in (16, 32)
        for name in "abcdef"
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"black": (6, 0), "white": (6, 0)}
    assert result.x.shape == (12, 32, 32)


def test_numbers_that_are_not_sizes_are_labels(tmp_path: Path, read: Read) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders("15", "16", "32")))
    assert set(counts(result)) == {"15", "16", "32"}


def test_drawings_next_to_the_same_pictures_are_ignored(tmp_path: Path, read: Read) -> None:
    files = png_folders(*PETS)
    files |= {name.replace("png", "svg"): b"<svg/>" for name in files}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"cat": (10, 0), "dog": (10, 0)}
    assert ".svg" in str(result.summary.layout["ignored"])


def test_list_of_a_larger_set_labels_the_images_that_are_there(tmp_path: Path, read: Read) -> None:
    rows = b"".join(b"images/other%d.png,owl\n" % i for i in range(2_500))
    files = flat("pooled/{:03}.png") | {
        "all.csv": b"file,label\n" + rows + table("", "images/{i:03}.png,{label}")
    }
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 0), "dog": (6, 0)}


def test_listed_image_is_not_the_image_of_another_folder(tmp_path: Path, read: Read) -> None:
    files = png_folders("train/a", "train/b", "test/a", each=6)
    rows = [
        f"/{part}/{label}/{i}.png {label}"
        for part in ("train", "test")
        for label in "ab"
        for i in range(9)
    ]
    result = read(write_zip(tmp_path / "a.zip", files | {"list.txt": "\n".join(rows).encode()}))
    assert result.issue("contradictory_label") is None
    assert counts(result) == {"a": (6, 6), "b": (6, 0)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("meta.csv", table("image,label,note,,,", "{i:03}.png,{label},a b,,,")),
        ("meta.csv", table("image,label,note,by", "{i:03}.png,{label}")),
        ("meta.csv", table("url,label", "https://a.b/img/{i:03}.png?size=1,{label}")),
        ("meta.csv", table("path,label", r"C:\Users\me\img\{i:03}.png,{label}")),
        ("datos.csv", table("imagen,etiqueta,lote", "{i:03}.png,{label},{n}")),
        ("标注.csv", table("文件名,类别,备注", "{i:03}.png,{label},甲{n}")),
    ],
)  # fmt: skip
def test_tables_as_spreadsheets_and_other_systems_write_them(
    tmp_path: Path, read: Read, name: str, content: bytes
) -> None:
    result = read(write_zip(tmp_path / "a.zip", flat("img/{:03}.png") | {name: content}))
    assert counts(result) == {"cat": (6, 0), "dog": (6, 0)}


def test_labels_file_above_folders_may_list_only_one_of_them(tmp_path: Path, read: Read) -> None:
    files = flat("set/parts/{:03}.png") | flat("set/whole/{:03}.png", 3)
    files["set/labels.txt"] = table("", r"parts\{i:03}.png {label}")
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 0), "dog": (6, 0)}


def test_predictions_are_not_labels_and_lists_of_all_parts_do_not_change_the_parts(
    tmp_path: Path, read: Read
) -> None:
    files = flat("test/{:03}.png", 4) | flat("train/{:03}_.png", 16)
    files |= {
        "test_set.csv": table("id,target", "{i:03}_.png,{label}", 4),
        "train_test_set.csv": table("id,target", "{i:03}_.png,{label}", 16),
        "predictions.csv": table("id,target", "{i:03}.png,owl{n}", 4),
    }
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 2), "dog": (6, 2)}


@pytest.mark.parametrize(
    ("labels", "name", "content"),
    [
        ("01", "classes.txt", b"cat\ndog\n"),
        ("12", "classes.txt", b"1: cat\n2: dog\n"),
        ("01", "obj.names", b"cat\ndog\n"),
        ("01", "class_indices.json", json.dumps({"cat": 0, "dog": 1}).encode()),
        ("12", "cat_to_name.json", json.dumps({"1": "cat", "2": "dog"}).encode()),
        (("n00000001", "n00000002"), "words.txt", b"n00000001\tcat\nn00000002\tdog\n"),
        (
            ("n00000001", "n00000002"),
            "imagenet_class_index.json",
            json.dumps({"0": ["n00000001", "cat"], "1": ["n00000002", "dog"]}).encode(),
        ),
    ],
)
def test_numbered_classes_get_the_names_of_a_file(
    tmp_path: Path, read: Read, labels: tuple[str, ...], name: str, content: bytes
) -> None:
    source = write_zip(tmp_path / "a.zip", png_folders(*labels) | {name: content})
    result = read(source)
    assert counts(result) == {"cat": (10, 0), "dog": (10, 0)}
    assert any(name in note for note in result.summary.notes)
    numbers = {label: label for label in labels}
    assert set(counts(read(source, class_names=numbers))) == set(labels)


@pytest.mark.parametrize("content", [b"cat\n", b"cat\ncat\n", b"0 7\n1 8\n", b"{"])
def test_file_that_does_not_name_all_classes_is_not_used(
    tmp_path: Path, read: Read, content: bytes
) -> None:
    files = png_folders("0", "1") | {"classes.txt": content, "classes.json": content}
    assert set(counts(read(write_zip(tmp_path / "a.zip", files)))) == {"0", "1"}


def test_folders_of_patients_only_divide_the_images(tmp_path: Path, read: Read) -> None:
    folders = [f"patient{i:02}/{label}" for i in range(3) for label in PETS]
    result = read(write_zip(tmp_path / "a.zip", png_folders(*folders)))
    assert counts(result) == {"cat": (30, 0), "dog": (30, 0)}
    people = read(write_zip(tmp_path / "b.zip", png_folders("person1", "person2")))
    assert set(counts(people)) == {"person1", "person2"}


def test_texts_of_lines_are_not_labels(tmp_path: Path, read: Read) -> None:
    files = flat() | {"labels.csv": table("filename,words", "{i:03}.png,line {i} of a book")}
    result = read(write_zip(tmp_path / "a.zip", files))
    issue = result.issue("labels_not_read")
    assert result.summary.unlabeled
    assert issue is not None
    assert issue["severity"] == "error"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", table("image,finding", "{i:03}.png,cat") + b"0.png,cat|owl\n", "several labels"),
        ("list.txt", table("", "{i:03}.png {n} {n}"), "set `label_column` to 2, 3"),
    ],
)  # fmt: skip
def test_lists_that_are_not_clear_are_named(
    tmp_path: Path, read: Read, name: str, content: bytes, reason: str
) -> None:
    issue = read(write_zip(tmp_path / "a.zip", flat() | {name: content})).issue("labels_not_read")
    assert issue is not None
    assert issue["severity"] == "error"
    assert name in issue["hint"]
    assert reason in issue["hint"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.mat", b"MATLAB 5.0 MAT-file" + bytes(100)),
        ("train.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
        ("train.tfrecord", bytes([9, *bytes(7), 1, 2, 3, 4]) + bytes(100)),
        ("cifar/data_batch_1", b"\x80\x02}q\x01." + bytes(100)),
    ],
)
def test_containers_that_are_not_read_are_named_with_a_way_out(
    tmp_path: Path, reject: Reject, name: str, content: bytes
) -> None:
    error = reject(write_zip(tmp_path / "a.zip", {name: content}))
    assert name in error.detail
    assert ".npz" in error.detail
    single = reject(SourceFile(write_file(tmp_path / "single", content).path, Path(name).name))
    assert "npz with x and y" in single.detail


def test_pixels_of_nested_archives_are_in_order(tmp_path: Path, read: Read) -> None:
    parts = {label: png_folders(label, each=6) for label in PETS}
    plain = read(write_zip(tmp_path / "a.zip", parts["cat"] | parts["dog"]))
    nested = {f"{label}.zip": zip_bytes(files) for label, files in parts.items()}
    assert np.array_equal(read(write_zip(tmp_path / "b.zip", nested)).x, plain.x)


def test_few_pictures_elsewhere_in_a_repository_are_left_out(tmp_path: Path, read: Read) -> None:
    data = {f"pets-main/data/{name}": png for name, png in png_folders(*PETS, each=30).items()}
    data |= {"pets-main/logo.png": random_png(1), "pets-main/photos/a.png": random_png(2)}
    source = write_zip(tmp_path / "a.zip", data)
    assert counts(read(source)) == {"cat": (30, 0), "dog": (30, 0)}
    chosen = read(source, parts={"pets-main/data/dog": "leave_out", "pets-main/photos": "train"})
    assert chosen.summary.n_train == 31


def test_folder_of_a_repository_is_not_a_label(tmp_path: Path, read: Read) -> None:
    result = read(write_zip(tmp_path / "a.zip", flat("pets-main/{:03}.png")))
    assert result.summary.unlabeled


def test_table_that_numbers_the_folders_may_have_a_negative_number(
    tmp_path: Path, read: Read
) -> None:
    files = png_folders(*PETS)
    rows = [f"{name},{'-1' if 'cat' in name else '0'}" for name in files]
    files["list.csv"] = "\n".join(["filename,label", *rows]).encode()
    assert set(counts(read(write_zip(tmp_path / "a.zip", files)))) == {"cat", "dog"}
