"""Quotas of keys and tenants: 429 with the limit, and the other tenant goes on."""

import base64
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from app import quotas
from app.authentication import Caller
from app.sampling.concurrency_limit import in_flight
from app.sampling.service import get_sampling_service
from core import api_keys, jobs, tenants, usage, webhooks
from core.database import clock, read, write
from core.datasets import uploads
from core.settings import Settings
from core.storage import get_storage, key_of
from core.tables import Job, JobState, Model, Tenant, Upload
from core.webhooks import endpoints
from tests.conftest import TENANT, AddJob
from tests.processes import TIMEOUT_S, eventually

pytestmark = pytest.mark.usefixtures("still_rates")

OTHER = {"Authorization": "Bearer sem_other"}
EVENT_STREAM = {"Accept": "text/event-stream"}


def check_quota(response: Any, name: str, limit: int) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (429, "quota_exceeded"), response.text
    assert (problem["quota"], problem["limit"], problem["retryable"]) == (name, limit, True)
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["ratelimit-policy"].startswith(f'"{name}";q={limit}')
    assert response.headers["ratelimit"].startswith(f'"{name}";r=0;t=')


def test_a_key_that_sends_too_many_requests_is_rejected_and_others_are_not(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "key_requests_per_minute", 3)
    left = [two_tenants.get("/v1/models").headers["ratelimit"] for _ in range(3)]
    assert [text.split(";")[1] for text in left] == ["r=2", "r=1", "r=0"]
    check_quota(two_tenants.get("/v1/models"), "key_requests_per_minute", 3)
    assert two_tenants.get("/v1/models", headers=OTHER).status_code == 200
    assert two_tenants.get("/livez").status_code == 200
    policies = '"key_requests_per_minute";q=3;w=60, "requests_per_minute";q=60000;w=60'
    assert two_tenants.get("/v1/models", headers=OTHER).headers["ratelimit-policy"] == policies


def test_a_tenant_does_not_take_all_places_for_samples(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "concurrent_samples", 1)
    path = "/v1/models/pets/samples"
    with ThreadPoolExecutor(1) as pool:
        with get_sampling_service().sampling_lock.take("test"):
            first = pool.submit(pets.get, path)
            while in_flight() < 1:
                pass
            check_quota(pets.get(path), "concurrent_samples", 1)
        assert first.result().status_code == 200
    assert pets.get(path).status_code == 200


def test_open_streams_and_waits_are_limited_by_tenant(
    client: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch, add_job: AddJob
) -> None:
    monkeypatch.setattr(configured.quotas, "streams", 1)
    job = add_job().id
    caller = Caller(TENANT, "key_another", None, frozenset())
    with quotas.open_streams.count(caller, 1, 1):
        check_quota(client.get(f"/v1/jobs/{job}?wait=20"), "streams", 1)
        check_quota(client.get(f"/v1/jobs/{job}/events", headers=EVENT_STREAM), "streams", 1)
    assert client.get(f"/v1/jobs/{job}?wait=0.01").status_code == 200


@pytest.mark.parametrize("name", ["key_samples_per_minute", "samples_per_minute"])
def test_samples_in_a_minute_are_limited_by_key_and_by_tenant(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(configured.quotas, name, 10)
    path = "/v1/models/pets/samples"
    assert pets.get(f"{path}?count=6").status_code == 200
    assert pets.get(f"{path}?count=14").status_code == 200  # the last one may exceed the rest
    rejected = pets.get(f"{path}?count=1")
    check_quota(rejected, name, 10)
    assert rejected.headers["ratelimit-policy"] == f'"{name}";q=10;w=60'
    assert rejected.headers["retry-after"] == "66"  # 11 samples at 10 in a minute
    with write() as session:
        _, other_tenant = tenants.create(session, "other")
        api_keys.add(session, TENANT, "sem_second", name="x", scopes=api_keys.SCOPES)
    second = pets.get(path, headers={"Authorization": "Bearer sem_second"})
    assert second.status_code == (429 if name == "samples_per_minute" else 200)
    of_other = pets.get(path, headers={"Authorization": f"Bearer {other_tenant}"})
    assert of_other.status_code == 404


def test_a_request_without_samples_does_not_use_their_quota(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "samples_per_minute", 5)
    path = "/v1/models/pets/samples?count=5&seed=1"
    assert pets.get(f"{path}&format=csv").status_code == 406
    tag = pets.get(path).headers["etag"]
    assert pets.get(path, headers={"If-None-Match": tag}).status_code == 304
    check_quota(pets.get(path), "samples_per_minute", 5)


def test_the_use_of_each_quota_of_a_tenant_is_shown(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch, add_job: AddJob
) -> None:
    monkeypatch.setattr(configured.quotas, "requests_per_minute", 10)
    monkeypatch.setattr(configured.quotas, "samples_per_minute", 8)
    monkeypatch.setattr(configured.quotas, "running_jobs", 3)
    assert pets.get("/v1/models/pets/samples?count=7").status_code == 200
    pets.post("/v1/uploads", json={"filename": "a", "bytes": 8})
    pets.post("/v1/jobs", json={"kind": "generation", "model": "pets", "count": 5})
    job = add_job()
    with write() as session:
        session.get_one(Job, job.id).usage = {"cpu_s": 61.5, "gpu_s": 2.0, "wall_s": 70.0}
        session.get_one(Job, job.id).state = JobState.RUNNING
    with quotas.open_streams.count(Caller(TENANT, "key_another", None, frozenset()), 9, 9):
        rows = {row.pop("name"): row for row in pets.get("/v1/usage").json()["quotas"]}
    assert rows["stored_bytes"].pop("used") > 8
    assert rows["compute_seconds_per_day"].pop("used") >= 64
    assert rows == {
        "key_requests_per_minute": {"limit": 60_000, "used": 4, "window_s": 60},
        "requests_per_minute": {"limit": 10, "used": 4, "window_s": 60},
        "key_samples_per_minute": {"limit": None, "used": 0, "window_s": 60},
        "samples_per_minute": {"limit": 8, "used": 7, "window_s": 60},
        "key_concurrent_samples": {"limit": 224, "used": 0, "window_s": None},
        "key_streams": {"limit": 1_024, "used": 0, "window_s": None},
        "concurrent_samples": {"limit": 224, "used": 0, "window_s": None},
        "streams": {"limit": 1_024, "used": 1, "window_s": None},
        "uploads": {"limit": 1_000, "used": 1, "window_s": None},
        "upload_bytes": {"limit": 100 * 2**30, "used": 8, "window_s": None},
        "waiting_jobs": {"limit": 5_000, "used": 1, "window_s": None},
        "running_jobs": {"limit": 3, "used": 1, "window_s": None},
        "stored_bytes": {"limit": None, "window_s": None},
        "compute_seconds_per_day": {"limit": None, "window_s": 86_400},
    }
    assert set(pets.get("/v1").json()["quotas"]) == set(rows)


def test_queued_and_paused_jobs_are_limited_by_tenant(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "waiting_jobs", 2)
    body = {"kind": "generation", "model": "pets", "count": 5}
    first, second = (pets.post("/v1/jobs", json=body).json()["id"] for _ in range(2))
    pets.post(f"/v1/jobs/{first}/pause")
    check_quota(pets.post("/v1/jobs", json=body), "waiting_jobs", 2)
    cancelled = pets.post("/v1/jobs/cancel", json={}).json()
    assert cancelled == {"jobs": [first, second], "has_more": False}
    assert pets.get(f"/v1/jobs/{second}").json()["state"] == "cancelled"
    assert pets.post("/v1/jobs", json=body).status_code == 202


def test_the_computing_time_of_a_day_is_limited(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch, add_job: AddJob
) -> None:
    job = add_job()
    with write() as session:
        session.get_one(Job, job.id).usage = {"cpu_s": 61.5, "wall_s": 70.0}
    monkeypatch.setattr(configured.quotas, "compute_seconds_per_day", 60)
    body = {"kind": "generation", "model": "pets", "count": 5}
    check_quota(pets.post("/v1/jobs", json=body), "compute_seconds_per_day", 60)
    with write() as session:
        session.get_one(Job, job.id).created_at = clock(-86_500)
    assert pets.post("/v1/jobs", json=body).status_code == 202


def put_part(client: TestClient, upload: str, data: bytes, number: int = 1) -> Any:
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:"}
    return client.put(f"/v1/uploads/{upload}/parts/{number}", content=data, headers=headers)


def test_uploads_are_listed_counted_and_expire(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "uploads", 2)
    monkeypatch.setattr(configured.quotas, "upload_bytes", 10)
    first, second = (
        two_tenants.post("/v1/uploads", json={"filename": name}).json()["id"] for name in "ab"
    )
    check_quota(two_tenants.post("/v1/uploads", json={"filename": "c"}), "uploads", 2)
    assert two_tenants.post("/v1/uploads", json={"filename": "c"}, headers=OTHER).is_success
    assert put_part(two_tenants, first, b"x" * 8).status_code == 200
    check_quota(put_part(two_tenants, second, b"x" * 3), "upload_bytes", 10)
    page = two_tenants.get("/v1/uploads?limit=1").json()
    assert (page["data"][0]["id"], page["has_more"]) == (second, True)
    rest = two_tenants.get(f"/v1/uploads?after={page['next']}").json()["data"]
    assert [(upload["id"], len(upload["parts"])) for upload in rest] == [(first, 1)]
    assert rest[0]["expires_at"] > rest[0]["created_at"]
    assert list(get_storage().keys(key_of(TENANT, "uploads"))) != []
    assert uploads.remove_unused(get_storage(), 3_600) == 0
    with write() as session:
        session.get_one(Upload, first).updated_at = clock(-3_700)
    assert uploads.remove_unused(get_storage(), 3_600) == 1
    assert list(get_storage().keys(key_of(TENANT, "uploads"))) == []
    assert two_tenants.get(f"/v1/uploads/{first}").status_code == 404
    assert two_tenants.get(f"/v1/uploads/{second}").status_code == 200


def test_stored_bytes_are_limited_by_tenant(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "stored_bytes", 200)
    first, second = (
        two_tenants.post("/v1/uploads", json={"filename": name}).json()["id"] for name in "ab"
    )
    assert put_part(two_tenants, first, b"x" * 100).status_code == 200
    response = put_part(two_tenants, second, b"x" * 101)
    check_quota(response, "stored_bytes", 200)
    assert "of which 100 are used. Delete" in response.json()["detail"]
    file = {"file": ("people.csv", b"a,b\n1,2\n" * 20)}
    check_quota(two_tenants.post("/v1/datasets", files=file), "stored_bytes", 200)
    assert len(list(get_storage().keys(key_of(TENANT)))) == 1


def check_larger_than_quota(response: Any, name: str, limit: int, size: int) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (413, "larger_than_quota"), response.text
    shown = [problem[field] for field in ("quota", "limit", "size", "retryable")]
    assert shown == [name, limit, size, False]
    assert f"`{name}` allows {limit:,}" in problem["detail"]
    assert "retry-after" not in response.headers


def test_a_file_that_is_larger_than_its_quota_is_not_to_be_sent_again(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "stored_bytes", 10)
    upload = two_tenants.post("/v1/uploads", json={"filename": "a"}).json()["id"]
    assert put_part(two_tenants, upload, b"x" * 6).status_code == 200
    second_part = put_part(two_tenants, upload, b"x" * 7, number=2)
    check_larger_than_quota(second_part, "stored_bytes", 10, 13)
    file = {"file": ("people.csv", b"a,b\n1,2\n" * 20)}
    check_larger_than_quota(
        two_tenants.post("/v1/datasets", files=file), "stored_bytes", 10, 8 * 20
    )
    monkeypatch.setattr(configured.quotas, "upload_bytes", 9)
    declared = two_tenants.post("/v1/uploads", json={"filename": "b", "bytes": 11})
    check_larger_than_quota(declared, "upload_bytes", 9, 11)


def test_a_job_whose_files_are_larger_than_the_quota_is_not_to_be_sent_again(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "stored_bytes", 1_000)
    job = {"kind": "generation", "model": "pets", "count": 1_000}
    problem = pets.post("/v1/jobs", json=job).json()
    assert (problem["code"], problem["quota"]) == ("larger_than_quota", "stored_bytes")
    assert problem["size"] > 1_000


def test_the_declared_size_of_an_upload_is_reserved_until_it_ends(
    two_tenants: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured.quotas, "upload_bytes", 10)
    declared = {"filename": "a", "bytes": 8}
    upload = two_tenants.post("/v1/uploads", json=declared).json()["id"]
    check_quota(two_tenants.post("/v1/uploads", json=declared), "upload_bytes", 10)
    undeclared = two_tenants.post("/v1/uploads", json={"filename": "b"}).json()["id"]
    check_quota(put_part(two_tenants, undeclared, b"x" * 3), "upload_bytes", 10)
    assert put_part(two_tenants, upload, b"x" * 8).status_code == 200  # was reserved
    assert two_tenants.delete(f"/v1/uploads/{upload}").status_code == 204
    assert put_part(two_tenants, undeclared, b"x" * 10).status_code == 200
    monkeypatch.setattr(configured.quotas, "upload_bytes", 10**18)
    too_large = {"filename": "a", "bytes": 5 * 2**30}
    free = get_storage().free_bytes() or 0
    monkeypatch.setattr(configured, "min_free_disk_bytes", max(0, free - 2**30))
    full = two_tenants.post("/v1/uploads", json=too_large, headers=OTHER)
    assert (full.status_code, full.json()["code"]) == (507, "storage_full")
    assert two_tenants.post("/v1/uploads", json=declared, headers=OTHER).status_code == 201


def test_the_files_of_a_generation_job_are_reserved_until_it_ends(
    pets: TestClient, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"kind": "generation", "model": "pets", "count": 1_000}
    with read() as session:
        stored = usage.storage_usage(session, TENANT)
        image = session.scalars(select(Model)).one().manifest["image"]
    item_bytes = image["height"] * image["width"] * image["channels"]
    limit = stored.datasets + stored.models + stored.artifacts + 1_500 * item_bytes
    monkeypatch.setattr(configured.quotas, "stored_bytes", limit)
    job = pets.post("/v1/jobs", json=body)
    assert job.status_code == 202, job.text
    check_quota(pets.post("/v1/jobs", json=body), "stored_bytes", limit)
    assert pets.post(f"/v1/jobs/{job.json()['id']}/cancel").status_code == 200
    again = pets.post("/v1/jobs", json=body)
    assert again.status_code == 202
    monkeypatch.setattr(configured.quotas, "stored_bytes", None)
    free = get_storage().free_bytes() or 0
    monkeypatch.setattr(configured, "min_free_disk_bytes", max(0, free - 2**20))
    full = pets.post("/v1/jobs", json=body | {"count": 10_000_000})
    assert (full.status_code, full.json()["code"]) == (507, "storage_full")


def test_positions_in_the_queue_follow_the_turns_of_tenants(
    client: TestClient, add_job: AddJob
) -> None:
    added = [add_job().id for _ in range(9)]
    with write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        for job_id in added[6:]:  # created last, by a tenant with few jobs
            session.get_one(Job, job_id).tenant_id = "other"

    def positions(tenant_id: str) -> dict[str, int]:
        with read() as session:
            rows = session.scalars(select(Job).where(Job.tenant_id == tenant_id)).all()
            many = jobs.queue_positions(session, rows)
            single = {row.id: jobs.queue_position(session, row) for row in rows if row.id in many}
        assert many == single
        return {job_id: position.ahead for job_id, position in many.items()}

    expected = {**positions(TENANT), **positions("other")}
    claimed: list[str] = []
    while len(claimed) < len(added):
        with write() as session:
            claim = jobs.claim_next(session, ["training"], "worker")
        assert claim is not None
        claimed.append(claim[0].job_id)
        if len(claimed) == 3:  # running ones count
            ahead = {**positions(TENANT), **positions("other")}
            assert {job_id: expected[job_id] - 3 for job_id in ahead} == ahead
    assert [expected[job_id] for job_id in claimed] == list(range(len(added)))


def test_jobs_of_tenants_that_may_not_start_any_are_not_ahead(
    client: TestClient, add_job: AddJob, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = [add_job().id for _ in range(6)]
    with write() as session:
        claim = jobs.claim(session, added[0], "worker")
        for tenant_id, job_ids in (("running", added[:2]), ("suspended", added[2:4])):
            session.add(Tenant(id=tenant_id, name=tenant_id))
            session.flush()
            for job_id in job_ids:
                session.get_one(Job, job_id).tenant_id = tenant_id
    assert claim is not None

    def ahead() -> int:
        return int(client.get(f"/v1/jobs/{added[5]}").json()["queue"]["position"])

    before = ahead()
    with write() as session:
        session.get_one(Tenant, "suspended").suspended_at = clock()
    without_suspended = ahead()
    monkeypatch.setattr(configured.quotas, "running_jobs", 1)
    assert (before, without_suspended, ahead()) == (3, 2, 1)


def test_names_that_nobody_resolves_hold_few_threads_and_those_of_one_tenant_fewer(
    two_tenants: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def resolve(_host: str, _port: int) -> tuple[str, ...]:
        answered.wait(TIMEOUT_S)
        return ()

    monkeypatch.setattr(endpoints, "MAX_CONCURRENT_CHECKS", 2)
    monkeypatch.setattr(endpoints, "MAX_CHECKS_OF_TENANT", 1)
    monkeypatch.setattr(webhooks.check_url, "__kwdefaults__", {"resolve": resolve})
    body = {"url": "https://unanswered.example/x"}

    def post(headers: dict[str, str] | None = None) -> Any:
        return two_tenants.post("/v1/webhooks", json=body, headers=headers)

    with ThreadPoolExecutor(2) as pool:
        waiting = []
        for number, headers in enumerate([None, OTHER]):
            waiting.append(pool.submit(post, headers))
            eventually(lambda n=number: endpoints._checks.total() > n)
            busy = post(headers)
            assert (busy.status_code, busy.json()["code"]) == (503, "resolver_busy")
        answered.set()
        assert [response.result().status_code for response in waiting] == [422, 422]


def test_tenants_take_turns_however_many_jobs_one_has(
    two_tenants: TestClient, add_job: AddJob, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = [add_job() for _ in range(6)]
    with write() as session:
        for job in greedy[3:5]:  # created later, by another tenant
            session.get_one(Job, job.id).tenant_id = "other"
    claimed = []

    def claim_next() -> str | None:
        with write() as session:
            claim = jobs.claim_next(session, [greedy[0].queue], "worker")
        return None if claim is None else claim[0].job_id

    claimed = [claim_next() for _ in range(4)]
    assert claimed == [greedy[0].id, greedy[3].id, greedy[1].id, greedy[4].id]
    monkeypatch.setattr(configured.quotas, "running_jobs", 2)
    with read() as session:
        assert not jobs.has_due_jobs(session, [greedy[0].queue], 0.0)
    assert claim_next() is None
    with write() as session:
        session.get_one(Job, greedy[0].id).state = JobState.SUCCEEDED
    assert claim_next() == greedy[2].id
