"""What an operator asks: metrics of all tenants, and what one tenant has used."""

import re

from starlette.testclient import TestClient

from core import api_keys, jobs
from core.database import write
from core.tables import Job, Shard
from tests.conftest import TENANT, AddJob


def metrics(client: TestClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for line in answer.text.splitlines():
        if line.startswith("# "):
            assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line)
            continue
        matched = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})?) (\S+)', line)
        assert matched is not None, line
        name, value = matched.groups()
        assert name not in found
        found[name] = float(value)
    return found


def test_metrics_tell_of_jobs_and_requests(client: TestClient, add_job: AddJob) -> None:
    add_job()
    add_job()
    before = metrics(client)
    assert before['semblance_jobs{queue="training",state="queued"}'] == 2
    assert before['semblance_queue_oldest_seconds{queue="training"}'] >= 0
    assert before["process_resident_memory_bytes"] > 1e7
    assert before["semblance_storage_free_bytes"] > 0
    client.get("/v1/jobs/job_1")
    client.get("/v1/jobs/job_2")
    client.get("/nowhere/at/all")
    after = metrics(client)

    def grown(route: str, status: int) -> float:
        name = f'semblance_requests_total{{method="GET",route="{route}",status="{status}"}}'
        return after[name] - before.get(name, 0)

    assert grown("/v1/jobs/{job_id}", 404) == 2
    assert grown("none", 404) == 1
    assert not any("job_1" in name or "nowhere" in name for name in after)


def test_metrics_are_for_administrators(client: TestClient, anonymous: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reads", name="reads", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reads"}
    assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/v1/usage", headers=headers).status_code == 200


def test_usage_is_summed_by_kind(client: TestClient, add_job: AddJob) -> None:
    first, second, _ = add_job(), add_job(), add_job()
    with write() as session:
        session.get_one(Job, first.id).usage = {"cpu_s": 1.5, "wall_s": 3.0}
        session.get_one(Job, second.id).usage = {"cpu_s": 2, "wall_s": 1.0}
        taken = jobs.claim(session, first.id, "w/h:1")
        assert taken is not None
        jobs.create_shards(session, taken[0], count=10, size=10)
    with write() as session:
        for shard in session.query(Shard):
            shard.items_done = 7
    report = client.get("/v1/usage").json()
    assert report["jobs"] == [
        {
            "kind": "training",
            "jobs": 3,
            "succeeded": 0,
            "failed": 0,
            "cpu_s": 3.5,
            "wall_s": 4.0,
            "items": 7,
        }
    ]
    assert report["stored"] == {"datasets": 0, "models": 0, "artifacts": 0}
    assert client.get("/v1/usage?until=2020-01-01T00:00:00Z").json()["jobs"] == []
    assert client.get("/v1/usage?since=2999-01-01T00:00:00Z").json()["jobs"] == []
    assert client.get("/v1/usage?since=2020-01-01T00:00:00").status_code == 422


def test_what_is_stored_is_counted(client: TestClient) -> None:
    assert client.post("/v1/datasets", json={"builtin": "digits"}).status_code == 201
    stored = client.get("/v1/usage").json()["stored"]
    assert 1_797 * 64 < stored["datasets"] < 2 * 1_797 * 64  # pixels, labels, a picture
