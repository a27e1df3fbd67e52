"""One-time login links of the dashboard, and keys that expire."""

from starlette.testclient import TestClient

from core import login_codes
from core.database import clock, read, write
from core.tables import ApiKey, LoginCode


def create_code() -> str:
    return login_codes.create_link().partition("code=")[2]


def test_a_link_logs_in_once(anonymous: TestClient, client: TestClient) -> None:
    code = create_code()
    created = anonymous.post("/v1/login", json={"code": code}, headers={"Authorization": ""})
    assert created.status_code == 201
    key = created.json()
    assert key["expires_at"] is not None
    headers = {"Authorization": f"Bearer {key['key']}"}
    assert client.get("/v1/keys", headers=headers).status_code == 200
    again = anonymous.post("/v1/login", json={"code": code})
    assert (again.status_code, again.json()["code"]) == (401, "login_code_invalid")
    assert "login-link" in again.json()["detail"]


def test_an_expired_link_does_not_log_in_and_is_deleted(client: TestClient) -> None:
    code = create_code()
    with write() as session:
        session.query(LoginCode).update({"expires_at": clock(-1.0)})
    assert client.post("/v1/login", json={"code": code}).status_code == 401
    create_code()
    with read() as session:
        assert session.query(LoginCode).count() == 1


def test_only_the_digest_of_a_code_is_stored(client: TestClient) -> None:
    code = create_code()
    with read() as session:
        stored = [str(vars(row)) for row in session.query(LoginCode)]
    assert stored
    assert not any(code in row for row in stored)


def test_an_expired_key_and_its_links_are_rejected(client: TestClient) -> None:
    created = client.post(
        "/v1/keys", json={"name": "guest", "scopes": ["read", "sample"], "expires_in_s": 3600}
    ).json()
    headers = {"Authorization": f"Bearer {created['key']}"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    with write() as session:
        session.query(ApiKey).filter_by(id=created["id"]).update({"expires_at": clock(-1.0)})
    rejected = client.get("/v1/models", headers=headers)
    assert (rejected.status_code, rejected.json()["code"]) == (401, "key_unknown")


def test_a_key_that_expires_does_not_replace_the_last_admin_key(client: TestClient) -> None:
    own_id = client.get("/v1/keys").json()["data"][0]["id"]
    client.post("/v1/login", json={"code": create_code()})
    rejected = client.delete(f"/v1/keys/{own_id}")
    assert (rejected.status_code, rejected.json()["code"]) == (409, "last_admin_key")
