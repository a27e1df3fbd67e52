"""Authentication, scopes and allowed hosts."""

import base64
import hashlib
import re

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from core import api_keys
from core.database import write
from core.settings import Settings
from tests.conftest import TENANT

PUBLIC_PATHS = {"/livez", "/readyz"}


def test_every_route_but_health_and_documentation_needs_a_key(anonymous: TestClient) -> None:
    for path, methods in create_app().openapi()["paths"].items():
        for method in methods:
            response = anonymous.request(method, path)
            if path in PUBLIC_PATHS:
                assert response.status_code in {200, 503}
            elif path == "/v1/login":  # a one-time code in the body replaces the key
                assert (response.status_code, response.json()["code"]) == (400, "body_empty")
            else:
                assert (response.status_code, response.json()["code"]) == (401, "key_missing"), path


def test_the_documentation_loads_no_external_resource(anonymous: TestClient) -> None:
    page = anonymous.get("/docs")
    assert "//" not in page.text.replace("</", "").replace("<!--", "")
    for path in ("/openapi.json", *re.findall(r'(?:href|src)="([^"]+)"', page.text)):
        assert anonymous.get(path).status_code == 200


def test_the_documentation_has_a_policy_and_stores_no_key(anonymous: TestClient) -> None:
    page = anonymous.get("/docs")
    policy = page.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert '"persistAuthorization": false' in script
    assert anonymous.get("/livez").headers["content-security-policy"].startswith("default-src 'n")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": "Bearer sem_wrong"}, "key_unknown"),
        ({"Authorization": "Basic sem_test"}, "key_missing"),
        ({"Authorization": "Bearer"}, "key_missing"),
    ],
)
def test_an_invalid_key_is_rejected(client: TestClient, headers: dict[str, str], code: str) -> None:
    response = client.get("/v1/jobs", headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_key_in_the_query_is_ignored(client: TestClient) -> None:
    del client.headers["Authorization"]
    assert client.get("/v1/jobs?key=sem_test&access_token=sem_test").status_code == 401


def test_two_authorization_headers_are_rejected(client: TestClient) -> None:
    headers = [("Authorization", "Bearer sem_test"), ("Authorization", "Bearer sem_other")]
    assert client.get("/v1/jobs", headers=headers).status_code == 400


def test_a_revoked_key_is_rejected(client: TestClient) -> None:
    with write() as session:
        key = api_keys.find(session, "sem_test")
        assert key is not None
        key.revoked_at = key.created_at
    assert client.get("/v1/jobs").status_code == 401


def test_a_key_is_limited_to_its_scopes(client: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    reader = {"Authorization": "Bearer sem_reader"}
    assert client.get("/v1/jobs", headers=reader).status_code == 200
    rejected = client.post("/v1/uploads", json={"filename": "x"}, headers=reader)
    assert (rejected.status_code, rejected.json()["code"]) == (403, "scope_missing")


def test_an_upload_of_another_tenant_is_not_found(client: TestClient, configured: Settings) -> None:
    from core.tables import Tenant

    created = client.post("/v1/uploads", json={"filename": "x"}).json()
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        api_keys.add(session, "other", "sem_other", name="other", scopes=api_keys.SCOPES)
    other = {"Authorization": "Bearer sem_other"}
    assert client.get(f"/v1/uploads/{created['id']}").status_code == 200
    assert client.get(f"/v1/uploads/{created['id']}", headers=other).status_code == 404


def test_a_key_is_stored_as_a_hash(client: TestClient) -> None:
    with write() as session:
        key = api_keys.find(session, "sem_test")
        assert key is not None
        assert "sem_test" not in {key.digest, key.name, key.id}


@pytest.mark.parametrize("host", ["evil.example", "localhost/x?", "", "127.0.0.1@evil", "a b"])
def test_an_unknown_host_header_is_rejected(client: TestClient, host: str) -> None:
    response = client.get("/v1/jobs", headers={"Host": host})
    assert (response.status_code, response.json()["code"]) == (400, "host_not_allowed")
