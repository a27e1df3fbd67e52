"""Creation and revocation of API keys."""

from datetime import timedelta

from sqlalchemy import select
from starlette.testclient import TestClient

from core import api_keys
from core.database import read, write
from core.tables import ApiKey
from tests.conftest import TENANT


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
