"""Quotas of single API keys, in place of the service's settings."""

from typing import Any, get_args

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from app import quotas
from app.authentication import Caller
from core import api_keys, cli
from core.database import clock, read, write
from core.own_quotas import KeyQuota
from core.settings import Quotas
from core.tables import ApiKey
from tests.app.test_quotas import check_quota
from tests.conftest import TENANT, AddJob

pytestmark = pytest.mark.usefixtures("still_rates")

OTHER = {"Authorization": "Bearer sem_other"}


def create_key(client: TestClient, **limits: int) -> tuple[str, dict[str, str]]:
    """Create a key with quotas; return its id and its header."""
    body = {"name": "limited", "scopes": ["admin"], "quotas": limits}
    created = client.post("/v1/keys", json=body)
    assert created.status_code == 201, created.text
    assert created.json()["quotas"] == limits
    return created.json()["id"], {"Authorization": f"Bearer {created.json()['key']}"}


def change(client: TestClient, key_id: str, **limits: int | None) -> Any:
    response = client.patch(f"/v1/keys/{key_id}", json={"quotas": limits})
    assert response.status_code == 200, response.text
    return response.json()["quotas"]


def test_a_quota_of_requests_holds_for_its_key_alone(client: TestClient) -> None:
    key_id, key = create_key(client, key_requests_per_minute=2)
    assert [client.get("/v1/models", headers=key).status_code for _ in range(2)] == [200, 200]
    check_quota(client.get("/v1/models", headers=key), "key_requests_per_minute", 2)
    assert client.get("/v1/models").status_code == 200
    assert change(client, key_id, key_requests_per_minute=None) == {}
    policy = client.get("/v1/models", headers=key).headers["ratelimit-policy"]
    assert policy.startswith('"key_requests_per_minute";q=60000;w=60')


def test_a_quota_of_samples_holds_from_the_next_request_on(pets: TestClient) -> None:
    key_id, key = create_key(pets)
    path = "/v1/models/pets/samples?count=3"
    assert pets.get(path, headers=key).status_code == 200
    change(pets, key_id, key_samples_per_minute=3)
    assert pets.get(path, headers=key).status_code == 200
    check_quota(pets.get(path, headers=key), "key_samples_per_minute", 3)
    assert pets.get(path).status_code == 200


@pytest.mark.parametrize("counted", [quotas.concurrent_samples, quotas.open_streams])
def test_requests_at_once_are_limited_by_the_quota_of_their_key(
    pets: TestClient, add_job: AddJob, counted: quotas.ConcurrentRequests
) -> None:
    paths = {
        "concurrent_samples": "/v1/models/pets/samples",
        "streams": f"/v1/jobs/{add_job().id}?wait=0.01",
    }
    name = f"key_{counted.name}"
    key_id, key = create_key(pets, **{name: 1})
    with counted.count(Caller(TENANT, key_id, None, frozenset()), 9, 9):
        check_quota(pets.get(paths[counted.name], headers=key), name, 1)
        assert pets.get(paths[counted.name]).status_code == 200
    assert pets.get(paths[counted.name], headers=key).status_code == 200


def test_quotas_of_a_key_and_their_use_are_shown(client: TestClient) -> None:
    limits = {"key_requests_per_minute": 10, "key_streams": 3}
    key_id, key = create_key(client, **limits)
    assert client.get("/v1/keys/self", headers=key).json()["quotas"] == limits
    listed = {row["id"]: row["quotas"] for row in client.get("/v1/keys").json()["data"]}
    assert listed.pop(key_id) == limits
    assert list(listed.values()) == [{}]
    assert client.get("/v1", headers=key).json()["quotas"]["key_streams"] == 3
    assert client.get("/v1").json()["quotas"]["key_streams"] == 1_024
    rows = client.get("/v1/usage", headers=key).json()["quotas"]
    shown = {row["name"]: (row["limit"], row["used"]) for row in rows}
    assert shown["key_streams"] == (3, 0)
    assert shown["key_requests_per_minute"] == (10, 3)


def test_a_rotated_key_keeps_its_quotas(client: TestClient) -> None:
    key_id, _ = create_key(client, key_streams=3)
    rotated = client.post(f"/v1/keys/{key_id}/rotate", json={})
    assert rotated.json()["quotas"] == {"key_streams": 3}


def test_quotas_of_a_revoked_key_cannot_be_changed(client: TestClient) -> None:
    key_id, _ = create_key(client, key_streams=3)
    assert client.delete(f"/v1/keys/{key_id}").status_code == 204
    rejected = client.patch(f"/v1/keys/{key_id}", json={"quotas": {"key_streams": 4}})
    assert (rejected.status_code, rejected.json()["code"]) == (409, "key_not_valid")
    listed = {row["id"]: row["quotas"] for row in client.get("/v1/keys").json()["data"]}
    assert listed[key_id] == {"key_streams": 3}


@pytest.mark.parametrize("changes", [{"streams": 1}, {"key_streams": 0}, {"key_streams": "1"}])
def test_a_quota_that_keys_do_not_have_or_that_is_out_of_range_is_rejected(
    client: TestClient, changes: dict[str, Any]
) -> None:
    key_id, _ = create_key(client)
    rejected = client.patch(f"/v1/keys/{key_id}", json={"quotas": changes})
    assert (rejected.status_code, rejected.json()["code"]) == (422, "invalid")
    assert rejected.json()["errors"][0]["pointer"].startswith("/quotas")
    new = {"name": "x", "scopes": ["read"], "quotas": changes}
    assert client.post("/v1/keys", json=new).status_code == 422


def test_only_an_administrator_of_its_tenant_changes_the_quotas_of_a_key(
    two_tenants: TestClient,
) -> None:
    key_id, _ = create_key(two_tenants, key_streams=3)
    body = {"quotas": {"key_streams": 9}}
    of_other = two_tenants.patch(f"/v1/keys/{key_id}", json=body, headers=OTHER)
    unknown = two_tenants.patch("/v1/keys/key_x", json=body)
    assert (of_other.status_code, unknown.status_code) == (404, 404)
    new = {"name": "x", "scopes": ["read", "data", "train"]}
    key = two_tenants.post("/v1/keys", json=new).json()["key"]
    rejected = two_tenants.patch(
        f"/v1/keys/{key_id}", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    assert (rejected.status_code, rejected.json()["code"]) == (403, "scope_missing")
    assert change(two_tenants, key_id) == {"key_streams": 3}
    entry = two_tenants.get("/v1/audit?action=key.quotas").json()["data"][0]
    assert entry["resource"] == key_id


def test_quotas_of_a_key_are_changed_by_command(
    two_tenants: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    key_id = two_tenants.get("/v1/keys/self", headers=OTHER).json()["id"]
    command_line = ["keys", "quotas", key_id]
    assert cli.main([*command_line, "key_streams=3", "key_requests_per_minute=900"]) == 0
    assert capsys.readouterr().out == f"{key_id} key_requests_per_minute=900 key_streams=3\n"
    assert cli.main([*command_line, "key_requests_per_minute=default"]) == 0
    assert cli.main(command_line) == 0
    assert capsys.readouterr().out == f"{key_id} key_streams=3\n" * 2
    assert two_tenants.get("/v1", headers=OTHER).json()["quotas"]["key_streams"] == 3
    assert cli.main(["keys", "list", "other"]) == 0
    assert capsys.readouterr().out == f"{key_id} valid other key_streams=3\n"
    with write() as session:
        session.get_one(ApiKey, key_id).expires_at = clock(60)
    assert cli.main(["keys", "list", "other"]) == 0
    assert " valid " in capsys.readouterr().out
    with write() as session:
        session.get_one(ApiKey, key_id).expires_at = clock(-1)
    assert cli.main(["keys", "list", "other"]) == 0
    assert capsys.readouterr().out == f"{key_id} expired other key_streams=3\n"
    with write() as session:
        session.get_one(ApiKey, key_id).expires_at = None
    entries = two_tenants.get("/v1/audit?action=key.quotas", headers=OTHER).json()["data"]
    assert len(entries) == 2
    assert cli.main([*command_line, "streams=7"]) == 1
    assert "`streams` is not a quota" in capsys.readouterr().err
    assert cli.main(["keys", "quotas", "key_x"]) == 1
    assert cli.main(["keys", "quotas"]) == 2
    assert cli.main(["keys", "list", "other", "key_streams=7"]) == 2


def test_each_quota_of_keys_in_the_settings_can_be_set_for_a_single_one() -> None:
    of_keys = {name for name in Quotas.model_fields if name.startswith("key_")}
    assert set(get_args(KeyQuota)) == of_keys


def test_a_change_does_not_undo_one_that_was_made_since_the_key_was_read(
    two_tenants: TestClient,
) -> None:
    key_id = two_tenants.get("/v1/keys/self").json()["id"]
    with write() as session:
        key = session.get_one(ApiKey, key_id)
        # What another transaction does before this one locks the key.
        made_since = update(ApiKey).where(ApiKey.id == key_id).values(quotas={"key_streams": 3})
        session.execute(made_since.execution_options(synchronize_session=False))
        api_keys.change_quotas(session, key.tenant_id, key_id, {"key_concurrent_samples": 5})
    with read() as session:
        quotas = session.get_one(ApiKey, key_id).quotas
    assert quotas == {"key_streams": 3, "key_concurrent_samples": 5}
