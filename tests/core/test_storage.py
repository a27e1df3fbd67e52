"""Objects in a folder and in an S3 store, with the same behavior."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from moto.server import ThreadedMotoServer

from core.errors import StorageFull
from core.storage import CHUNK, ObjectCorrupted, Storage, StoredObject, key_of

KEY = key_of("default", "jobs", "job_1", "model.safetensors")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if request.param == "folder":
        return Storage.from_url((tmp_path / "objects").as_uri(), scratch)
    import boto3

    endpoint = request.getfixturevalue("s3")
    environment = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = tmp_path.name.replace("_", "-").lower()
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=bucket)
    return Storage.from_url(f"s3://{bucket}/semblance", scratch)


def record_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Forbid reading whole objects, and return a list that collects the sizes of range reads."""
    sizes: list[int] = []
    get_range = obstore.get_range

    def recording_get_range(store: Any, key: str, *, start: int, end: int) -> Any:
        sizes.append(end - start)
        return get_range(store, key, start=start, end=end)

    def forbidden(*_: Any) -> None:
        raise AssertionError("a whole object was read")

    monkeypatch.setattr(obstore, "get_range", recording_get_range)
    monkeypatch.setattr(obstore, "get", forbidden)
    return sizes


def test_an_object_is_read_as_it_was_stored(storage: Storage) -> None:
    stored = storage.put(KEY, b"weights")
    assert (stored.key, stored.bytes) == (KEY, 7)
    assert storage.read(stored) == b"weights"
    assert StoredObject.from_dict(stored.to_dict()) == stored


def test_a_file_and_a_stream_are_stored_like_bytes(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 3_000_000)
    from_file = storage.put_file(KEY, path)
    from_stream = storage.put_stream(
        key_of("default", "other"), (b"a" * 1_000_000 for _ in range(3))
    )
    assert (from_file.sha256, from_file.bytes) == (from_stream.sha256, from_stream.bytes)
    assert b"".join(storage.stream(from_stream)) == b"a" * 3_000_000


def test_a_range_of_an_object_is_streamed(storage: Storage) -> None:
    stored = storage.put(KEY, bytes(range(100)))
    assert b"".join(storage.stream(stored, 10, 20)) == bytes(range(10, 20))


def test_a_range_is_read_without_the_rest_of_the_object(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(200)) * 15_000  # three chunks
    stored = storage.put(KEY, data)
    requested = record_reads(monkeypatch)
    assert storage.read_range(stored, 10, 20) == data[10:20]
    start, end = 500_000, 500_000 + 2 * CHUNK
    assert b"".join(storage.stream(stored, start, end)) == data[start:end]
    assert requested == [10, CHUNK, CHUNK]


def test_a_whole_object_is_streamed_chunk_by_chunk(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(200)) * 15_000  # three chunks
    stored = storage.put(KEY, data)
    requested = record_reads(monkeypatch)
    assert b"".join(storage.stream_verified(stored)) == data
    assert requested == [CHUNK, CHUNK, len(data) - 2 * CHUNK]
    empty = storage.put(key_of("default", "empty"), b"")
    assert b"".join(storage.stream_verified(empty)) == b""


def test_the_last_chunk_of_a_corrupted_object_is_never_sent(storage: Storage) -> None:
    data = bytes(range(200)) * 15_000
    stored = storage.put(KEY, data)
    storage.put(KEY, b"x" + data[1:])
    received = []
    with pytest.raises(ObjectCorrupted):
        received.extend(storage.stream_verified(stored))
    assert sum(map(len, received)) < len(data)


def test_a_range_of_a_missing_or_truncated_object_is_reported_as_corrupted(
    storage: Storage,
) -> None:
    stored = storage.put(KEY, b"weights")
    storage.put(KEY, b"wei")
    with pytest.raises(ObjectCorrupted):
        storage.read_range(stored, 2, 7)
    storage.delete([KEY])
    with pytest.raises(ObjectCorrupted):
        storage.read_range(stored, 2, 7)


def test_an_object_is_opened_as_a_local_file(storage: Storage) -> None:
    stored = storage.put(KEY, b"weights")
    with storage.open(stored) as path:
        assert path.read_bytes() == b"weights"


def test_an_object_with_changed_bytes_is_reported_as_corrupted(storage: Storage) -> None:
    stored = storage.put(KEY, b"weights")
    storage.put(KEY, b"weighty")
    with pytest.raises(ObjectCorrupted):
        storage.read(stored)
    with pytest.raises(ObjectCorrupted), storage.open(stored):
        pass


def test_a_missing_object_is_reported_as_corrupted_but_can_be_deleted_again(
    storage: Storage,
) -> None:
    stored = storage.put(KEY, b"weights")
    storage.delete([KEY])
    storage.delete([KEY])
    with pytest.raises(ObjectCorrupted):
        storage.read(stored)


@pytest.mark.parametrize("part", ["..", "", "a/b", "/a", "A", "a b", ".x", "a\x00", "ü", "x" * 200])
def test_a_key_part_with_special_characters_is_rejected(part: str) -> None:
    with pytest.raises(ValueError, match="ids and fixed words"):
        key_of("default", part)


def test_a_full_disk_raises_storage_full(tmp_path: Path) -> None:
    import resource
    import subprocess
    import sys

    program = f"""
import resource, signal
from pathlib import Path
from core.storage import Storage
from core.errors import StorageFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
storage = Storage.from_url(Path({str(tmp_path / "objects")!r}).as_uri(), Path({str(tmp_path)!r}))
try:
    storage.put("t/default/x", b"x" * 10_000)
except StorageFull as error:
    print(error.status)
"""
    completed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == str(StorageFull.status)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []
