"""The Range header of RFC 9110."""

from typing import Any

import obstore
import pytest
from fastapi.testclient import TestClient

from app.byte_range import parse_byte_range
from core import jobs
from core.database import write
from core.errors import RangeNotSatisfiable
from core.storage import CHUNK, get_storage, key_of
from tests.conftest import TENANT, AddJob
from tests.factories import create_dataset, create_model
from tests.peak_memory import MIB, peak_memory_below
from tests.uploads import make_people_csv


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 0)),
        ("bytes=2-", (2, 9)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=5-2", None),  # invalid: the whole file is sent
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=-", None),
    ],
)
def test_a_range_header_selects_bytes_of_a_ten_byte_file(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert parse_byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_the_file_is_rejected_with_its_size(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as rejected:
        parse_byte_range(header, 10)
    assert rejected.value.headers == {"Content-Range": "bytes */10"}


def add_artifact(job_id: str, data: bytes) -> str:
    """Store a file of the job and return its URL."""
    stored = get_storage().put(key_of(TENANT, "jobs", job_id, "samples.bin"), data)
    with write() as session:
        claimed = jobs.claim(session, job_id, "w/h:1")
        assert claimed is not None
        jobs.add_artifact(
            session,
            claimed[0],
            name="samples.bin",
            stored=stored,
            media_type="application/octet-stream",
            step=None,
        )
    return f"/v1/jobs/{job_id}/artifacts/samples.bin"


def test_a_range_request_does_not_read_the_whole_artifact(
    client: TestClient, add_job: AddJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(200)) * 15_000  # three chunks
    url = add_artifact(add_job().id, data)
    sizes: list[int] = []
    get_range = obstore.get_range

    def recording_get_range(store: Any, key: str, *, start: int, end: int) -> Any:
        sizes.append(end - start)
        return get_range(store, key, start=start, end=end)

    def forbidden(*_: object) -> None:
        raise AssertionError("the whole artifact was read")

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "get_range", recording_get_range)
        patched.setattr(obstore, "get", forbidden)
        response = client.get(url, headers={"Range": "bytes=100-149"})
        assert response.status_code == 206
        assert response.content == data[100:150]
        assert response.headers["content-range"] == f"bytes 100-149/{len(data)}"
        assert response.headers["content-length"] == "50"
        assert response.headers["content-type"] == "application/octet-stream"
        assert sizes == [50]
        assert client.get(url, headers={"Range": "bytes=0-"}).content == data
        assert max(sizes) == CHUNK  # a long range is streamed, never held as a whole
    whole = client.get(url)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["accept-ranges"] == "bytes"
    outside = client.get(url, headers={"Range": f"bytes={len(data)}-"})
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{len(data)}"


def test_a_range_of_a_large_artifact_needs_little_memory(
    client: TestClient, add_job: AddJob
) -> None:
    size = 64 * MIB
    url = add_artifact(add_job().id, bytes(size))
    with peak_memory_below(32):
        response = client.get(url, headers={"Range": f"bytes={size // 2}-{size // 2 + 99}"})
    assert (response.status_code, response.content) == (206, bytes(100))


def test_the_export_of_a_model_is_resumed_with_its_length(client: TestClient) -> None:
    path = f"/v1/models/{create_model().id}/export"
    whole = client.get(path)
    assert int(whole.headers["content-length"]) == len(whole.content)
    check_ranges(client, path, whole.content, whole.headers["etag"])


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_the_content_of_a_dataset_is_resumed_with_its_length(
    client: TestClient, format: str
) -> None:
    dataset = create_dataset(make_people_csv(300), "people.csv")
    path = f"/v1/datasets/{dataset}/content?format={format}"
    with client.stream("GET", path) as broken_off:  # not read to the end: the length is not known
        etag = broken_off.headers["etag"]
        assert "content-length" not in broken_off.headers
        start = next(broken_off.iter_raw())
    headers = {"Range": "bytes=10-", "If-Range": etag}
    rest = client.get(path, headers=headers)
    assert rest.status_code == 206
    whole = client.get(path)
    assert whole.content == start[:10] + rest.content
    assert int(whole.headers["content-length"]) == len(whole.content)
    check_ranges(client, path, whole.content, etag)
    body = {"columns": [{"name": "city", "type": "text"}], "exclude_columns": ["age"]}
    assert client.put(f"/v1/datasets/{dataset}/schema", json=body).status_code == 200
    changed = client.get(path, headers=headers)
    assert (changed.status_code, changed.headers["etag"] == etag) == (200, False)


def check_ranges(client: TestClient, path: str, whole: bytes, etag: str) -> None:
    """Check a part, a part of other content, one after the end, HEAD, and a stored response."""
    size = len(whole)
    part = client.get(path, headers={"Range": f"bytes=100-{size - 50}", "If-Range": etag})
    assert (part.status_code, part.content) == (206, whole[100 : size - 49])
    assert part.headers["content-range"] == f"bytes 100-{size - 50}/{size}"
    assert int(part.headers["content-length"]) == len(part.content)
    other = client.get(path, headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole)
    after_end = client.get(path, headers={"Range": f"bytes={size}-"})
    assert (after_end.status_code, after_end.headers["content-range"]) == (416, f"bytes */{size}")
    head = client.head(path, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
