"""Tenants: creation, suspension and erasure, by an administrator and by command."""

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from core import cli, jobs, tenants
from core.database import clock, read, write
from core.settings import Settings
from core.storage import get_storage, key_of
from core.tables import ErasedTenant, Event, Job, Tenant
from tests.conftest import TENANT, AddJob


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def give(job_id: str, tenant: str) -> None:
    """Move a job with its events to another tenant."""
    with write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(tenant_id=tenant))
        session.execute(update(Event).where(Event.job_id == job_id).values(tenant_id=tenant))


def test_a_tenant_is_created_suspended_and_erased(client: TestClient, add_job: AddJob) -> None:
    created = client.post("/v1/tenants", json={"name": "research"}).json()
    tenant, headers, path = created["id"], bearer(created["key"]), f"/v1/tenants/{created['id']}"
    assert client.get("/v1/jobs", headers=headers).json()["data"] == []
    assert [row["id"] for row in client.get("/v1/tenants").json()["data"]] == [TENANT, tenant]
    upload = client.post("/v1/uploads", json={"filename": "x"}, headers=headers).json()["id"]
    get_storage().put(key_of(tenant, "uploads", upload, "1"), b"x")
    job = add_job()
    give(job.id, tenant)

    assert client.delete(path).json()["code"] == "tenant_not_suspended"
    assert client.post(f"{path}/suspend").json()["suspended_at"] is not None
    assert client.get("/v1/jobs", headers=headers).status_code == 401
    with write() as session:
        assert jobs.claim_next(session, [job.queue], "worker") is None
    assert client.post(f"{path}/resume").json()["suspended_at"] is None
    assert client.get("/v1/jobs", headers=headers).status_code == 200
    client.post(f"{path}/suspend")

    proof = client.delete(path).json()
    assert proof["rows"]["uploads"] == proof["rows"]["jobs"] == proof["rows"]["tenants"] == 1
    counts = (proof["objects"], proof["remaining_rows"], proof["remaining_objects"])
    assert counts == (1, 0, 0)
    assert tenants.Erasure(**proof).is_signed()
    assert not tenants.Erasure(**proof | {"remaining_rows": 1}).is_signed()
    assert list(get_storage().keys(key_of(tenant))) == []
    with read() as session:
        assert session.get(Tenant, tenant) is None
    assert client.delete(path).status_code == 404
    actions = [entry["action"] for entry in client.get("/v1/audit").json()["data"]]
    assert actions[0] == "tenant.erase"


def test_a_tenant_with_running_jobs_is_not_erased(client: TestClient, add_job: AddJob) -> None:
    created = client.post("/v1/tenants", json={"name": "research"}).json()
    job = add_job()
    give(job.id, created["id"])
    with write() as session:
        assert jobs.claim_next(session, [job.queue], "worker") is not None
    path = f"/v1/tenants/{created['id']}"
    client.post(f"{path}/suspend")
    with read() as session:
        assert session.get_one(Job, job.id).cancel_requested
    rejected = client.delete(path)
    assert (rejected.status_code, rejected.json()["code"]) == (409, "tenant_has_running_jobs")


def test_objects_that_are_stored_after_an_erasure_are_removed_an_hour_later(
    client: TestClient, configured: Settings
) -> None:
    created = client.post("/v1/tenants", json={"name": "research"}).json()["id"]
    client.post(f"/v1/tenants/{created}/suspend")
    assert client.delete(f"/v1/tenants/{created}").json()["remaining_objects"] == 0
    late, other = key_of(created, "jobs", "job_1", "state-5"), key_of(TENANT, "jobs", "job_1", "x")
    for key in (late, other):
        get_storage().put(key, b"x")
    assert tenants.remove_late_objects(get_storage()) == 0
    age_s = configured.orphan_retention_seconds + 1
    with write() as session:
        session.execute(update(ErasedTenant).values(erased_at=clock(-age_s)))
    assert tenants.remove_late_objects(get_storage()) == 1
    assert list(get_storage().keys(key_of(created))) == []
    assert list(get_storage().keys(key_of(TENANT))) == [other]
    with read() as session:
        assert session.scalars(select(ErasedTenant)).all() == []


def test_only_administrators_of_the_default_tenant_manage_tenants(client: TestClient) -> None:
    created = client.post("/v1/tenants", json={"name": "research"}).json()
    for method, path in (
        ("POST", "/v1/tenants"),
        ("GET", "/v1/tenants"),
        ("GET", "/metrics"),
        ("POST", f"/v1/tenants/{TENANT}/suspend"),
        ("DELETE", f"/v1/tenants/{TENANT}"),
    ):
        body = {"name": "x"} if path == "/v1/tenants" and method == "POST" else None
        rejected = client.request(method, path, headers=bearer(created["key"]), json=body)
        assert (rejected.status_code, rejected.json()["code"]) == (403, "operator_required")
    assert client.post(f"/v1/tenants/{TENANT}/suspend").json()["code"] == "default_tenant"


def test_tenants_are_managed_by_command(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tenants", "create", "research"]) == 0
    tenant, key = capsys.readouterr().out.split()
    assert client.get("/v1/models", headers=bearer(key)).status_code == 200
    assert cli.main(["tenants", "suspend", tenant]) == 0
    assert cli.main(["tenants", "list"]) == 0
    assert f"{tenant} suspended research" in capsys.readouterr().out
    assert cli.main(["tenants", "erase", tenant]) == 0
    assert '"remaining_rows": 0' in capsys.readouterr().out
    entries = client.get("/v1/audit").json()["data"]
    assert [(entry["action"], entry["key"]) for entry in entries] == [
        (f"tenant.{action}", "command-line") for action in ("erase", "suspend", "create")
    ]
    assert {entry["resource"] for entry in entries} == {tenant}
    assert cli.main(["tenants", "resume", tenant]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert cli.main(["tenants", "erase"]) == 2
