"""Audit log, usage by key, presets, and deletion of a dataset with all that came from it."""

import re
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from starlette.testclient import TestClient

import core
from core import api_keys, audit, login_codes, workers
from core.database import read, write
from core.datasets import cascade
from core.storage import get_storage
from core.tables import AuditEntry, Base, Dataset, ErasedTenant, Job, Model
from tests.conftest import KEY, TENANT, AddJob
from tests.factories import create_dataset, create_digits_dataset, create_trained_model
from tests.servers import SERVER
from tests.uploads import make_people_csv

ROOT = Path(core.__file__).parents[1]
PACKAGES = ("app", "core", "worker", "job_kinds", "modalities")


def actions(client: TestClient, query: str = "") -> list[str]:
    return [entry["action"] for entry in client.get(f"/v1/audit{query}").json()["data"]]


def test_each_change_is_recorded_with_its_key_and_request(
    client: TestClient, add_job: AddJob
) -> None:
    own = client.get("/v1/keys/self").json()
    assert own["scopes"] == list(api_keys.SCOPES)
    job = add_job()
    headers = {"X-Request-ID": "req-7"}
    client.post(f"/v1/jobs/{job.id}/cancel", headers=headers)
    dataset = client.post("/v1/datasets", json={"builtin": "digits"}).json()["id"]
    client.patch(f"/v1/datasets/{dataset}", json={"name": "numbers"})
    client.delete(f"/v1/datasets/{dataset}")
    entry = client.get("/v1/audit?action=job.cancel").json()["data"][0]
    assert (entry["key"], entry["resource"], entry["request_id"]) == (own["id"], job.id, "req-7")
    assert actions(client, f"?resource={dataset}") == [
        "dataset.delete",
        "dataset.change",
        "dataset.create",
    ]


def test_logins_links_loads_schemas_and_uploads_are_recorded(people: TestClient) -> None:
    dataset = create_dataset(make_people_csv(), "people.csv")
    change = {"columns": [{"name": "age", "exclude": True}]}
    assert people.put(f"/v1/datasets/{dataset}/schema", json=change).status_code == 200
    people.post("/v1/models/people/load")
    people.post("/v1/models/people/unload")
    people.post("/v1/links", json={"path": "/v1/models/people"})
    people.get("/v1/webhooks/secret")
    code = login_codes.create_link().partition("code=")[2]
    people.post("/v1/login", json={"code": code})
    upload = people.post("/v1/uploads", json={"filename": "x"}).json()["id"]
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"  # of an empty part
    people.put(f"/v1/uploads/{upload}/parts/1", headers={"Content-Digest": digest})
    people.post(f"/v1/uploads/{upload}/complete")
    people.delete(f"/v1/uploads/{upload}")
    assert actions(people, f"?resource={upload}/parts/1") == ["upload.part"]
    assert actions(people)[:10] == [
        "upload.delete",
        "upload.complete",
        "upload.part",
        "upload.create",
        "key.login",
        "webhook.read_secret",
        "link.create",
        "model.unload",
        "model.load",
        "dataset.schema",
    ]


def test_downloads_of_training_data_and_of_models_are_recorded(people: TestClient) -> None:
    dataset = people.get("/v1/datasets").json()["data"][0]["id"]
    model = people.get("/v1/models/people").json()["id"]
    assert people.get(f"/v1/datasets/{dataset}/content").status_code == 200
    assert people.get("/v1/models/people/export").status_code == 200
    link = people.post("/v1/links", json={"path": f"/v1/datasets/{dataset}/content"}).json()["url"]
    people.headers.pop("Authorization")
    assert people.get(link).status_code == 200
    people.headers["Authorization"] = f"Bearer {KEY}"
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reader"}
    assert people.get(f"/v1/datasets/{dataset}/content", headers=headers).status_code == 403

    entries = people.get("/v1/audit").json()["data"][:4]
    assert [(entry["action"], entry["resource"]) for entry in entries] == [
        ("dataset.download", dataset),
        ("link.create", f"/v1/datasets/{dataset}/content"),
        ("model.download", model),
        ("dataset.download", dataset),
    ]
    assert {entry["key"] for entry in entries} == {people.get("/v1/keys/self").json()["id"]}


def test_requests_that_download_nothing_are_not_recorded(people: TestClient) -> None:
    dataset = people.get("/v1/datasets").json()["data"][0]["id"]
    for path, action in (
        (f"/v1/datasets/{dataset}/content", "dataset.download"),
        ("/v1/models/people/export", "model.download"),
    ):
        etag = people.get(path).headers["ETag"]
        for method, headers, status, entries in (
            ("HEAD", {}, 200, 1),
            ("GET", {"If-None-Match": etag}, 304, 1),
            ("GET", {"Range": "bytes=99999999-"}, 416, 1),
            ("GET", {"Range": "bytes=0-9"}, 206, 2),
            ("GET", {"Range": "bytes=0-9", "If-None-Match": etag}, 206, 3),
            ("GET", {"If-None-Match": '"other"'}, 200, 4),
        ):
            assert people.request(method, path, headers=headers).status_code == status
            assert actions(people, f"?action={action}") == [action] * entries


def test_a_rejected_change_leaves_no_entry(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    assert client.delete(f"/v1/datasets/{job.dataset_id}").status_code == 409
    assert actions(client) == []


def test_entries_of_the_audit_log_cannot_be_changed() -> None:
    assert {name for name in vars(audit) if callable(getattr(audit, name))} <= {
        "Actor",
        "AuditEntry",
        "Sequence",
        "Session",
        "dataclass",
        "insert",
        "new_id",
        "page",
        "record",
        "select",
    }
    # No other module names the table; an erasure deletes the rows of a tenant in all tables.
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    naming = {
        path.relative_to(ROOT).as_posix()
        for path in sources
        if re.search(r"AuditEntry|audit_entries", path.read_text())
    }
    assert naming == {"core/audit.py", "core/tables.py", "app/routes/audit.py"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET key_id = 'x'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
    ],
)
def test_the_database_rejects_changes_of_the_audit_log(
    two_tenants: TestClient, statement: str
) -> None:
    if SERVER is None and statement.startswith("TRUNCATE"):
        pytest.skip("SQLite has no such statement")
    two_tenants.post("/v1/datasets", json={"builtin": "digits"})
    with write() as session:  # of another tenant than the one with entries
        session.add(ErasedTenant(id="other"))
    with pytest.raises(IntegrityError, match="append-only"), write() as session:
        session.execute(text(statement))
    assert actions(two_tenants) == ["dataset.create"]


def test_only_administrators_read_the_audit_log(client: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reader"}
    assert client.get("/v1/audit", headers=headers).status_code == 403
    assert client.get("/v1/keys/self", headers=headers).json()["name"] == "reader"


def test_usage_is_divided_by_key_and_day(client: TestClient, add_job: AddJob) -> None:
    job, _ = add_job(), add_job()
    with write() as session:
        session.get_one(Job, job.id).key_id = "key_1"
    by_key = client.get("/v1/usage?by=key").json()["jobs"]
    assert {(row["key"], row["jobs"]) for row in by_key} == {("key_1", 1), (None, 1)}
    (row,) = client.get("/v1/usage?by=day").json()["jobs"]
    assert (row["day"], row["jobs"]) == (job.created_at.date().isoformat(), 2)


def test_presets_have_a_meaning_a_budget_and_an_estimate(client: TestClient) -> None:
    presets = client.get("/v1/presets").json()["data"]
    assert [p["name"] for p in presets if p["modality"] == "image"] == [
        "fast",
        "balanced",
        "quality",
    ]
    assert all(preset["description"] for preset in presets)
    of_dataset = client.get(f"/v1/presets?dataset={create_digits_dataset()}").json()["data"]
    assert [p["budget"]["cpu_seconds"] for p in of_dataset] == [60, 300, 1800]
    assert all(preset["estimate"]["steps"] > 0 for preset in of_dataset)


def test_workers_show_their_machine(client: TestClient) -> None:
    with write() as session:
        machine = {"version": "0.1.0", "cpus": 4, "memory_bytes": 2**33}
        workers.heartbeats(
            session, {"wkr_1": workers.describe(queues=["training"], host="here", **machine)}
        )
    (worker,) = client.get("/v1/workers").json()
    assert (worker["host"], worker["cpus"], worker["memory_bytes"]) == ("here", 4, 2**33)


def test_a_dataset_is_deleted_with_all_that_came_from_it(client: TestClient) -> None:
    model = create_trained_model(client, "pets")
    with read() as session:
        row = session.scalars(select(Model)).one()
    path = f"/v1/datasets/{row.dataset_id}"
    listed = client.get(f"{path}/descendants").json()
    assert (listed["models"], listed["datasets"]) == ([row.id], [row.dataset_id])
    assert row.job_id in listed["jobs"]
    with read() as session:
        keys = cascade._object_keys(session, cascade.find_descendants(session, TENANT, path[13:]))
    assert client.delete(f"{path}?cascade=true").status_code == 204, model
    with read() as session:
        for name in ("datasets", "jobs", "models", "events", "checkpoints", "artifacts", "tags"):
            table = Base.metadata.tables[name]
            assert session.scalar(select(func.count()).select_from(table)) == 0, name
        assert session.scalars(select(AuditEntry.action)).all()[-1] == "dataset.delete_cascade"
    for key in keys:
        with pytest.raises(FileNotFoundError):
            (get_storage()._root / key).stat()  # type: ignore[operator]


def test_a_cascade_waits_for_active_jobs(client: TestClient, add_job: AddJob) -> None:
    job = add_job()
    response = client.delete(f"/v1/datasets/{job.dataset_id}?cascade=true")
    assert (response.status_code, response.json()["jobs"]) == (409, [job.id])
    with read() as session:
        assert session.get(Dataset, job.dataset_id) is not None
