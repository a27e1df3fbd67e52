"""Mutated uploads are either read as a dataset or rejected with a problem document."""

import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.reading import read_images
from tests.modalities.image.factories import (
    encode_image,
    idx_bytes,
    overwrite_bytes,
    png_folders,
    random_images,
    random_pixels,
    random_png,
    write_file,
    write_npz,
    write_tar,
    write_zip,
)

LIMITS = Limits(archive_bytes=10**7, archive_entry_bytes=10**6, image_pixels=10**6)


def _write_and_read(write_archive: object, files: dict[str, bytes], **options: object) -> bytes:
    assert callable(write_archive)
    with TemporaryDirectory() as folder:
        content: bytes = write_archive(Path(folder) / "a", files, **options).path.read_bytes()
        return content


def _npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz(**arrays: object) -> bytes:
    with TemporaryDirectory() as folder:
        return write_npz(Path(folder) / "a.npz", **arrays).path.read_bytes()  # type: ignore[arg-type]


def _parquet() -> bytes:
    images = [{"bytes": random_png(i), "path": f"{i}.png"} for i in range(12)]
    out = io.BytesIO()
    pq.write_table(pa.table({"image": images, "label": [i % 3 for i in range(12)]}), out)
    return out.getvalue()


def _pixels() -> bytes:
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    rows = [",".join(map(str, [i % 3, *random_pixels(i).ravel()])) for i in range(12)]
    return "\n".join([header, *rows]).encode()


FILES = png_folders("a", "b", each=6)
KINDS = {
    "webp": encode_image(random_pixels(1, 8, 8, 3), "WEBP"),
    "jpeg": encode_image(random_pixels(2, 8, 8, 3), "JPEG"),
    "rgba": encode_image(random_pixels(3, 8, 8, 3), "PNG"),
}
LABELS = json.dumps({name: name[0] for name in FILES}).encode()
UPLOADS = {
    "zip": _write_and_read(write_zip, FILES | {f"a/{k}": v for k, v in KINDS.items()}),
    "zip deflated": _write_and_read(write_zip, FILES, deflated=True),
    "zip json": _write_and_read(write_zip, FILES | {"labels.json": LABELS}),
    "zip csv": _write_and_read(
        write_zip,
        FILES
        | {
            "labels.csv": b"path,label\r\n"
            + b"".join(f"{name},{name[0]}\r\n".encode() for name in FILES)
        },
    ),
    "tar": _write_and_read(write_tar, FILES),
    "tar.gz": _write_and_read(write_tar, FILES, packing="gz"),
    "tar.bz2": _write_and_read(write_tar, FILES, packing="bz2"),
    "tar.xz": _write_and_read(write_tar, FILES, packing="xz"),
    "npz": _npz(
        x_train=random_images(12),
        y_train=np.arange(12) % 3,
        x_test=random_images(3),
        y_test=[0, 1, 2],
    ),
    "npz text": _npz(x=random_images(12).astype(np.float32), y=np.array(["ä", "b", "c"] * 4)),
    "zip train.csv": _write_and_read(
        write_zip,
        FILES
        | {
            "train.csv": b"file;kind\n" + b"".join(f"{n};{n[0]}\n".encode() for n in FILES),
            "a/0.txt": b"0 0.5 0.5 0.1 0.1",
            "metadata.jsonl": b"".join(
                json.dumps({"file_name": n, "label": n[0]}).encode() + b"\n" for n in FILES
            ),
        },
    ),
    "parquet": _parquet(),
    "pixels": _pixels(),
    "pixel fields": b"emotion,pixels,Usage\n"
    + b"".join(b"%d,%s,Training\n" % (i % 3, b" ".join([b"%d" % i] * 64)) for i in range(12)),
    "idx": idx_bytes(random_images(12)),
    "idx gz": gzip.compress(idx_bytes(random_images(12))),
}

mutations = st.lists(
    st.tuples(
        st.sampled_from(["put", "cut", "drop", "double"]),
        st.integers(0, 2**16),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


def mutate(content: bytes, steps: list[tuple[str, int, bytes]]) -> bytes:
    for kind, offset, value in steps:
        offset %= len(content) or 1
        if kind == "put":
            content = overwrite_bytes(content, [(offset, value)])[: len(content)]
        elif kind == "cut":
            content = content[: len(content) - offset % 100]
        elif kind == "drop":
            content = content[:offset] + content[offset + len(value) :]
        else:
            content = content[:offset] + content[offset : offset + 50] + content[offset:]
    return content


def read_or_reject(content: bytes) -> str:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        source = write_file(Path(folder) / "a", content)
        try:
            read_images([source], ImageOptions(), LIMITS, out)
        except DatasetUnreadable as error:
            return "leaked path" if folder in str(error.to_problem()) else error.code
        x = np.load(io.BytesIO((out / "x.npy").read_bytes()))
        y = np.load(out / "y.npy")
        assert len(x) == len(y)
        return "read"


@pytest.mark.parametrize("kind", UPLOADS)
def test_unchanged_upload_is_read(kind: str) -> None:
    assert read_or_reject(UPLOADS[kind]) == "read"


@pytest.mark.parametrize("kind", UPLOADS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=mutations)
def test_mutated_upload_is_read_or_rejected(kind: str, steps: list[tuple[str, int, bytes]]) -> None:
    assert read_or_reject(mutate(UPLOADS[kind], steps)) != "leaked path"


@pytest.mark.slow
@pytest.mark.parametrize("kind", UPLOADS)
@settings(max_examples=1_000, deadline=None)
@given(steps=mutations)
def test_upload_is_read_or_rejected_after_a_thousand_mutations(
    kind: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert read_or_reject(mutate(UPLOADS[kind], steps)) != "leaked path"


INNER = {
    "a/x.png": encode_image(random_pixels(3, 8, 8, 3), "PNG"),
    "a/x.jpg": encode_image(random_pixels(2, 8, 8, 3), "JPEG"),
    "a/x.webp": encode_image(random_pixels(1, 8, 8, 3), "WEBP"),
    "labels.csv": b"path,label,split\r\n" + b"".join(f"{n},a,train\r\n".encode() for n in FILES),
    "labels.json": LABELS,
    "x.npy": _npy(random_images(12)),
    "y.npy": _npy(np.array(["a", "b", "c"] * 4)),
}


def _pack_with(name: str, content: bytes) -> bytes:
    """Pack the mutated file into a valid archive, so that no checksum rejects it first."""
    if name.endswith(".npy"):
        return _write_and_read(
            write_zip, {n: c for n, c in INNER.items() if "npy" in n} | {name: content}
        )
    return _write_and_read(write_zip, FILES | {name: content})


@pytest.mark.parametrize("name", INNER)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=mutations)
def test_mutated_file_in_a_valid_archive_is_read_or_rejected(
    name: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert read_or_reject(_pack_with(name, mutate(INNER[name], steps))) != "leaked path"


@pytest.mark.slow
@pytest.mark.parametrize("name", INNER)
@settings(max_examples=1_000, deadline=None)
@given(steps=mutations)
def test_file_in_a_valid_archive_is_read_or_rejected_after_a_thousand_mutations(
    name: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert read_or_reject(_pack_with(name, mutate(INNER[name], steps))) != "leaked path"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(content=st.binary(max_size=2_000))
def test_random_bytes_are_rejected(content: bytes) -> None:
    assert read_or_reject(content) != "read"
