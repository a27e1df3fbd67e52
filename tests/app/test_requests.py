"""Rejection of malformed requests, and headers of every response."""

import asyncio
import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from app import strict_json
from app.main import create_app
from core.log_context import LogContextFilter
from core.logging_config import JsonFormatter
from core.settings import get_settings
from tests.conftest import KEY

JSON = {"Content-Type": "application/json"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body_empty"),
        (b'{"filename": "x"} x', 400, "json_invalid"),
        (b'{"filename": "x', 400, "json_invalid"),
        (b'{"bytes": NaN, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": Infinity, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": 1e999, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": -1e999, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": ' + b"9" * 21 + b', "filename": "x"}', 400, "number_too_long"),
        (b'{"bytes": ' + b"9" * 5000 + b', "filename": "x"}', 400, "number_too_long"),
        (b"[" * 900 + b"]" * 900, 400, "json_too_deep"),
        (b"[" * 100_000, 400, "json_too_deep"),
        (b'{"filename": "\\ud800"}', 400, "text_invalid"),
        (b'{"filename": "a\\u0000b"}', 400, "text_invalid"),
        (b'{"filename": "\\udc00"}', 400, "text_invalid"),
        (b'{"\\u0000": "x"}', 400, "text_invalid"),
        (b'{"filename": "\xff"}', 400, "json_invalid"),
        (b'\xef\xbb\xbf{"filename": "x"}', 400, "json_invalid"),
        ('{"filename": "x"}'.encode("utf-16"), 400, "json_invalid"),
        (b"null", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b'"x"', 422, "invalid"),
        (b'{"filename": "x", "nonsense": 1}', 422, "unknown_field"),
        (b'{"filename": "x", "bytes": true}', 422, "invalid"),
        (b'{"filename": "x", "bytes": "5"}', 422, "invalid"),
        (b'{"filename": "x", "bytes": 0}', 422, "invalid"),
        (b'{"filename": "   "}', 422, "invalid"),
        (b'{"filename": "a\\u202eb"}', 422, "invalid"),
        (b'{"filename": "' + b"x" * 257 + b'"}', 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"filename": "' + b"x" * 1_100_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_malformed_body_is_rejected_with_a_code(
    client: TestClient, body: bytes, status: int, code: str
) -> None:
    response = client.post("/v1/uploads", content=body, headers=JSON)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 2_000
    assert {"type", "title", "status", "detail", "instance", "retryable", "request_id"} <= set(
        problem
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"filename": "x", "bytes": 1e999}', "/bytes"),
        (b'{"meta": [{"a/b": 1}, {"a/b": "\\u0000"}]}', "/meta/1/a~1b"),
        (b'{"meta": {"\\u0000": 1e999}}', "/meta"),
        (b"1e999", ""),
    ],
)
def test_a_value_that_json_libraries_disagree_on_is_named(
    client: TestClient, body: bytes, pointer: str
) -> None:
    response = client.post("/v1/uploads", content=body, headers=JSON)
    problem = response.json()
    assert response.status_code == 400
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["detail"].startswith(pointer)


def test_values_in_deep_lists_take_little_memory() -> None:
    """The parser allows 200 levels, and a path to each value would have all of them."""
    body = b"[" * 150 + b",".join([b"7"] * 20_000) + b"]" * 150
    tracemalloc.start()
    strict_json.loads(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * len(body)


def test_the_last_of_two_values_with_the_same_name_is_used(client: TestClient) -> None:
    body = b'{"filename": "first.npz", "filename": "second.npz"}'
    response = client.post("/v1/uploads", content=body, headers=JSON)
    assert response.json()["filename"] == "second.npz"


def test_an_unknown_field_suggests_the_nearest_valid_name(client: TestClient) -> None:
    response = client.post("/v1/uploads", json={"filename": "x", "sha265": "0" * 64})
    assert response.json()["errors"] == [
        {
            "pointer": "/sha265",
            "code": "unknown_field",
            "message": "Unknown field. Did you mean `sha256`?",
            "allowed": ["sha256"],
        }
    ]


@pytest.mark.parametrize(
    ("body", "pointer", "valid"),
    [
        ({"kind": "training", "dataset": "ds_1", "model": "x"}, "/model", "`preset`"),
        ({"kind": "training", "dataset": "ds_1", "budget": {"s": 1}}, "/budget/s", "`cpu_seconds`"),
    ],
)
def test_an_unknown_field_that_resembles_none_shows_all_valid_names(
    client: TestClient, body: dict[str, Any], pointer: str, valid: str
) -> None:
    error = client.post("/v1/jobs", json=body).json()["errors"][0]
    assert error["pointer"] == pointer
    assert valid in error["message"]
    assert valid.strip("`") in error["allowed"]


def test_an_unsupported_content_type_is_rejected(client: TestClient) -> None:
    response = client.post("/v1/uploads", content=b"a=1", headers={"Content-Type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_a_compressed_body_is_rejected(client: TestClient) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    response = client.post("/v1/uploads", content=b"\x1f\x8b", headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "content_encoding")


def test_a_rejected_value_is_not_echoed(client: TestClient) -> None:
    response = client.post("/v1/uploads", json={"filename": "x", "bytes": "my-secret-value"})
    assert "my-secret-value" not in response.text


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=1e3", "state=odd"])
def test_an_invalid_query_parameter_is_rejected(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/jobs?{query}").status_code == 422


def test_a_cursor_of_another_list_is_rejected(client: TestClient) -> None:
    response = client.get("/v1/jobs?after=ds_0123")
    assert (response.status_code, response.json()["code"]) == (400, "cursor_invalid")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/jobs/job_x", 404), ("PUT", "/v1/jobs", 405)],
)
def test_an_unknown_path_or_method_returns_a_problem_document(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.json()["status"] == status


def test_every_response_has_a_request_id_and_echoes_a_valid_one(client: TestClient) -> None:
    assert (
        client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    assert (
        client.get("/livez", headers={"X-Request-ID": "a b\t"}).headers["x-request-id"] != "a b\t"
    )
    assert client.get("/nowhere").json()["request_id"].startswith("req_")


def test_responses_forbid_sniffing_caching_and_framing(client: TestClient) -> None:
    headers = client.get("/v1/jobs").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"


def test_the_access_log_has_ids_and_no_query(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEMBLANCE_ACCESS_LOG", "true")
    get_settings.cache_clear()
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = dict(client.headers) | {"X-Request-ID": "abc-1", "traceparent": traceparent}
    with (
        caplog.at_level(logging.INFO, "app.middleware"),
        caplog.filtering(LogContextFilter()),
        TestClient(create_app(), base_url="http://localhost") as logged,
    ):
        logged.get("/livez", headers=headers)
        logged.get("/v1/jobs?name=secret", headers=headers)
    (record,) = [record for record in caplog.records if record.name == "app.middleware"]
    line = json.loads(JsonFormatter().format(record))
    assert (line["request_id"], line["trace_id"]) == ("abc-1", traceparent[3:35])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/jobs", 200)
    assert line["duration_ms"] > 0


def test_a_client_that_leaves_before_its_body_is_complete_is_not_an_error(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    upload = client.post("/v1/uploads", json={"filename": "x"}).json()["id"]
    headers = {"host": "localhost", "authorization": f"Bearer {KEY}", "content-length": "99"}
    headers["content-digest"] = f"sha-256=:{'A' * 43}=:"
    statuses: list[int | None] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    async def leave() -> int:
        application, count = create_app(), 0
        for path, methods in json.loads(DOCUMENT.read_text())["paths"].items():
            filled = path.replace("{upload_id}", upload).replace("{number}", "1")
            for method, operation in methods.items():
                for media_type in operation.get("requestBody", {}).get("content", {}):
                    sent = headers | {"content-type": f"{media_type}; boundary=x"}
                    scope = {
                        "type": "http",
                        "method": method.upper(),
                        "path": filled,
                        "raw_path": filled.encode(),
                        "query_string": b"",
                        "headers": [
                            (name.encode(), value.encode()) for name, value in sent.items()
                        ],
                    }
                    await application(scope, receive, send)
                    count += 1
        return count

    count = asyncio.run(leave())
    assert count > 20
    assert statuses == [400, None] * count
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
