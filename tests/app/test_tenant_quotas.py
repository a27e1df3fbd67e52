"""Quotas of single tenants, in place of the service's settings."""

from typing import Any, get_args

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text
from starlette.testclient import TestClient

from app import quotas
from app.authentication import Caller
from core import cli, jobs
from core.database import get_engine, read, write
from core.migration import MIGRATIONS, migrate
from core.own_quotas import TenantQuota
from core.settings import Quotas, Settings
from core.tables import Job, JobState, Tenant
from tests.conftest import TENANT, AddJob

OTHER = {"Authorization": "Bearer sem_other"}
UPLOAD = {"filename": "x.zip"}


def set_quotas(client: TestClient, tenant: str = "other", **quotas: int | None) -> Any:
    response = client.patch(f"/v1/tenants/{tenant}", json={"quotas": quotas})
    assert response.status_code == 200, response.text
    return response.json()["quotas"]


def shown_limits(client: TestClient) -> dict[str, int | None]:
    rows = client.get("/v1/usage", headers=OTHER).json()["quotas"]
    return {row["name"]: row["limit"] for row in rows}


def test_a_quota_of_a_tenant_holds_for_it_alone_and_until_it_is_removed(
    two_tenants: TestClient,
) -> None:
    def upload(**headers: str) -> int:
        return two_tenants.post("/v1/uploads", json=UPLOAD, headers=headers).status_code

    set_quotas(two_tenants, uploads=1)
    assert [upload(**OTHER), upload(**OTHER)] == [201, 429]
    assert [upload(), upload()] == [201, 201]
    set_quotas(two_tenants, uploads=None)
    assert upload(**OTHER) == 201


def test_a_quota_of_requests_holds_from_the_next_request_on(two_tenants: TestClient) -> None:
    assert two_tenants.get("/v1/models", headers=OTHER).status_code == 200
    set_quotas(two_tenants, requests_per_minute=1_000)
    headers = two_tenants.get("/v1/models", headers=OTHER).headers
    assert headers["ratelimit-policy"].endswith('"requests_per_minute";q=1000;w=60')
    headers = two_tenants.get("/v1/models").headers
    assert headers["ratelimit-policy"].endswith('"requests_per_minute";q=60000;w=60')


def test_samples_and_jobs_are_limited_by_the_quotas_of_their_tenant(pets: TestClient) -> None:
    set_quotas(pets, TENANT, samples_per_minute=1, waiting_jobs=1)
    path, job = "/v1/models/pets/samples", {"kind": "generation", "model": "pets", "count": 1}
    assert [pets.get(path).status_code for _ in range(2)] == [200, 429]
    assert [pets.post("/v1/jobs", json=job).status_code for _ in range(2)] == [202, 429]


@pytest.mark.parametrize("counted", [quotas.concurrent_samples, quotas.open_streams])
def test_requests_at_once_are_limited_by_the_quota_of_their_tenant(
    pets: TestClient, add_job: AddJob, counted: quotas.ConcurrentRequests
) -> None:
    paths = {
        "concurrent_samples": "/v1/models/pets/samples",
        "streams": f"/v1/jobs/{add_job().id}?wait=0.01",
    }
    set_quotas(pets, TENANT, **{counted.name: 1})
    with counted.count(Caller(TENANT, "key_another", None, frozenset()), 1, 1):
        assert pets.get(paths[counted.name]).json()["quota"] == counted.name
    assert pets.get(paths[counted.name]).status_code == 200


def test_stored_bytes_and_computing_time_are_limited_by_the_quotas_of_their_tenant(
    pets: TestClient, add_job: AddJob
) -> None:
    job = {"kind": "generation", "model": "pets", "count": 1}
    with write() as session:
        session.get_one(Job, add_job().id).usage = {"cpu_s": 61.5, "wall_s": 70.0}
    set_quotas(pets, TENANT, compute_seconds_per_day=60)
    assert pets.post("/v1/jobs", json=job).json()["quota"] == "compute_seconds_per_day"
    set_quotas(pets, TENANT, compute_seconds_per_day=None, stored_bytes=1_000)
    assert pets.post("/v1/jobs", json=job).json()["quota"] == "stored_bytes"
    set_quotas(pets, TENANT, stored_bytes=None, upload_bytes=10)
    upload = pets.post("/v1/uploads", json=UPLOAD | {"bytes": 11})
    assert upload.json()["quota"] == "upload_bytes"


@pytest.mark.parametrize("service_quota", [None, 1])
def test_running_jobs_are_limited_by_the_quota_of_their_tenant(
    two_tenants: TestClient,
    add_job: AddJob,
    configured: Settings,
    monkeypatch: pytest.MonkeyPatch,
    service_quota: int | None,
) -> None:
    monkeypatch.setattr(configured.quotas, "running_jobs", service_quota)
    set_quotas(two_tenants, running_jobs=2)
    added = [add_job().id for _ in range(3)]
    with write() as session:
        for job in session.scalars(select(Job)):
            job.tenant_id = "other"
    for _ in added:
        with write() as session:
            jobs.claim_next(session, ["training"], "worker")
    with read() as session:
        states = session.scalars(select(Job.state)).all()
    assert sorted(states) == [JobState.QUEUED, JobState.RUNNING, JobState.RUNNING]


def test_jobs_of_a_tenant_that_has_reached_its_own_quota_are_not_ahead(
    two_tenants: TestClient, add_job: AddJob
) -> None:
    own_running, other_running = [add_job().id for _ in range(2)], add_job().id
    other_queued, own_queued = add_job().id, add_job().id
    with write() as session:
        for job_id in (*own_running, other_running):
            jobs.claim(session, job_id, "worker")
        for job_id in (other_running, other_queued):
            session.get_one(Job, job_id).tenant_id = "other"

    def position() -> int:
        return int(two_tenants.get(f"/v1/jobs/{own_queued}").json()["queue"]["position"])

    before = position()
    set_quotas(two_tenants, running_jobs=1)
    assert (before, position()) == (1, 0)


def test_quotas_of_a_tenant_are_shown_and_others_are_those_of_the_service(
    two_tenants: TestClient,
) -> None:
    before = shown_limits(two_tenants)
    assert set_quotas(two_tenants, uploads=7, streams=3, running_jobs=2) == {
        "uploads": 7,
        "streams": 3,
        "running_jobs": 2,
    }
    own = {"uploads": 7, "running_jobs": 2}
    assert set_quotas(two_tenants, streams=None) == own
    assert shown_limits(two_tenants) == before | own
    assert two_tenants.get("/v1", headers=OTHER).json()["quotas"]["uploads"] == 7
    assert two_tenants.get("/v1/tenants/other").json()["quotas"] == own
    listed = two_tenants.get("/v1/tenants").json()["data"]
    assert {row["id"]: row["quotas"] for row in listed} == {TENANT: {}, "other": own}


def test_a_change_of_quotas_is_in_the_audit_log(two_tenants: TestClient) -> None:
    set_quotas(two_tenants, uploads=7)
    entry = two_tenants.get("/v1/audit?action=tenant.quotas").json()["data"][0]
    assert (entry["resource"], entry["key"][:4]) == ("other", "key_")


@pytest.mark.parametrize(
    "changes", [{"jobs": 1}, {"key_streams": 1}, {"uploads": 0}, {"uploads": "1"}]
)
def test_a_quota_that_does_not_exist_or_is_out_of_range_is_rejected(
    two_tenants: TestClient, changes: dict[str, Any]
) -> None:
    rejected = two_tenants.patch("/v1/tenants/other", json={"quotas": changes | {"streams": 5}})
    assert (rejected.status_code, rejected.json()["code"]) == (422, "invalid")
    assert rejected.json()["errors"][0]["pointer"].startswith("/quotas")
    assert two_tenants.get("/v1/tenants/other").json()["quotas"] == {}


def test_only_administrators_of_the_default_tenant_change_quotas(two_tenants: TestClient) -> None:
    for method in ("GET", "PATCH"):
        body = {"quotas": {"uploads": 9}} if method == "PATCH" else None
        rejected = two_tenants.request(method, "/v1/tenants/other", json=body, headers=OTHER)
        assert (rejected.status_code, rejected.json()["code"]) == (403, "operator_required")
    unknown = two_tenants.patch("/v1/tenants/tnt_x", json={"quotas": {}})
    assert unknown.status_code == 404


def test_quotas_of_a_tenant_are_changed_by_command(
    two_tenants: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    command_line = ["tenants", "quotas", "other"]
    assert cli.main([*command_line, "uploads=7", "streams=3"]) == 0
    assert capsys.readouterr().out == "other streams=3 uploads=7\n"
    assert shown_limits(two_tenants)["uploads"] == 7
    assert cli.main([*command_line, "streams=default"]) == 0
    assert cli.main(command_line) == 0
    assert capsys.readouterr().out == "other uploads=7\n" * 2
    assert cli.main(["tenants", "list"]) == 0
    assert "other active other uploads=7\n" in capsys.readouterr().out
    entries = two_tenants.get("/v1/audit").json()["data"]
    assert [entry["action"] for entry in entries] == ["tenant.quotas"] * 2
    assert cli.main([*command_line, "jobs=7"]) == 1
    assert "`jobs` is not a quota" in capsys.readouterr().err
    assert cli.main(["tenants", "suspend", "other", "uploads=7"]) == 2


def test_each_quota_of_a_tenant_in_the_settings_can_be_set_for_a_single_one() -> None:
    of_tenants = {name for name in Quotas.model_fields if not name.startswith("key_")}
    assert set(get_args(TenantQuota)) == of_tenants


def test_tenants_of_an_earlier_schema_have_the_quotas_of_the_service(configured: Settings) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with get_engine().begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        new = "INSERT INTO tenants (id, name, created_at) VALUES ('old', 'old', :now)"
        connection.execute(text(new), {"now": "2026-01-01 00:00:00"})
    migrate(configured.database_url)
    with read() as session:
        assert session.get_one(Tenant, "old").quotas == {}
