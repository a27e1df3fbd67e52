"""Requests and streams of the client when connections break."""

import asyncio
import hashlib
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from semblance import (
    APIError,
    AsyncClient,
    ChecksumError,
    Client,
    ContentChangedError,
    UnreachableError,
)

from tests.client.flaky_server import FlakyServer, Respond, flaky_server, hang_up, respond
from tests.processes import TIMEOUT_S

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TAG = {"ETag": f'"{SHA256}"', "Accept_Ranges": "bytes"}
LISTING = respond(
    body=f'[{{"name": "a b.bin", "sha256": "{SHA256}"}}]'.encode(), Content_Type="application/json"
)

BUSY = respond(503, b'{"detail": "busy", "code": "sampler_full"}', Retry_After="3600")


def connect(server: FlakyServer, patience: float = TIMEOUT_S) -> Client:
    return Client(server.url, "sem_key", timeout=TIMEOUT_S, patience=patience)


def respond_with_range(handler: BaseHTTPRequestHandler) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert handler.headers["If-Range"] == f'"{SHA256}"'
    respond(206, CONTENT[start:], **TAG)(handler)


def test_a_lost_request_is_sent_again_with_the_same_idempotency_key() -> None:
    with flaky_server(
        hang_up, respond(503), respond(429), respond(body=b'{"id": "job_1"}')
    ) as server:
        with connect(server) as client:
            assert client.train("ds_1")["id"] == "job_1"
        keys = {request.headers["idempotency-key"] for request in server.received}
    assert len(server.received) == 4
    assert len(keys) == 1


def test_two_requests_have_two_idempotency_keys() -> None:
    with flaky_server(respond()) as server, connect(server) as client:
        client.train("ds_1")
        client.train("ds_1")
        keys = {request.headers["idempotency-key"] for request in server.received}
    assert len(keys) == 2


def test_a_retry_waits_as_long_as_the_service_asks() -> None:
    with flaky_server(BUSY) as server, connect(server) as client:
        with pytest.raises(APIError, match="busy"):  # an hour is more than its patience
            client.read_job("job_1")
        assert len(server.received) == 1


def test_an_error_that_repeating_cannot_mend_is_raised_at_once() -> None:
    with flaky_server(respond(422, b'{"detail": "no", "code": "invalid"}')) as server:
        with connect(server) as client, pytest.raises(APIError) as error:
            client.train("ds_1")
        assert (error.value.status, error.value.code) == (422, "invalid")
        assert len(server.received) == 1


def test_a_key_is_not_created_twice() -> None:
    with flaky_server(hang_up) as server, connect(server) as client:
        with pytest.raises(UnreachableError):
            client.create_key({"name": "new", "scopes": ["read"]})
        assert len(server.received) == 1


def test_a_deletion_whose_response_was_lost_succeeds() -> None:
    with flaky_server(hang_up, respond(404)) as server, connect(server) as client:
        client.delete_dataset("ds_1")
        assert len(server.received) == 2


def test_names_are_percent_encoded() -> None:
    with flaky_server(respond()) as server, connect(server) as client:
        client.read_model("my shoes?#50%")
        assert server.received[0].path == "/v1/models/my%20shoes%3F%2350%25"


def test_a_wrong_address_is_reported_after_seconds_and_names_no_library() -> None:
    with (
        Client("http://127.0.0.1:9", "key", patience=0.2) as client,
        pytest.raises(UnreachableError, match="Cannot connect"),
    ):
        client.describe_service()


def test_a_file_goes_on_by_range_after_a_break(tmp_path: Path) -> None:
    cut = respond(body=CONTENT, cut_after=60_000, **TAG)
    with flaky_server(LISTING, cut, respond_with_range) as server, connect(server) as client:
        file = client.download_artifact("job_1", "a b.bin", tmp_path / "out.bin")
        assert server.received[1].path == "/v1/jobs/job_1/artifacts/a%20b.bin"
    assert file.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_goes_on_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "out.bin.part").write_bytes(CONTENT[:70_000])
    with flaky_server(LISTING, respond_with_range) as server, connect(server) as client:
        client.download_artifact("job_1", "a b.bin", tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("failure", "patience", "expected"),
    [(hang_up, 1.0, UnreachableError), (BUSY, TIMEOUT_S, APIError)],
)
def test_a_model_goes_on_in_another_process(
    tmp_path: Path, failure: Respond, patience: float, expected: type[Exception]
) -> None:
    file = tmp_path / "shoes.zip"
    cut = respond(body=CONTENT, cut_after=70_000, **TAG)
    with (
        flaky_server(cut, failure) as server,
        connect(server, patience) as client,
        pytest.raises(expected),
    ):
        client.download_model("shoes", file)
    assert not file.exists()
    with flaky_server(respond_with_range) as server, connect(server) as client:
        client.download_model("shoes", file)
    assert file.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [file]


def test_a_part_that_does_not_fit_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "out.bin.part").write_bytes(b"something else")
    with (
        flaky_server(LISTING, respond_with_range) as server,
        connect(server) as client,
        pytest.raises(ChecksumError),
    ):
        client.download_artifact("job_1", "a b.bin", tmp_path / "out.bin")
    assert list(tmp_path.iterdir()) == []


def test_samples_are_generated_again_and_what_was_received_is_skipped(tmp_path: Path) -> None:
    model = {"Semblance_Model": "mdl_1"}
    cut = respond(body=CONTENT, cut_after=60_000, **model)
    with flaky_server(cut, hang_up, respond(body=CONTENT, **model)) as server:
        with connect(server) as client:
            file = client.download_samples("shoes", tmp_path / "new.csv", count=3)
        assert file.read_bytes() == CONTENT
        # A version that was trained in the meantime would have other samples.
        paths = [request.path.partition("?")[0] for request in server.received]
    assert paths == ["/v1/models/shoes/samples", *["/v1/models/mdl_1/samples"] * 2]


def test_samples_that_changed_leave_no_file(tmp_path: Path) -> None:
    cut, other = respond(body=CONTENT, cut_after=60_000), respond(body=CONTENT[::-1])
    with (
        flaky_server(cut, other) as server,
        connect(server) as client,
        pytest.raises(ContentChangedError),
    ):
        client.download_samples("shoes", tmp_path / "new.csv", count=3)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_breaks_at_the_same_byte_is_given_up() -> None:
    cut = respond(body=CONTENT, cut_after=10)
    with (
        flaky_server(cut) as server,
        connect(server, patience=0.5) as client,
        pytest.raises(UnreachableError),
    ):
        client.samples("shoes", count=3)


def test_the_asynchronous_client_does_the_same(tmp_path: Path) -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url, "key", patience=TIMEOUT_S) as client:
            assert await client.read_job("job_1") == {"terminal": True}
            await client.download_artifact("job_1", "a b.bin", tmp_path / "out.bin")

    cut = respond(body=CONTENT, cut_after=60_000, **TAG)
    first = respond(body=b'{"terminal": true}')
    with flaky_server(hang_up, first, LISTING, cut, respond_with_range) as server:
        asyncio.run(run(server.url))
    assert (tmp_path / "out.bin").read_bytes() == CONTENT
