"""Signed URLs: requests without a key, limited to one path, a lifetime and the key's scopes."""

import hmac
import time
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app import signed_urls
from core import api_keys, server_secret
from core.database import clock, read, write
from core.settings import Settings
from core.tables import ApiKey
from tests.conftest import TENANT
from tests.factories import clear_model_caches, create_model

PATH = f"/v1/models/shoes/samples?label={quote('Größe')}&seed=3"


@pytest.fixture
def service(client: TestClient) -> TestClient:
    clear_model_caches()
    create_model()
    return client


def create_link(client: TestClient, path: str = PATH, **body: Any) -> str:
    response = client.post("/v1/links", json={"path": path, **body})
    assert response.status_code == 200, response.text
    url: str = response.json()["url"]
    return url[url.index("/v1/") :]


def request_without_key(client: TestClient, url: str, method: str = "GET") -> Any:
    authorization = client.headers.pop("Authorization")
    try:
        return client.request(method, url)
    finally:
        client.headers["Authorization"] = authorization


def test_a_link_returns_the_same_response_as_its_key(service: TestClient) -> None:
    response = request_without_key(service, create_link(service))
    assert response.status_code == 200
    assert response.content == service.get(PATH).content
    card_link = create_link(service, "/v1/models/shoes/card")
    assert request_without_key(service, card_link).json()["name"] == "shoes"


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
def test_a_modified_link_is_rejected(service: TestClient, old: str, new: str) -> None:
    response = request_without_key(service, create_link(service).replace(old, new, 1))
    assert (response.status_code, response.json()["code"]) == (401, "signature_invalid")


def test_signature_must_be_the_last_query_parameter(service: TestClient) -> None:
    response = request_without_key(service, create_link(service) + "&seed=4")
    assert (response.status_code, response.json()["code"]) == (401, "key_missing")


def test_a_link_allows_only_get_requests(service: TestClient) -> None:
    url = create_link(service, "/v1/models/shoes")
    assert request_without_key(service, url).status_code == 200
    assert request_without_key(service, url, "DELETE").status_code == 401
    assert service.get("/v1/models/shoes").status_code == 200


def test_a_link_expires_with_its_time_and_with_its_key(service: TestClient) -> None:
    with read() as session:
        key = session.scalars(select(ApiKey)).one()
    expired = request_without_key(service, signed_urls.sign_url(key, PATH, 1_000_000_000))
    assert (expired.status_code, expired.json()["code"]) == (401, "signature_expired")
    too_long = request_without_key(service, signed_urls.sign_url(key, PATH, 9_999_999_999))
    assert too_long.json()["code"] == "signature_invalid"
    url = create_link(service)
    with write() as session:
        session.execute(update(ApiKey).values(revoked_at=clock()))
    assert request_without_key(service, url).json()["code"] == "signature_invalid"


def test_a_link_cannot_be_signed_with_what_the_database_stores(service: TestClient) -> None:
    with read() as session:
        key = session.scalars(select(ApiKey)).one()
    expires = int(time.time()) + 60
    for text in (f"GET {PATH} {expires}", f"GET {PATH} {key.id} {expires}"):
        for secret in (key.digest.encode(), bytes.fromhex(key.digest)):
            forged = hmac.digest(secret, text.encode(), "sha256").hex()
            url = f"{PATH}&key_id={key.id}&expires={expires}&signature={forged}"
            assert request_without_key(service, url).json()["code"] == "signature_invalid"


def test_the_secret_of_signatures_is_a_setting_or_a_file_of_its_own(
    service: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create_link(service, "/v1/models/shoes")
    file = configured.data_dir / "signing.key"
    assert file.stat().st_mode & 0o777 == 0o600
    server_secret._stored.cache_clear()  # as in another process
    assert request_without_key(service, url).status_code == 200
    monkeypatch.setattr(configured, "signing_secret", SecretStr("another"))
    assert request_without_key(service, url).status_code == 401


def test_a_link_has_no_more_scopes_than_its_key(service: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reader"}
    url = service.post("/v1/links", json={"path": PATH}, headers=headers).json()["url"]
    response = request_without_key(service, url[url.index("/v1/") :])
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")


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
def test_an_invalid_path_or_lifetime_gets_no_link(service: TestClient, body: Any) -> None:
    assert service.post("/v1/links", json=body).status_code == 422
