"""What every route does with requests that are not what they should be."""

import pytest
from starlette.testclient import TestClient

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body_empty"),
        (b'{"filename": "x"} x', 400, "json_invalid"),
        (b'{"filename": "x', 400, "json_invalid"),
        (b'{"bytes": NaN, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": Infinity, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": 1e999, "filename": "x"}', 400, "number_not_finite"),
        (b'{"bytes": ' + b"9" * 5000 + b', "filename": "x"}', 400, "number_too_long"),
        (b"[" * 900 + b"]" * 900, 400, "json_too_deep"),
        (b"[" * 100_000, 400, "json_too_deep"),
        (b'{"filename": "\\ud800"}', 400, "text_invalid"),
        (b'{"filename": "a\\u0000b"}', 400, "text_invalid"),
        (b'{"filename": "x", "filename": "y"}', 400, "json_duplicate_key"),
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
def test_a_body_that_cannot_be_used_is_refused_by_name(
    client: TestClient, body: bytes, status: int, code: str
) -> None:
    answer = client.post("/v1/uploads", content=body, headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 2_000
    assert {"type", "title", "status", "detail", "instance", "retryable", "request_id"} <= set(
        problem
    )


def test_an_unknown_field_brings_the_nearest_known_name(client: TestClient) -> None:
    answer = client.post("/v1/uploads", json={"filename": "x", "sha265": "0" * 64})
    assert answer.json()["errors"] == [
        {
            "pointer": "/sha265",
            "code": "unknown_field",
            "message": "Unknown field. Did you mean `sha256`?",
            "allowed": ["sha256"],
        }
    ]


def test_another_content_type_is_said_to_be_one(client: TestClient) -> None:
    answer = client.post("/v1/uploads", content=b"a=1", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    answer = client.post("/v1/uploads", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_encoding")


def test_a_refused_value_is_not_repeated(client: TestClient) -> None:
    answer = client.post("/v1/uploads", json={"filename": "x", "bytes": "my-secret-value"})
    assert "my-secret-value" not in answer.text


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "limit=1e3", "state=odd"])
def test_a_query_that_cannot_be_used_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/v1/jobs?{query}").status_code == 422


def test_a_cursor_of_another_list_is_refused(client: TestClient) -> None:
    answer = client.get("/v1/jobs?after=ds_0123")
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/jobs/job_x", 404), ("PUT", "/v1/jobs", 405)],
)
def test_what_is_not_there_is_a_problem_document_too(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["status"] == status


def test_every_answer_carries_a_request_id_and_takes_over_a_sane_one(client: TestClient) -> None:
    assert (
        client.get("/livez", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    )
    assert (
        client.get("/livez", headers={"X-Request-ID": "a b\t"}).headers["x-request-id"] != "a b\t"
    )
    assert client.get("/nowhere").json()["request_id"].startswith("req_")


def test_answers_are_not_sniffed_cached_or_framed(client: TestClient) -> None:
    headers = client.get("/v1/jobs").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
