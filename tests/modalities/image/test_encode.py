"""Encoding of images as npz, zip, tar and JSON."""

import base64
import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from modalities.image import encode

LABELS = ["T-shirt/top", "Ankle boot", "Übergröße", "..", ".hidden", 'a,b"c']


def batches(n: int, shape: tuple[int, ...] = (4, 6)) -> encode.Batches:
    rng = np.random.default_rng(0)
    for start in range(0, n, 5):
        size = min(5, n - start)
        labels = np.arange(start, start + size, dtype=np.int64) % len(LABELS)
        yield labels, rng.integers(0, 255, (size, *shape), np.uint8)


def all_images(n: int, shape: tuple[int, ...] = (4, 6)) -> NDArray[np.uint8]:
    return np.concatenate([pixels for _, pixels in batches(n, shape)])


def join_stream(pieces: Iterator[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join(pieces))


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_npz_contains_pixels_label_indices_and_label_names(shape: tuple[int, ...]) -> None:
    with np.load(join_stream(encode.encode_npz(batches(13, shape), LABELS, 13, shape))) as read:
        assert read["x"].dtype == np.uint8
        assert np.array_equal(read["x"], all_images(13, shape))
        assert read["y"].dtype == np.int64
        assert read["y"].tolist() == [i % len(LABELS) for i in range(13)]
        assert read["labels"].tolist() == LABELS


def test_zip_contains_the_images_and_labels_csv() -> None:
    with zipfile.ZipFile(join_stream(encode.encode_zip(batches(13), LABELS))) as archive:
        assert archive.testzip() is None
        rows = list(csv.reader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8")))
        assert rows[0] == ["path", "label"]
        assert [label for _, label in rows[1:]] == [LABELS[i % len(LABELS)] for i in range(13)]
        read = [np.array(Image.open(archive.open(path))) for path, _ in rows[1:]]
        assert np.array_equal(np.stack(read), all_images(13))
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def test_tar_contains_each_image_with_its_label_files() -> None:
    pieces = encode.encode_tar(batches(13), LABELS, first=5)
    with tarfile.open(fileobj=join_stream(pieces)) as archive:
        parts = {name: archive.extractfile(name).read() for name in archive.getnames()}
    assert len(parts) == 3 * 13
    read = [np.array(Image.open(io.BytesIO(parts[f"{i:09}.png"]))) for i in range(5, 18)]
    assert np.array_equal(np.stack(read), all_images(13))
    labels = [json.loads(parts[f"{i:09}.json"])["label"] for i in range(5, 18)]
    assert labels == [LABELS[int(parts[f"{i:09}.cls"])] for i in range(5, 18)]
    assert labels == [LABELS[i % len(LABELS)] for i in range(13)]


def test_unlabeled_archives_contain_only_images() -> None:
    with tarfile.open(fileobj=join_stream(encode.encode_tar(batches(2), []))) as archive:
        assert archive.getnames() == ["000000000.png", "000000001.png"]
    with zipfile.ZipFile(join_stream(encode.encode_zip(batches(2), [], first=7))) as archive:
        assert archive.namelist() == ["0000007.png", "0000008.png"]


@pytest.mark.parametrize(
    "label",
    [*LABELS, "/etc/passwd", "../../x", "a\\b", "con:1", "a\nb", "con", "NUL.txt", "a.", " a", "."],
)
def test_label_folder_is_a_safe_path_component(label: str) -> None:
    folder = encode.label_folder(label)
    assert not set(folder) & set('/\\\n\x00:*?"<>|')
    assert not folder.startswith((".", " "))
    assert not folder.endswith((".", " "))
    assert folder.lower() not in {"con", "nul.txt"}
    assert unquote(folder) == label


@pytest.mark.parametrize("label", ["Größe", "漢字", "😀 smile", "hot dog", "a&b", "-1", "привет"])
def test_label_folder_is_readable_in_any_script(label: str) -> None:
    assert encode.label_folder(label) == label


def test_json_contains_each_image_with_its_label() -> None:
    read = json.load(join_stream(encode.encode_json(batches(7), LABELS, {"seed": 5, "count": 7})))
    assert (read["seed"], len(read["items"])) == (5, 7)
    first = np.array(Image.open(io.BytesIO(base64.b64decode(read["items"][0]["png"]))))
    assert np.array_equal(first, all_images(7)[0])
    assert read["items"][2]["label"] == "Übergröße"


def test_truncated_archive_stream_is_not_a_valid_zip() -> None:
    for pieces in (
        list(encode.encode_npz(batches(13), LABELS, 13, (4, 6))),
        list(encode.encode_zip(batches(13), LABELS)),
    ):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(b"".join(pieces[:-1])))


def test_npz_is_streamed_in_pieces_smaller_than_half_of_it() -> None:
    largest = max(len(piece) for piece in encode.encode_npz(batches(500), LABELS, 500, (4, 6)))
    assert largest < 500 * 24 / 2
