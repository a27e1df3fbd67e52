"""Metrics of all tenants and usage of one tenant."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_sampler_app
from core import api_keys, jobs
from core.database import write
from core.settings import QUEUES
from core.tables import Job, Shard
from tests.conftest import TENANT, AddJob
from tests.factories import clear_model_caches, create_trained_model

ROOT = Path(__file__).parents[2]


def get_metrics(client: TestClient) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in response.text.splitlines():
        if line.startswith("# "):
            assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+", line)
            continue
        match = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"]*",?)+\})?) (\S+)', line)
        assert match is not None, line
        name, value = match.groups()
        assert name not in values
        values[name] = float(value)
    return values


def test_metrics_count_jobs_and_requests(client: TestClient, add_job: AddJob) -> None:
    add_job()
    add_job()
    before = get_metrics(client)
    assert before['semblance_jobs{queue="training",state="queued"}'] == 2
    assert before['semblance_queue_oldest_seconds{queue="training"}'] >= 0
    assert before["process_resident_memory_bytes"] > 1e7
    assert before["semblance_storage_free_bytes"] > 0
    client.get("/v1/jobs/job_1")
    client.get("/v1/jobs/job_2")
    client.get("/nowhere/at/all")
    after = get_metrics(client)

    def increase(route: str, status: int) -> float:
        name = f'semblance_requests_total{{method="GET",route="{route}",status="{status}"}}'
        return after[name] - before.get(name, 0)

    assert increase("/v1/jobs/{job_id}", 404) == 2
    assert increase("none", 404) == 1
    assert after['semblance_tenant_jobs{state="queued",tenant="default"}'] == 2
    tenant_requests = 'semblance_tenant_requests_total{status="404",tenant="default"}'
    assert after[tenant_requests] - before.get(tenant_requests, 0) == 2  # those with a key
    durations = "semblance_request_duration_seconds"
    labels = 'method="GET",route="/v1/jobs/{job_id}"'
    count = after[f"{durations}_count{{{labels}}}"]
    assert count >= 2
    assert after[f'{durations}_bucket{{le="+Inf",{labels}}}'] == count
    assert after[f"{durations}_sum{{{labels}}}"] > 0
    assert not any("job_1" in name or "nowhere" in name for name in after)


def test_metrics_count_generated_samples_and_time_their_batches(client: TestClient) -> None:
    create_trained_model(client, "pets")
    create_trained_model(client, "people")
    before = get_metrics(client)
    assert client.get("/v1/models/pets/samples?count=3&seed=1").status_code == 200
    assert client.get("/v1/models/people/samples?count=7&seed=1").status_code == 200
    after = get_metrics(client)
    clear_model_caches()

    def increase(name: str) -> float:
        return after[name] - before.get(name, 0)

    for modality, samples in (("image", 3), ("tabular", 7)):
        labels = f'{{modality="{modality}"}}'
        assert increase(f"semblance_samples_generated_total{labels}") == samples
        assert increase(f"semblance_sampling_batch_duration_seconds_count{labels}") >= 1
        assert increase(f"semblance_sampling_batch_duration_seconds_sum{labels}") > 0


def test_each_application_counts_its_own_requests(client: TestClient) -> None:
    client.get("/livez")
    with TestClient(create_sampler_app(), base_url=client.base_url) as sampler:
        sampler.headers = client.headers
        assert 'semblance_requests_total{method="GET",route="/livez",status="200"}' not in (
            get_metrics(sampler)
        )
        sampler.get("/livez")
        values = get_metrics(sampler)
    assert values['semblance_requests_total{method="GET",route="/livez",status="200"}'] == 1


def test_the_documentation_lists_exactly_the_metrics_that_exist(client: TestClient) -> None:
    existing = set(
        re.findall(r"^# TYPE (semblance_\S+)", client.get("/metrics").text, re.MULTILINE)
    )
    tables = (ROOT / "docs" / "metrics.md").read_text().split("| question")[0]
    documented = set(re.findall(r"`(semblance_[a-z_]+)`", tables))
    assert documented == existing


def test_metrics_need_the_admin_scope(client: TestClient, anonymous: TestClient) -> None:
    with write() as session:
        api_keys.add(session, TENANT, "sem_reader", name="reader", scopes=("read",))
    headers = {"Authorization": "Bearer sem_reader"}
    assert client.get("/metrics", headers=headers).status_code == 403
    assert client.get("/v1/usage", headers=headers).status_code == 200


def test_usage_is_summed_by_job_kind(client: TestClient, add_job: AddJob) -> None:
    first, second, _ = add_job(), add_job(), add_job()
    with write() as session:
        session.get_one(Job, first.id).usage = {"cpu_s": 1.5, "wall_s": 3.0}
        session.get_one(Job, second.id).usage = {"cpu_s": 2, "wall_s": 1.0, "gpu_s": 1.0}
        claimed = jobs.claim(session, first.id, "w/h:1")
        assert claimed is not None
        jobs.create_shards(session, claimed[0], count=10, size=10)
    with write() as session:
        for shard in session.query(Shard):
            shard.items_done = 7
    report = client.get("/v1/usage").json()
    assert report["jobs"] == [
        {
            "kind": "training",
            "day": None,
            "key": None,
            "jobs": 3,
            "succeeded": 0,
            "failed": 0,
            "cpu_s": 3.5,
            "wall_s": 4.0,
            "gpu_s": 1.0,
            "items": 7,
        }
    ]
    assert report["stored"] == {"datasets": 0, "models": 0, "artifacts": 0}
    assert client.get("/v1/usage?until=2020-01-01T00:00:00Z").json()["jobs"] == []
    assert client.get("/v1/usage?since=2999-01-01T00:00:00Z").json()["jobs"] == []
    assert client.get("/v1/usage?since=2020-01-01T00:00:00").status_code == 422


def test_usage_includes_stored_bytes(client: TestClient) -> None:
    assert client.post("/v1/datasets", json={"builtin": "digits"}).status_code == 201
    stored = client.get("/v1/usage").json()["stored"]
    assert 1_797 * 64 < stored["datasets"] < 2 * 1_797 * 64  # pixels, labels and a preview


def test_series_without_rows_are_zero(client: TestClient) -> None:
    values = get_metrics(client)
    for queue in QUEUES:
        assert values[f'semblance_jobs{{queue="{queue}",state="failed"}}'] == 0
        assert values[f'semblance_queue_oldest_seconds{{queue="{queue}"}}'] == 0
        assert values[f'semblance_workers{{queue="{queue}"}}'] == 0
    assert values['semblance_datasets{state="ready"}'] == 0
    assert values['semblance_database_connections{state="used"}'] >= 0


def test_alert_rules_refer_to_existing_metrics_and_runbooks(client: TestClient) -> None:
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    existing = client.get("/metrics").text
    for name in set(re.findall(r"semblance_[a-z_]+", rules)):
        assert f"# TYPE {name} " in existing, name
    runbooks = (ROOT / "docs" / "operations.md").read_text()
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"`{alert}`" in runbooks, alert


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_alerts_fire_as_their_tests_say() -> None:
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    subprocess.run(command, cwd=ROOT / "deploy", check=True)
