"""Images or a table, told by how a file begins."""

import gzip
import io
import tarfile

import pytest

from core.datasets.kinds import kind_of_upload


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a/1.png"))
    return out.getvalue()


def packed(content: bytes) -> bytes:
    """The same at any time: it is part of a test's name."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"PK\x03\x04", "table.csv", "images"),
        (b"\x89PNG\r\n\x1a\n", "x", "images"),
        (b"GIF89a", "x", "images"),
        (b"\x93NUMPY", "x.csv", "images"),
        (tar(), "x", "images"),
        (packed(tar()), "x.tgz", "images"),
        (packed(b"a,b\n1,2\n"), "x", "rows"),
        (packed(b"\0\0\x08\x03\0\0\0\1"), "images-idx3-ubyte.gz", "images"),
        (b"PAR1", "x.zip", "rows"),
        (b"ARROW1\0\0", "x", "rows"),
        (b"\xff\xff\xff\xff", "x", "rows"),
        (b"a,b\n1,2\n", "x.parquet", "rows"),
        (b"a,b\n1,2\n", "x", "rows"),
        ("a,b\n".encode("utf-16"), "x", "rows"),
        (b"a\0b", "x", "images"),
        (b"a\0b", "x.csv", "rows"),
        (b"", "x.csv", "rows"),
        (b"", "x.zip", "images"),
        (b"", "x", "images"),
    ],
)
def test_the_content_tells_the_kind_and_the_name_where_it_does_not(
    head: bytes, name: str, kind: str
) -> None:
    assert kind_of_upload(head, name) == kind
