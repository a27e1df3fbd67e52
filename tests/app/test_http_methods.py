"""HTTP manners of all routes: HEAD, OPTIONS, Allow, conditional requests, unknown parameters."""

import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core.settings import get_settings
from tests.conftest import AddJob
from tests.factories import create_digits_dataset, create_model

DATASET_ALLOW = "GET, HEAD, PATCH, DELETE, OPTIONS"


def test_allow_lists_every_method_of_a_path(client: TestClient) -> None:
    wrong = client.put("/v1/datasets/ds_1")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, DATASET_ALLOW)
    assert wrong.json()["title"] == "Method not allowed"
    options = client.options("/v1/datasets/ds_1")
    assert (options.status_code, options.headers["allow"], options.content) == (
        204,
        DATASET_ALLOW,
        b"",
    )
    assert client.options("/v1/nothing").status_code == 404
    assert client.post("/v1/jobs/job_1").headers["allow"] == "GET, HEAD, DELETE, OPTIONS"
    assert client.options("/v1/keys/self").headers["allow"] == "GET, HEAD, OPTIONS"


def test_every_get_route_answers_head_with_the_same_headers_and_no_body(
    client: TestClient, application: FastAPI
) -> None:
    paths = [path for path, methods in application.openapi()["paths"].items() if "get" in methods]
    for path in paths:
        if path == "/metrics":
            continue
        url = re.sub(r"\{\w+\}", "1", path)
        get, head = client.get(url), client.head(url)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers.get("content-type") == get.headers.get("content-type"), path


def test_head_of_a_stream_ends(client: TestClient, add_job: AddJob) -> None:
    add_job()
    response = client.head("/v1/events", headers={"Accept": "text/event-stream"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")


def test_a_trailing_slash_changes_nothing(client: TestClient) -> None:
    assert client.get("/v1/jobs/").json() == client.get("/v1/jobs").json()
    assert client.get("/v1/jobs/job_1/").status_code == 404


def test_an_unknown_parameter_is_an_error_with_the_nearest_name(client: TestClient) -> None:
    response = client.get("/v1/jobs?stat=queued")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {
            "pointer": "/stat",
            "code": "unknown_field",
            "message": "Unknown parameter. Did you mean `state`?",
            "allowed": ["state"],
        }
    ]
    assert client.get("/v1/jobs?stat=1", headers={"Authorization": ""}).status_code == 401


def test_a_signed_url_keeps_its_own_parameters(client: TestClient, anonymous: TestClient) -> None:
    url = client.post("/v1/links", json={"path": "/v1/jobs?limit=1"}).json()["url"]
    path = url.removeprefix(get_settings().base_url)
    assert client.get(path, headers={"Authorization": ""}).status_code == 200


def test_a_picture_is_not_sent_twice(client: TestClient) -> None:
    path = f"/v1/datasets/{create_digits_dataset()}/items/3.png"
    first = client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"  # the dataset may be read again
    again = client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_samples_of_a_seed_are_not_sent_twice(client: TestClient) -> None:
    path = f"/v1/models/{create_model().id}/samples?count=2&format=npz"
    first = client.get(f"{path}&seed=7")
    stored = {"If-None-Match": first.headers["etag"]}
    again = client.get(f"{path}&seed=7", headers=stored)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    for other in ("&seed=8", "&seed=7&offset=2"):
        assert client.get(f"{path}{other}", headers=stored).status_code == 200
    assert "etag" not in client.get(path).headers  # a random seed


def test_text_is_compressed_and_pictures_are_not(client: TestClient, add_job: AddJob) -> None:
    for _ in range(3):
        add_job()
    headers = {"Accept-Encoding": "gzip"}
    jobs = client.get("/v1/jobs", headers=headers)
    assert jobs.headers["content-encoding"] == "gzip"
    assert len(jobs.json()["data"]) == 3
    picture = client.get(f"/v1/datasets/{create_digits_dataset()}/items/3.png", headers=headers)
    assert "content-encoding" not in picture.headers


def test_pages_of_other_origins_are_refused_by_default(client: TestClient) -> None:
    response = client.get("/v1/jobs", headers={"Origin": "https://app.example.com"})
    assert "access-control-allow-origin" not in response.headers


def test_pages_of_allowed_origins_may_call_the_api(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import create_app

    monkeypatch.setenv("SEMBLANCE_CORS_ALLOWED_ORIGINS", '["https://app.example.com"]')
    get_settings.cache_clear()
    with TestClient(create_app(), base_url="http://localhost") as other:
        headers = {"Origin": "https://app.example.com", "Authorization": "Bearer sem_test"}
        response = other.get("/v1/jobs", headers=headers)
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "ETag" in response.headers["access-control-expose-headers"]
        asked = headers | {"Access-Control-Request-Method": "DELETE"}
        preflight = other.options("/v1/jobs/job_1", headers=asked)
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (
            200,
            "https://app.example.com",
        )
        stranger = other.get("/v1/jobs", headers=headers | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
    get_settings.cache_clear()


def test_a_nul_character_in_a_query_is_an_error(client: TestClient) -> None:
    response = client.get("/v1/audit?resource=a%00b")
    assert (response.status_code, response.json()["code"]) == (400, "text_invalid")


@pytest.mark.parametrize("cursor", ["job_1:\u00e9", "job_1:AA", "job_1:AAA", "job_1:/w", "job_1"])
def test_a_damaged_cursor_is_an_error(client: TestClient, cursor: str) -> None:
    response = client.get("/v1/jobs", params={"sort": "name", "after": cursor})
    assert (response.status_code, response.json()["code"]) == (400, "cursor_invalid")
