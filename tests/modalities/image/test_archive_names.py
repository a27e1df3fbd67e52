"""Names and types of archive entries."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.datasets.source import SourceFile
from tests.modalities.image.conftest import Read, Reject
from tests.modalities.image.factories import (
    png_folders,
    random_png,
    write_file,
    write_tar,
    write_zip,
    zip_bytes,
)

GOOD = png_folders("cats", "dogs")


def zip_with_raw_names(labels: list[str], encoding: str) -> bytes:
    """Build a zip with a folder per label, whose names are in a legacy encoding."""
    content = zip_bytes(
        {
            f"{'XY'[k] * len(label.encode(encoding))}/{i}.png": random_png(10 * k + i)
            for k, label in enumerate(labels)
            for i in range(10)
        }
    )
    for k, label in enumerate(labels):
        raw = label.encode(encoding)
        content = content.replace(b"XY"[k : k + 1] * len(raw) + b"/", raw + b"/")
    return content


BAD_NAMES = [
    "../x.png",
    "/x.png",
    "C:\\x.png",
    "c:x.png",
    "\\\\host\\share\\x.png",
    "a/../../x.png",
    "a/..",
    "cats/../dogs/x.png",
    "cats/a\nb.png",
    "cats/\x7f.png",
    "cats/\u2028.png",
    "cats/" + "x" * 4096 + ".png",
    "/".join("x" * 40) + ".png",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
@pytest.mark.parametrize("write_archive", [write_zip, write_tar])
def test_unsafe_or_invalid_entry_name_is_rejected(
    write_archive: object, name: str, tmp_path: Path, reject: Reject
) -> None:
    assert callable(write_archive)
    error = reject(write_archive(tmp_path / "a", GOOD | {name: random_png(5)}))
    assert error.code == "unsafe_archive_path"
    assert len(error.field_errors[0].message) < 300
    assert error.field_errors[0].message.isprintable()


def test_entry_name_with_a_nul_is_rejected(tmp_path: Path, reject: Reject) -> None:
    content = zip_bytes(GOOD | {"cats/aXb.png": random_png(5)}).replace(b"aXb", b"a\0b")
    assert reject(write_file(tmp_path / "a.zip", content)).code == "unsafe_archive_path"


def test_entry_name_flagged_as_utf8_with_invalid_bytes_is_rejected(
    tmp_path: Path, reject: Reject
) -> None:
    content = zip_bytes(GOOD | {"cats/ä.png": random_png(5)}).replace("ä".encode(), b"\xff\xfe")
    assert reject(write_file(tmp_path / "a.zip", content)).code == "unsafe_archive_path"


def test_entry_name_in_code_page_437_is_read(tmp_path: Path, read: Read) -> None:
    content = zip_bytes(GOOD | {f"kXse/{i}.png": random_png(50 + i) for i in range(10)})
    content = content.replace(b"kXse", b"k\x84se")
    summary, *_ = read(write_file(tmp_path / "a.zip", content))
    assert [label.name for label in summary.labels] == ["cats", "dogs", "käse"]


def test_backslashes_dots_and_double_slashes_in_names_are_normalized(
    tmp_path: Path, read: Read
) -> None:
    content = zip_bytes(
        {f"./cats//{i}.png": random_png(i) for i in range(9)} | {"dogsX1.png": random_png(50)}
    )
    summary, *_ = read(write_file(tmp_path / "a.zip", content.replace(b"dogsX1", b"dogs\\1")))
    assert [(label.name, label.count) for label in summary.labels] == [("cats", 9), ("dogs", 1)]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_rejected(kind: int, tmp_path: Path, reject: Reject) -> None:
    entry = zipfile.ZipInfo("cats/link.png")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cats/1.png", random_png())
        archive.writestr(entry, "/etc/passwd")
    error = reject(SourceFile(tmp_path / "a.zip", "a.zip"))
    assert error.code == "unsafe_archive_path"
    assert error.field_errors[0].pointer == "/file/cats/link.png"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S", b"V"]
)
def test_links_and_devices_in_a_tar_are_rejected(
    kind: bytes, tmp_path: Path, reject: Reject
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("cats/link.png")
        entry.type = kind
        entry.linkname = "../../etc/passwd"
        archive.addfile(entry)
    assert reject(SourceFile(tmp_path / "a.tar", "a.tar")).code == "unsafe_archive_path"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("cats/a.png", "cats/a.png"),
        ("cats/\u00e9.png", "cats/e\u0301.png"),
        ("cats/a.png", "cats//a.png"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entries_with_equivalent_names_are_rejected(
    first: str, second: str, tmp_path: Path, reject: Reject
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in (first, second):
            archive.writestr(name, random_png())
    error = reject(SourceFile(tmp_path / "a.zip", "a.zip"))
    assert error.code == "archive_duplicate"


def test_folders_that_differ_only_in_case_are_two_labels(tmp_path: Path, read: Read) -> None:
    files = {f"{label}/{i}.png": random_png(i) for i in range(10) for label in "Aa"}
    result = read(write_zip(tmp_path / "a.zip", files))
    assert [label.name for label in result.summary.labels] == ["A", "a"]
    assert result.issue("similar_labels") is not None


@pytest.mark.parametrize(
    ("labels", "encoding"),
    [
        (["桜", "竹"], "cp932"),
        (["ねこ", "いぬ"], "cp932"),
        (["Äpfel", "Büsche"], "cp1252"),
        (["café", "Größe"], "cp437"),
        (["кошка", "собака"], "cp866"),
        (["кошка", "собака"], "cp1251"),
        (["猫", "鸟儿"], "gb2312"),
        (["γάτα", "σκύλος"], "cp1253"),
    ],
)
def test_encoding_of_names_that_are_not_utf8_is_guessed_and_noted(
    labels: list[str], encoding: str, tmp_path: Path, read: Read
) -> None:
    source = write_file(tmp_path / "a.zip", zip_with_raw_names(labels, encoding))
    summary = read(source).summary
    assert {label.name for label in summary.labels} == set(labels)
    assert any(f"were read as {encoding}" in note for note in summary.notes)


def test_encoding_of_names_can_be_set(tmp_path: Path, read: Read, reject: Reject) -> None:
    source = write_file(tmp_path / "a.zip", zip_with_raw_names(["고양이", "개"], "euc_kr"))
    summary = read(source, name_encoding="euc_kr").summary
    assert {label.name for label in summary.labels} == {"고양이", "개"}
    assert reject(source, name_encoding="klingon").code == "name_encoding_unknown"
    assert reject(source, name_encoding="hex").code == "name_encoding_unknown"


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_in_a_tar_are_read(format: int, tmp_path: Path, read: Read) -> None:
    label = "käse " * 40 + "end"
    with tarfile.open(tmp_path / "a.tar", "w", format=format) as archive:
        for i in range(10):
            entry = tarfile.TarInfo(f"{label}/{i}.png")
            content = random_png(i)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    summary, *_ = read(SourceFile(tmp_path / "a.tar", "a.tar"))
    assert [name.name for name in summary.labels] == [label]


def test_tar_of_the_current_folder_is_read(tmp_path: Path, read: Read) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in GOOD.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    assert read(write_file(tmp_path / "a.tar", out.getvalue())).summary.n_train == 20
