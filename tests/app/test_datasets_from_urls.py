"""Datasets that the service fetches from URLs of allowed hosts."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from starlette.testclient import TestClient

from core.datasets.peek import PEEK_BYTES
from core.settings import Settings, get_settings
from tests.uploads import list_stored_files, make_image_zip, make_people_csv


class FileServer:
    """An HTTP server on this machine with files, redirects and ranges of bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.ranges = True
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path in files.redirects:
                    self.send_response(302)
                    self.send_header("location", files.redirects[self.path])
                    self.end_headers()
                    return
                content = files.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                self.send_response(206 if asked and files.ranges else 200)
                if asked and files.ranges:
                    first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
                    content = content[first : last + 1]
                if files.ranges:  # otherwise the end of the connection is the end of the file
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the service closes connections early

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def files() -> Iterator[FileServer]:
    served = FileServer()
    thread = threading.Thread(target=served.server.serve_forever, args=(0.02,))
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


@pytest.fixture
def allowing(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(get_settings(), "dataset_url_hosts", ["127.0.0.1"])
    monkeypatch.setattr(get_settings(), "dataset_url_allow_http", True)
    return client


def post(client: TestClient, url: str, **fields: Any) -> Any:
    return client.post("/v1/datasets", json={"url": url} | fields)


def test_a_table_and_an_archive_are_fetched_and_validated_later(
    allowing: TestClient, files: FileServer
) -> None:
    files.files = {"/data/people.csv": make_people_csv(60), "/pets.zip": make_image_zip()}
    files.redirects = {"/latest": f"{files.url}/data/people.csv"}
    for path, modality, name in (
        ("/data/people.csv?key=1", "tabular", "people"),
        ("/latest", "tabular", "latest"),
        ("/pets.zip", "image", "pets"),
    ):
        files.files[path] = files.files.get(path.partition("?")[0], b"")
        response = post(allowing, f"{files.url}{path}")
        assert response.status_code == 202, response.text
        assert (response.json()["state"], response.json()["modality"]) == ("validating", modality)
        dataset = allowing.get(response.headers["location"]).json()
        assert (dataset["state"], dataset["name"]) == ("ready", name), dataset
        assert dataset["train_items"] == (24 if modality == "image" else 60)
    # What was fetched is kept, so that it can be read again with other options.
    files.files.clear()
    patched = allowing.patch(f"/v1/datasets/{dataset['id']}", json={"resize": "crop"})
    assert patched.status_code == 200, patched.text


def test_a_zip_of_a_server_without_ranges_is_read_as_the_stated_modality(
    allowing: TestClient, files: FileServer
) -> None:
    files.ranges = False
    files.files["/pets.zip"] = make_image_zip()
    response = post(allowing, f"{files.url}/pets.zip", modality="image")
    assert allowing.get(response.headers["location"]).json()["state"] == "ready"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/missing.csv", "url_unreadable"),
        ("/loop", "url_unreadable"),
        ("/elsewhere", "host_not_allowed"),  # a redirect must not leave the allowed hosts
        ("/ftp", "url_invalid"),
    ],
)
def test_what_cannot_or_must_not_be_fetched_is_rejected_by_field(
    allowing: TestClient, files: FileServer, path: str, code: str
) -> None:
    files.redirects = {
        "/loop": "/loop",
        "/elsewhere": "http://localhost:1/data.csv",
        "/ftp": "ftp://127.0.0.1/data.csv",
    }
    response = post(allowing, f"{files.url}{path}")
    assert response.status_code == 422
    assert [(e["pointer"], e["code"]) for e in response.json()["errors"]] == [("/url", code)]
    assert allowing.get("/v1/datasets").json()["total"] == 0


def test_a_file_that_exceeds_the_limit_fails_and_leaves_nothing(
    allowing: TestClient,
    files: FileServer,
    configured: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files.files["/people.csv"] = make_people_csv(2 * PEEK_BYTES // 40)
    monkeypatch.setattr(get_settings().limits, "upload_bytes", PEEK_BYTES)
    assert post(allowing, f"{files.url}/people.csv").status_code == 413
    files.ranges = False  # the size is not known in advance
    created = post(allowing, f"{files.url}/people.csv")
    dataset = allowing.get(created.headers["location"]).json()
    assert (dataset["state"], dataset["error"]["code"]) == ("failed", "too_large")
    assert list_stored_files(configured) == []


def test_a_file_counts_for_the_quota_of_stored_bytes(
    allowing: TestClient, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.files["/people.csv"] = make_people_csv(60)
    size = len(files.files["/people.csv"])
    monkeypatch.setattr(get_settings().quotas, "stored_bytes", size)
    statuses = [post(allowing, f"{files.url}/people.csv").status_code for _ in range(2)]
    assert statuses == [202, 429]


def test_a_file_that_is_larger_than_the_quota_of_stored_bytes_is_not_read_again(
    allowing: TestClient, files: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.files["/people.csv"] = make_people_csv(60)
    monkeypatch.setattr(get_settings().quotas, "stored_bytes", 512)
    too_large = post(allowing, f"{files.url}/people.csv")
    size = len(files.files["/people.csv"])
    assert (too_large.status_code, too_large.json()["size"]) == (413, size)
    files.ranges = False  # the size is not known in advance
    monkeypatch.setattr(get_settings().quotas, "stored_bytes", PEEK_BYTES)
    files.files["/long.csv"] = make_people_csv(2 * PEEK_BYTES // 40)
    dataset = post(allowing, f"{files.url}/long.csv").json()["id"]
    shown = allowing.get(f"/v1/datasets/{dataset}").json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "larger_than_quota")
    assert shown["error"]["quota"] == "stored_bytes"


def test_no_host_is_allowed_by_default(client: TestClient, files: FileServer) -> None:
    files.files["/people.csv"] = make_people_csv(60)
    response = post(client, f"https://127.0.0.1:{files.url.rsplit(':', 1)[1]}/people.csv")
    assert response.json()["errors"][0]["code"] == "host_not_allowed"
    assert post(client, f"{files.url}/people.csv").json()["errors"][0]["code"] == (
        "scheme_not_allowed"
    )
