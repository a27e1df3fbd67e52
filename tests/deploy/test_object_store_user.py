"""The user of the object store in docker-compose.yml: its creation, and the rights that it has.

Versity S3 Gateway itself cannot be installed here: moto takes the policy, and a server of the test
the requests for the user.
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
import httpx
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.moto_api import recorder
from moto.server import ThreadedMotoServer

from core.storage import Storage
from deploy import object_store_user
from deploy.object_store_user import ACTIONS, Store, policy_of

SECRET = "a<b>&c/d+e"  # noqa: S105 - of a test
CREDENTIALS = {
    "aws_access_key_id": "root",
    "aws_secret_access_key": SECRET,
    "region_name": "us-east-1",
}


class Gateway(BaseHTTPRequestHandler):
    """Users of Versity S3 Gateway, without its checks of signatures."""

    users: dict[str, dict[str, str]]
    policies: dict[str, bytes]
    is_broken: bool

    def do_PATCH(self) -> None:
        if self.is_broken:
            return self._answer(500)
        fields = {each.tag: each.text or "" for each in ElementTree.fromstring(self._body())}  # noqa: S314
        url = urlsplit(self.path)
        if url.path == "/create-user":
            name = fields.pop("Access")
            if name in self.users:
                return self._answer(409)
            self.users[name] = fields
        else:
            self.users[url.query.removeprefix("access=")] |= fields
        return self._answer(201)

    def do_PUT(self) -> None:
        self.policies[self.path] = self._body()
        self._answer(200)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Gateway]]:
    Gateway.users, Gateway.policies, Gateway.is_broken = {}, {}, False
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "OBJECTS_URL": f"http://127.0.0.1:{server.server_port}/",
        "BUCKET": "semblance",
        "ROOT_ACCESS_KEY": "root",
        "ROOT_SECRET_KEY": SECRET,
        "AWS_ACCESS_KEY_ID": "semblance",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield Gateway
    server.shutdown()
    server.server_close()


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.post(f"{url}/moto-api/reset")
    boto3.client("s3", endpoint_url=url, **CREDENTIALS).create_bucket(Bucket="semblance")
    yield url
    server.stop()


def test_the_user_and_its_policy_are_created_and_can_be_changed(
    gateway: type[Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store_user.main()
    assert gateway.users == {"semblance": {"Secret": SECRET, "Role": "user"}}
    assert list(gateway.policies) == ["/semblance?policy="]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    object_store_user.main()
    assert gateway.users == {"semblance": {"Secret": "another", "Role": "user"}}


def test_an_error_of_the_store_ends_the_program(gateway: type[Gateway]) -> None:
    gateway.is_broken = True
    with pytest.raises(HTTPError):
        object_store_user.main()
    assert gateway.policies == {}


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("PUT", "/semblance", "policy="),
        ("PATCH", "/update-user", "access=semblance"),
        ("PATCH", "/create-user", ""),
    ],
)
def test_requests_are_signed_as_botocore_signs_them(
    method: str, path: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, moment = Store("http://objects:7070", "root", SECRET), time.gmtime()
    headers = store.sign(method, path, query, b"body", moment)
    url = f"{store.url}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=b"body", headers={"Host": "objects:7070"})
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", moment)
    request.context |= {"timestamp": stamp, "payload_signing_enabled": True}
    auth = S3SigV4Auth(Credentials("root", SECRET), "s3", "us-east-1")
    request.headers["X-Amz-Date"] = stamp
    canonical = auth.canonical_request(request)
    expected = auth.signature(auth.string_to_sign(request, canonical), request)
    assert headers["authorization"].endswith(f"Signature={expected}")


def test_an_s3_server_accepts_the_policy(s3: str) -> None:
    policy = policy_of("semblance", "semblance")
    body = json.dumps(policy).encode()
    Store(s3, "root", SECRET).send("PUT", "/semblance", {"policy": ""}, body)
    client = boto3.client("s3", endpoint_url=s3, **CREDENTIALS)
    assert json.loads(client.get_bucket_policy(Bucket="semblance")["Policy"]) == policy
    (statement,) = policy["Statement"]
    assert statement["Resource"] == ["arn:aws:s3:::semblance", "arn:aws:s3:::semblance/*"]


def action_of(method: str, url: str) -> str:
    """Return the action that a request to an S3 server needs."""
    path, query = urlsplit(url).path, urlsplit(url).query
    if path.strip("/") == "semblance":
        return {"GET": "s3:ListBucket", "POST": "s3:DeleteObject"}[method]
    if method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
    return "s3:PutObject" if method in ("PUT", "POST") else "s3:GetObject"


def test_the_policy_allows_what_the_service_does_with_objects(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "semblance",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    body = json.dumps(policy_of("semblance", "semblance")).encode()
    Store(s3, "root", SECRET).send("PUT", "/semblance", {"policy": ""}, body)
    storage = Storage.from_url("s3://semblance/objects", tmp_path)
    requests: list[tuple[str, str]] = []

    def record(request: Any, _body: bytes | None = None) -> None:
        requests.append((request.method, request.raw_url))

    # Its own file would mix the parts of an upload, which are sent at the same time.
    monkeypatch.setattr(recorder, "_record_request", record)
    storage.check_available()
    stored = storage.put("t/a", b"x")
    large = storage.put_stream("t/b", (b"x" * 2**20 for _ in range(12)))
    with pytest.raises(RuntimeError):
        storage.put_stream("t/c", broken_upload())
    assert storage.read(stored) == b"x"
    assert storage.read_range(large, 5, 7) == b"xx"
    assert list(storage.keys("t")) == ["t/a", "t/b"]
    storage.delete(["t/a", "t/b"])
    actions = {action_of(method, url) for method, url in requests}
    assert actions == set(ACTIONS)


def broken_upload() -> Iterator[bytes]:
    yield b"x" * 2**23
    raise RuntimeError
