"""Creation and revocation of API keys."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from app import authentication
from core import api_keys
from core.database import clock, read, write
from core.settings import Settings
from core.tables import ApiKey
from tests.conftest import TENANT, AddJob


def bearer_headers(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_a_key_grants_its_scopes_until_it_is_revoked(client: TestClient) -> None:
    created = client.post("/v1/keys", json={"name": "browser", "scopes": ["read", "read"]})
    assert created.status_code == 201
    key = created.json()["key"]
    assert created.json()["scopes"] == ["read"]
    assert client.get("/v1/models", headers=bearer_headers(key)).status_code == 200
    assert client.post("/v1/uploads", json={}, headers=bearer_headers(key)).status_code == 403
    assert client.get("/v1/keys", headers=bearer_headers(key)).status_code == 403
    for _ in range(2):
        assert client.delete(f"/v1/keys/{created.json()['id']}").status_code == 204
    assert client.get("/v1/models", headers=bearer_headers(key)).status_code == 401


def test_a_key_is_shown_only_in_the_response_that_creates_it(client: TestClient) -> None:
    secret = client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}).json()["key"]
    listed = client.get("/v1/keys")
    assert [key["name"] for key in listed.json()["data"]] == ["x", "test"]
    assert secret not in listed.text
    with read() as session:
        stored_rows = [str(vars(key)) for key in session.scalars(select(ApiKey))]
    assert not any(secret in row for row in stored_rows)


def test_the_last_admin_key_cannot_be_revoked(client: TestClient) -> None:
    own_id = client.get("/v1/keys").json()["data"][0]["id"]
    client.post("/v1/keys", json={"name": "reader", "scopes": ["read"]})
    rejected = client.delete(f"/v1/keys/{own_id}")
    assert (rejected.status_code, rejected.json()["code"]) == (409, "last_admin_key")
    other = client.post("/v1/keys", json={"name": "admin", "scopes": ["admin"]}).json()
    assert client.delete(f"/v1/keys/{own_id}").status_code == 204
    assert client.get("/v1/keys", headers=bearer_headers(other["key"])).status_code == 200


def test_an_unknown_key_or_scope_is_rejected(client: TestClient) -> None:
    assert client.delete("/v1/keys/key_unknown").status_code == 404
    assert client.post("/v1/keys", json={"name": "x", "scopes": ["all"]}).status_code == 422
    assert client.post("/v1/keys", json={"name": "x", "scopes": []}).status_code == 422


def test_an_expired_key_is_listed_only_on_request(client: TestClient) -> None:
    with write() as session:
        key = api_keys.create(
            session, TENANT, name="old", scopes=("read",), lifetime=timedelta(seconds=-1)
        )[1]

    def ids(query: str) -> list[str]:
        return [listed["id"] for listed in client.get(f"/v1/keys{query}").json()["data"]]

    valid = ids("")
    assert len(valid) == 1
    assert ids("?expired=true") == [key.id, *valid]


def test_the_server_starts_after_the_first_key_was_revoked(
    configured: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "admin.key"
    with write() as session:
        text = api_keys.ensure_admin_key(session, file=file)
    assert text is not None
    with write() as session:
        session.execute(update(ApiKey).values(revoked_at=clock()))
    for configured_key in ("", text):
        with write() as session:
            assert api_keys.ensure_admin_key(session, configured_key, file) is None
    with read() as session:
        assert api_keys.find(session, text) is None


def test_a_rotated_key_works_until_its_overlap_ends(client: TestClient) -> None:
    old = client.post("/v1/keys", json={"name": "ci", "scopes": ["read", "sample"]}).json()
    path = f"/v1/keys/{old['id']}/rotate"
    new = client.post(path, json={"overlap_s": 60}).json()
    assert (new["name"], new["scopes"], new["expires_at"]) == ("ci", ["read", "sample"], None)
    for key in (old, new):
        assert client.get("/v1/models", headers=bearer_headers(key["key"])).status_code == 200
    again = client.post(path, json={"overlap_s": 0}).json()
    assert client.get("/v1/models", headers=bearer_headers(old["key"])).status_code == 401
    assert client.get("/v1/models", headers=bearer_headers(again["key"])).status_code == 200
    rejected = client.post(path, json={})
    assert (rejected.status_code, rejected.json()["code"]) == (409, "key_not_valid")
    assert client.post("/v1/keys/key_unknown/rotate", json={}).status_code == 404


def test_the_last_use_of_a_key_is_recorded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    assert key["last_used_at"] is None
    headers = bearer_headers(key["key"])

    def last_use() -> str:
        used: str = client.get("/v1/keys/self", headers=headers).json()["last_used_at"]
        return used

    first = last_use()
    assert first == last_use()
    monkeypatch.setattr(authentication, "USE_INTERVAL_S", 0.0)
    assert last_use() > first


def test_a_wait_for_a_job_ends_when_its_key_is_revoked(client: TestClient, add_job: AddJob) -> None:
    key = client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    revoke = threading.Timer(0.3, lambda: client.delete(f"/v1/keys/{key['id']}"))
    revoke.start()
    path = f"/v1/jobs/{add_job().id}?wait=20"
    rejected = client.get(path, headers=bearer_headers(key["key"]))
    revoke.join()
    assert (rejected.status_code, rejected.json()["code"]) == (401, "key_unknown")
