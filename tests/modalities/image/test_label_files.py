"""Files that describe images: tables and documents in many forms, lists, and names of classes."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.modalities.image.conftest import Read
from tests.modalities.image.factories import png_folders, random_png, write_zip, zip_bytes
from tests.modalities.image.test_published_layouts import PETS, counts, flat, pet, table
from tests.modalities.tabular.factories import build_workbook

N = 16
NAMES = [f"{i:03}.png" for i in range(N)]
LABELS = [pet(i) for i in range(N)]
PAIRS = list(zip(NAMES, LABELS, strict=True))
BOTH = {"cat": (8, 0), "dog": (8, 0)}
PARTS = {"cat": (6, 2), "dog": (6, 2)}
TRAIN, TEST = PAIRS[:12], PAIRS[12:]


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def sheet(rows: Sequence[Sequence[Any]], title: str = "Sheet1") -> bytes:
    return build_workbook({title: [list(row) for row in rows]})


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def parts_table(column: str, values: Sequence[Any]) -> bytes:
    rows = [f"{n},{c},{value}" for (n, c), value in zip(PAIRS, values, strict=True)]
    return "\n".join([f"image,label,{column}", *rows]).encode()


def xml(rows: Sequence[str]) -> bytes:
    return f"<images>{''.join(rows)}</images>".encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", as_json([{"image": {"path": n}, "info": {"class": c}} for n, c in PAIRS])),
        ("a.json", as_json({"classes": [*PETS], "data": [{"file": n, "y": c} for n, c in PAIRS]})),
        ("a.json", as_json({"labels": dict(PAIRS)})),
        ("a.json", as_json({name: [label] for name, label in PAIRS})),
        ("a.json", as_json({"file_name": NAMES, "label": LABELS})),
        (
            "a.json",
            as_json({"file": dict(enumerate(NAMES)), "label": dict(enumerate(LABELS))}),
        ),
        ("a.xml", xml([f'<image name="{n}" label="{c}"/>' for n, c in PAIRS])),
        ("a.xml", xml([f"<i><file>{n}</file><class>{c}</class></i>" for n, c in PAIRS])),
        ("a.csv", b"# by hand\n" + table("image,species", "{i:03}.png,{label}", N)),
        ("a.csv", b"Our pets\n" + table("image,species,age", "{i:03}.png,{label},3", N)),
        ("a.csv", table("image,label,label", "{i:03}.png,{label},x", N)),
        ("a.xlsx", sheet([("filename", "label"), *PAIRS])),
        ("a.xlsx", sheet([("Our pets, 2021", ""), ("No.", "Kind"), *enumerate(LABELS)])),
        ("a.xlsx", sheet(PAIRS)),
        ("a.parquet", parquet(file=NAMES, label=LABELS)),
    ],
)
def test_documents_and_workbooks_with_labels_are_read(
    tmp_path: Path, read: Read, name: str, content: bytes
) -> None:
    result = read(write_zip(tmp_path / "a.zip", flat(count=N) | {name: content}))
    assert counts(result) == BOTH


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", as_json({"train": TRAIN, "test": TEST})),
        ("a.json", as_json({"train": dict(TRAIN), "val": dict(TEST)})),
        (
            "a.json",
            as_json({"train": [[n, 0, c] for n, c in TRAIN], "test": [[n, 1, c] for n, c in TEST]}),
        ),
        (
            "a.xlsx",
            build_workbook(
                {part: [["name", "class"], *map(list, rows)] for part, rows in
                 (("train", TRAIN), ("test", TEST))}
            ),
        ),
        ("a.csv", parts_table("is_test", [int(pair in TEST) for pair in PAIRS])),
        ("a.csv", parts_table("train", [pair in TRAIN for pair in PAIRS])),
    ],
)  # fmt: skip
def test_documents_and_sheets_name_the_parts(
    tmp_path: Path, read: Read, name: str, content: bytes
) -> None:
    result = read(write_zip(tmp_path / "a.zip", flat(count=N) | {name: content}))
    assert counts(result) == PARTS


def test_xml_next_to_each_image_holds_its_label(tmp_path: Path, read: Read) -> None:
    files = flat() | {f"{i:03}.xml": f"<a><class>{pet(i)}</class></a>".encode() for i in range(12)}
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 0), "dog": (6, 0)}


def test_xml_with_entities_is_not_read(tmp_path: Path, read: Read) -> None:
    content = b'<!DOCTYPE a [<!ENTITY b "c">]>' + xml([f'<i f="{n}" label="&b;"/>' for n in NAMES])
    result = read(write_zip(tmp_path / "a.zip", flat(count=N) | {"a.xml": content}))
    issue = result.issue("labels_not_read")
    assert issue is not None
    assert "DOCTYPE" in issue["hint"]


def test_words_after_a_name_are_one_label(tmp_path: Path, read: Read) -> None:
    lines = "\n".join(f"{i:03} {('Boeing 737', 'Airbus A320')[i % 2]}" for i in range(12))
    result = read(write_zip(tmp_path / "a.zip", flat() | {"variants.txt": lines.encode()}))
    assert counts(result) == {"Airbus A320": (6, 0), "Boeing 737": (6, 0)}


def test_lists_of_images_name_the_parts_of_folders(tmp_path: Path, read: Read) -> None:
    files = png_folders(*(f"images/{each}" for each in PETS))
    paths = [path.removeprefix("images/").removesuffix(".png") for path in files]
    test = [path for path in paths if path.endswith(("8", "9"))]
    files |= {
        "meta/train.txt": "\n".join(path for path in paths if path not in test).encode(),
        "meta/test.txt": "\n".join(test).encode(),
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"cat": (8, 2), "dog": (8, 2)}
    files["meta/train.txt"] += b"\n" + "\n".join(test).encode()
    unclear = read(write_zip(tmp_path / "b.zip", files))
    assert counts(unclear) == {"cat": (10, 0), "dog": (10, 0)}


def test_one_list_of_images_per_label_is_read(tmp_path: Path, read: Read) -> None:
    lists = {
        f"{label}.txt": "\n".join(n for n, c in PAIRS if c == label).encode() for label in PETS
    }
    result = read(write_zip(tmp_path / "a.zip", flat(count=N) | lists))
    assert counts(result) == BOTH


def test_table_labels_test_images_whose_folders_have_no_labels(tmp_path: Path, read: Read) -> None:
    files = png_folders(*(f"train/{each}" for each in PETS)) | flat("val/images/v{}.png", 4)
    files["val/list.txt"] = table("", "v{i}.png\t{label}\t0\t31", 4)
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"cat": (10, 2), "dog": (10, 2)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.yaml", b"nc: 2\nnames: ['cat', \"dog\"]\n"),
        ("data.yaml", b"names:\n  0: cat\n  1: dog\nnc: 2\n"),
        ("data.yaml", b"names:\n- cat\n- dog\n"),
        ("classes.txt", b"{0: 'cat', 1: 'dog'}"),
        ("class_dict.csv", b"height,class_index,class\n224,0,cat\n225,1,dog\n"),
        ("labels.csv", b"Name,ClassID\ncat,0\ndog,1\n"),
        ("class_names.xlsx", sheet([("id", "name"), (0, "cat"), (1, "dog")])),
    ],
)
def test_names_of_numbered_classes_are_read_in_many_forms(
    tmp_path: Path, read: Read, name: str, content: bytes
) -> None:
    result = read(write_zip(tmp_path / "a.zip", png_folders("0", "1") | {name: content}))
    assert counts(result) == {"cat": (10, 0), "dog": (10, 0)}


def test_names_of_classes_may_be_counted_from_1(tmp_path: Path, read: Read) -> None:
    files = png_folders("1", "2") | {"classes.txt": b"cat\ndog\n"}
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (10, 0), "dog": (10, 0)}


def test_numbered_class_names_do_not_label_images_of_the_same_numbers(
    tmp_path: Path, read: Read
) -> None:
    files = flat("train_images/{}.png") | {
        "train.csv": table("image_id,label", "{i}.png,{n}"),
        "label_num_to_disease_map.json": b'{"0": "Blight", "1": "Mosaic"}',
    }
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"Blight": (6, 0), "Mosaic": (6, 0)}


def test_table_of_one_value_does_not_replace_folders(tmp_path: Path, read: Read) -> None:
    files = png_folders(*PETS)
    rows = [f"{path},PNG" for path in files]
    files["metadata.csv"] = "\n".join(["FILE NAME,FORMAT", *rows]).encode()
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (10, 0), "dog": (10, 0)}


def test_labels_file_about_something_else_does_not_reject_the_images(
    tmp_path: Path, read: Read
) -> None:
    files = flat() | {"labels.csv": b"0.4,0.7\n-1,-1\n"}
    issue = read(write_zip(tmp_path / "a.zip", files)).issue("labels_not_read")
    assert issue is not None
    assert issue["severity"] == "error"


def test_text_that_names_images_in_an_unknown_form_is_named(tmp_path: Path, read: Read) -> None:
    lines = "\n".join(
        ["12", "Bald Young", *(f"{i:03}.png {-1 if i % 2 else 1}  1" for i in range(12))]
    )
    issue = read(write_zip(tmp_path / "a.zip", flat() | {"attr.txt": f"{lines}\n".encode()})).issue(
        "labels_not_read"
    )
    assert issue is not None
    assert issue["examples"] == ["attr.txt"]


def test_padded_number_names_the_image_that_ends_with_it(tmp_path: Path, read: Read) -> None:
    files = flat("Sprite-{:04}.png") | {"labels.csv": table("id,status", "{i:04},{label}")}
    assert counts(read(write_zip(tmp_path / "a.zip", files))) == {"cat": (6, 0), "dog": (6, 0)}


def test_folder_of_images_with_own_names_is_not_a_label(tmp_path: Path, read: Read) -> None:
    files = {f"logos/{'abcdefghijkl'[i]}.png": random_png(i) for i in range(12)}
    assert read(write_zip(tmp_path / "a.zip", files)).summary.unlabeled


def test_copy_of_a_folder_in_itself_is_left_out(tmp_path: Path, read: Read) -> None:
    files = png_folders(*(f"cells/{each}" for each in PETS))
    files |= {f"cells/{path}": content for path, content in files.items()}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert counts(result) == {"cat": (10, 0), "dog": (10, 0)}
    assert any("copy" in note for note in result.summary.notes)


def test_archives_may_be_two_levels_deep(tmp_path: Path, read: Read) -> None:
    inner = zip_bytes({"inner.zip": zip_bytes(png_folders(*PETS))})
    result = read(write_zip(tmp_path / "a.zip", {"outer.zip": inner, "README.md": b"x"}))
    assert counts(result) == {"cat": (10, 0), "dog": (10, 0)}


def test_names_of_folders_may_hold_label_and_part(tmp_path: Path, read: Read) -> None:
    folders = [f"data/Sample{k:02}_{part}" for k in range(2) for part in ("train", "valid")]
    result = read(write_zip(tmp_path / "a.zip", png_folders(*folders)))
    assert counts(result) == {"Sample00": (10, 10), "Sample01": (10, 10)}


def test_workbook_that_is_a_bomb_is_named_and_not_read(tmp_path: Path, read: Read) -> None:
    bomb = sheet([("filename", "label"), *PAIRS, ("x", " " * 30_000_000)])
    result = read(write_zip(tmp_path / "a.zip", flat(count=N) | {"a.xlsx": bomb}))
    issue = result.issue("labels_not_read")
    assert issue is not None
    assert "decompress" in issue["hint"]
