"""Keys are made, shown once, and revoked."""

from sqlalchemy import select
from starlette.testclient import TestClient

from core.database import read
from core.tables import ApiKey


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_a_key_does_what_its_scopes_say_until_it_is_revoked(client: TestClient) -> None:
    made = client.post("/v1/keys", json={"name": "browser", "scopes": ["read", "read"]})
    assert made.status_code == 201
    text = made.json()["key"]
    assert made.json()["scopes"] == ["read"]
    assert client.get("/v1/models", headers=bearer(text)).status_code == 200
    assert client.post("/v1/uploads", json={}, headers=bearer(text)).status_code == 403
    assert client.get("/v1/keys", headers=bearer(text)).status_code == 403
    for _ in range(2):
        assert client.delete(f"/v1/keys/{made.json()['id']}").status_code == 204
    assert client.get("/v1/models", headers=bearer(text)).status_code == 401


def test_the_text_of_a_key_is_nowhere_but_in_the_answer(client: TestClient) -> None:
    text = client.post("/v1/keys", json={"name": "x", "scopes": ["admin"]}).json()["key"]
    listed = client.get("/v1/keys")
    assert [key["name"] for key in listed.json()["data"]] == ["x", "test"]
    assert text not in listed.text
    with read() as session:
        kept = [str(vars(key)) for key in session.scalars(select(ApiKey))]
    assert not any(text in row for row in kept)


def test_the_last_key_that_makes_others_stays(client: TestClient) -> None:
    mine = client.get("/v1/keys").json()["data"][0]["id"]
    client.post("/v1/keys", json={"name": "reader", "scopes": ["read"]})
    refused = client.delete(f"/v1/keys/{mine}")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin_key")
    other = client.post("/v1/keys", json={"name": "admin", "scopes": ["admin"]}).json()
    assert client.delete(f"/v1/keys/{mine}").status_code == 204
    assert client.get("/v1/keys", headers=bearer(other["key"])).status_code == 200


def test_a_key_that_does_not_exist_is_not_found(client: TestClient) -> None:
    assert client.delete("/v1/keys/key_unknown").status_code == 404
    assert client.post("/v1/keys", json={"name": "x", "scopes": ["all"]}).status_code == 422
    assert client.post("/v1/keys", json={"name": "x", "scopes": []}).status_code == 422
