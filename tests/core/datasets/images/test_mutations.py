"""Whatever is changed in a good upload, the answer is a dataset or a problem."""

import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.datasets.images import ImageOptions
from core.datasets.images.reading import read_images
from core.errors import DatasetUnreadable
from core.settings import Limits
from tests.core.datasets.images.factories import (
    encoded,
    file_of,
    folders,
    idx_bytes,
    npz_of,
    patched,
    pixels,
    stack,
    tar_of,
    zip_of,
)

LIMITS = Limits(archive_bytes=10**7, archive_entry_bytes=10**6, image_pixels=10**6)


def _content(make: object, files: dict[str, bytes], **options: object) -> bytes:
    assert callable(make)
    with TemporaryDirectory() as folder:
        content: bytes = make(Path(folder) / "a", files, **options).path.read_bytes()
        return content


def _npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _npz(**arrays: object) -> bytes:
    with TemporaryDirectory() as folder:
        return npz_of(Path(folder) / "a.npz", **arrays).path.read_bytes()  # type: ignore[arg-type]


FILES = folders("a", "b", each=6)
KINDS = {
    "webp": encoded(pixels(1, 8, 8, 3), "WEBP"),
    "jpeg": encoded(pixels(2, 8, 8, 3), "JPEG"),
    "rgba": encoded(pixels(3, 8, 8, 3), "PNG"),
}
LABELS = json.dumps({name: name[0] for name in FILES}).encode()
UPLOADS = {
    "zip": _content(zip_of, FILES | {f"a/{k}": v for k, v in KINDS.items()}),
    "zip deflated": _content(zip_of, FILES, deflated=True),
    "zip json": _content(zip_of, FILES | {"labels.json": LABELS}),
    "zip csv": _content(
        zip_of,
        FILES
        | {
            "labels.csv": b"path,label\r\n"
            + b"".join(f"{name},{name[0]}\r\n".encode() for name in FILES)
        },
    ),
    "tar": _content(tar_of, FILES),
    "tar.gz": _content(tar_of, FILES, packing="gz"),
    "tar.bz2": _content(tar_of, FILES, packing="bz2"),
    "tar.xz": _content(tar_of, FILES, packing="xz"),
    "npz": _npz(x_train=stack(12), y_train=np.arange(12) % 3, x_test=stack(3), y_test=[0, 1, 2]),
    "npz text": _npz(x=stack(12).astype(np.float32), y=np.array(["ä", "b", "c"] * 4)),
    "idx": idx_bytes(stack(12)),
    "idx gz": gzip.compress(idx_bytes(stack(12))),
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


def mutated(content: bytes, steps: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, value in steps:
        place %= len(content) or 1
        if kind == "put":
            content = patched(content, [(place, value)])[: len(content)]
        elif kind == "cut":
            content = content[: len(content) - place % 100]
        elif kind == "drop":
            content = content[:place] + content[place + len(value) :]
        else:
            content = content[:place] + content[place : place + 50] + content[place:]
    return content


def attempt(content: bytes) -> str:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        out.mkdir()
        source = file_of(Path(folder) / "a", content)
        try:
            read_images([source], ImageOptions(), LIMITS, out)
        except DatasetUnreadable as error:
            return "a path of ours" if folder in str(error.to_problem()) else error.code
        x = np.load(io.BytesIO((out / "x.npy").read_bytes()))
        y = np.load(out / "y.npy")
        assert len(x) == len(y)
        return "read"


@pytest.mark.parametrize("kind", UPLOADS)
def test_an_unchanged_upload_is_read(kind: str) -> None:
    assert attempt(UPLOADS[kind]) == "read"


@pytest.mark.parametrize("kind", UPLOADS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=mutations)
def test_a_changed_upload_is_read_or_refused(
    kind: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert attempt(mutated(UPLOADS[kind], steps)) != "a path of ours"


@pytest.mark.slow
@pytest.mark.parametrize("kind", UPLOADS)
@settings(max_examples=1_000, deadline=None)
@given(steps=mutations)
def test_an_upload_changed_in_thousands_of_ways_is_read_or_refused(
    kind: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert attempt(mutated(UPLOADS[kind], steps)) != "a path of ours"


INNER = {
    "a/x.png": encoded(pixels(3, 8, 8, 3), "PNG"),
    "a/x.jpg": encoded(pixels(2, 8, 8, 3), "JPEG"),
    "a/x.webp": encoded(pixels(1, 8, 8, 3), "WEBP"),
    "labels.csv": b"path,label,split\r\n" + b"".join(f"{n},a,train\r\n".encode() for n in FILES),
    "labels.json": LABELS,
    "x.npy": _npy(stack(12)),
    "y.npy": _npy(np.array(["a", "b", "c"] * 4)),
}


def _packed_again(name: str, content: bytes) -> bytes:
    """The changed file in a sound archive, so that no checksum stands before its reader."""
    if name.endswith(".npy"):
        return _content(zip_of, {n: c for n, c in INNER.items() if "npy" in n} | {name: content})
    return _content(zip_of, FILES | {name: content})


@pytest.mark.parametrize("name", INNER)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=mutations)
def test_a_changed_file_in_a_sound_archive_is_read_or_refused(
    name: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert attempt(_packed_again(name, mutated(INNER[name], steps))) != "a path of ours"


@pytest.mark.slow
@pytest.mark.parametrize("name", INNER)
@settings(max_examples=1_000, deadline=None)
@given(steps=mutations)
def test_a_file_changed_in_thousands_of_ways_is_read_or_refused(
    name: str, steps: list[tuple[str, int, bytes]]
) -> None:
    assert attempt(_packed_again(name, mutated(INNER[name], steps))) != "a path of ours"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(content=st.binary(max_size=2_000))
def test_any_bytes_are_refused(content: bytes) -> None:
    assert attempt(content) != "read"
