"""Addresses that work without a key: for one request, for a while, and never for more."""

from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app import signed_urls
from core import api_keys
from core.database import clock, read, write
from core.tables import ApiKey
from tests.conftest import TENANT
from tests.factories import clear_model_caches, create_model

PATH = f"/v1/models/shoes/samples?label={quote('Größe')}&seed=3"


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def link(client: TestClient, path: str = PATH, **body: Any) -> str:
    answer = client.post("/v1/links", json={"path": path, **body})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url[url.index("/v1/") :]


def without_key(client: TestClient, url: str, method: str = "GET") -> Any:
    authorization = client.headers.pop("Authorization")
    try:
        return client.request(method, url)
    finally:
        client.headers["Authorization"] = authorization


def test_a_link_shows_what_the_key_would(service: TestClient) -> None:
    answer = without_key(service, link(service))
    assert answer.status_code == 200
    assert answer.content == service.get(PATH).content
    bare = link(service, "/v1/models/shoes/card")
    assert without_key(service, bare).json()["name"] == "shoes"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed=3", "seed=4"),
        ("/shoes/", "/boots/"),
        ("label=", "count=9&label="),
        ("key_id=key_", "key_id=key_0"),
        ("expires=", "expires=1"),
    ],
)
def test_a_link_that_was_changed_is_refused(service: TestClient, old: str, new: str) -> None:
    answer = without_key(service, link(service).replace(old, new, 1))
    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")


def test_what_stands_behind_a_link_is_no_link(service: TestClient) -> None:
    answer = without_key(service, link(service) + "&seed=4")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")


def test_a_link_reads_and_does_nothing_else(service: TestClient) -> None:
    url = link(service, "/v1/models/shoes")
    assert without_key(service, url).status_code == 200
    assert without_key(service, url, "DELETE").status_code == 401
    assert service.get("/v1/models/shoes").status_code == 200


def test_a_link_ends_with_its_time_and_with_its_key(service: TestClient) -> None:
    with read() as session:
        key = session.scalars(select(ApiKey)).one()
    old = without_key(service, signed_urls.sign_url(key, PATH, 1_000_000_000))
    assert (old.status_code, old.json()["code"]) == (401, "signature_expired")
    endless = without_key(service, signed_urls.sign_url(key, PATH, 9_999_999_999))
    assert endless.json()["code"] == "signature_invalid"
    url = link(service)
    with write() as session:
        session.execute(update(ApiKey).values(revoked_at=clock()))
    assert without_key(service, url).json()["code"] == "signature_invalid"


def test_a_link_allows_no_more_than_its_key(service: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reader"}
    made = service.post("/v1/links", json={"path": PATH}, headers=headers).json()["url"]
    answer = without_key(service, made[made.index("/v1/") :])
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    "body",
    [
        {"path": "https://evil.example/v1/models"},
        {"path": "//evil.example/v1/"},
        {"path": "/livez"},
        {"path": "/v1/models/a b"},
        {"path": "/v1/models\r\nx: y"},
        {"path": "/v1/models#x"},
        {"path": PATH, "expires_s": 3_601},
        {"path": PATH, "expires_s": 0},
    ],
)
def test_a_path_that_is_none_of_ours_gets_no_link(service: TestClient, body: Any) -> None:
    assert service.post("/v1/links", json=body).status_code == 422
