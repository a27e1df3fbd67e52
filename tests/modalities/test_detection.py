"""Detection of the modality from the first bytes and the name of a file."""

import gzip
import io
import tarfile

import pytest

from core.datasets.peek import Peek
from modalities import registry


def build_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a/1.png"))
    return out.getvalue()


def compress(content: bytes) -> bytes:
    """Compress with gzip and without a time, because the bytes become part of test ids."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("head", "name", "modality"),
    [
        (b"PK\x03\x04", "table.csv", "image"),
        (b"\x89PNG\r\n\x1a\n", "x", "image"),
        (b"GIF89a", "x", "image"),
        (b"\x93NUMPY", "x.csv", "image"),
        (build_tar(), "x", "image"),
        (compress(build_tar()), "x.tgz", "image"),
        (compress(b"a,b\n1,2\n"), "x", "tabular"),
        (compress(b"\0\0\x08\x03\0\0\0\1"), "images-idx3-ubyte.gz", "image"),
        (b"PAR1", "x.zip", "tabular"),
        (b"ARROW1\0\0", "x", "tabular"),
        (b"\xff\xff\xff\xff", "x", "tabular"),
        (b"a,b\n1,2\n", "x.parquet", "tabular"),
        (b"a,b\n1,2\n", "x", "tabular"),
        ("a,b\n".encode("utf-16"), "x", "tabular"),
        (b"a\0b", "x", "image"),
        (b"a\0b", "x.csv", "tabular"),
        (b"", "x.csv", "tabular"),
        (b"", "x.zip", "image"),
        (b"", "x", "image"),
    ],
)
def test_modality_is_detected_from_content_and_else_from_the_file_name(
    head: bytes, name: str, modality: str
) -> None:
    assert registry.detect(Peek.of_bytes(head, name)).name == modality
