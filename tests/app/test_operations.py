"""Metrics of all tenants and usage of one tenant."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from app.main import create_sampler_app
from core import api_keys, jobs, metrics
from core.database import write
from core.jobs import Heartbeat, NewEvent
from core.settings import QUEUES
from core.tables import Job, Shard
from core.webhooks import delivery
from tests.conftest import TENANT, AddJob, expire_lease
from tests.factories import clear_model_caches, create_evaluation, create_trained_model
from worker.metrics import BusyTime, WorkerCollector

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
        match = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z_]+="[^"]*",?)+\})?) (\S+)', line)
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


def test_metrics_show_running_jobs_with_their_losses(client: TestClient, add_job: AddJob) -> None:
    job, waiting = add_job(), add_job()
    with write() as session:
        claimed = jobs.claim(session, job.id, "w/h:1")
        assert claimed is not None
        for step in (10, 20):
            events = [NewEvent("metrics", {"generator_loss": step / 8}, step)]
            progress = {"percent": 25.0, "rate": 4.5}
            beat = Heartbeat("training", step, progress=progress, events=events)
            jobs.heartbeat(session, claimed[0], beat)
    values = get_metrics(client)
    labels = f'job_id="{job.id}",kind="training"'
    assert values[f"semblance_job_step{{{labels}}}"] == 20
    assert values[f"semblance_job_steps_per_second{{{labels}}}"] == 4.5
    assert values[f"semblance_job_progress_ratio{{{labels}}}"] == 0.25
    assert values[f'semblance_job_metric{{job_id="{job.id}",name="generator_loss"}}'] == 2.5
    assert not any(waiting.id in name for name in values)


def test_metrics_count_losses_of_workers_by_reason(client: TestClient, add_job: AddJob) -> None:
    def losses() -> dict[str, float]:
        name = "semblance_job_losses_total"
        values = get_metrics(client)
        reasons = ("worker_lost", "interrupted", "device_lost")
        return {reason: values[f'{name}{{reason="{reason}"}}'] for reason in reasons}

    assert losses() == {"worker_lost": 0, "interrupted": 0, "device_lost": 0}
    expired, interrupted, *broken = (add_job() for _ in range(4))
    with write() as session:
        claims = {}
        for job in (expired, interrupted, *broken):
            claimed = jobs.claim(session, job.id, "w/h:1")
            assert claimed is not None
            claims[job.id] = claimed[0]
        expire_lease(session, expired)
    for _ in range(2):  # the second time, nothing is lost
        with write() as session:
            jobs.sweep(session)
    with write() as session:
        jobs.release_as_lost(session, claims[interrupted.id])
        for job in broken:
            jobs.release_from_lost_device(session, claims[job.id])
    assert losses() == {"worker_lost": 1, "interrupted": 1, "device_lost": 2}


def test_metrics_show_the_scores_of_the_newest_models(client: TestClient) -> None:
    create_evaluation("mdl_1", "poor", detection_auc=0.9)
    create_evaluation("mdl_1", "good", detection_auc=0.6)
    create_evaluation("mdl_2", "poor")
    values = get_metrics(client)
    scores = {name: value for name, value in values.items() if "semblance_model_score" in name}
    assert scores == {'semblance_model_score{model_id="mdl_1",score="detection_auc"}': 0.6}
    assert values['semblance_models_evaluated{quality="poor"}'] == 2
    assert values['semblance_models_evaluated{quality="good"}'] == 1


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
    # Figures of the whole service come from one place, so that sums over processes are right.
    assert not any(name.startswith(("semblance_jobs", "semblance_job_")) for name in values)


def names_of_metrics(client: TestClient) -> set[str]:
    """Return the names of the metrics of the API and of a worker."""
    worker = CollectorRegistry()
    worker.register(WorkerCollector("cpu", lambda: True, BusyTime()))
    worker.register(delivery.attempts)
    texts = client.get("/metrics").text, generate_latest(worker).decode()
    return {name for text in texts for name in re.findall(r"^# TYPE (semblance_\S+)", text, re.M)}


def test_the_documentation_lists_exactly_the_metrics_that_exist(client: TestClient) -> None:
    existing = names_of_metrics(client)
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
    for invalid in ("2020-01-01T00:00:00", "0", "1e9", "-1.2e-07"):
        assert client.get(f"/v1/usage?since={invalid}").status_code == 422


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


def test_ended_jobs_are_counted_once_a_minute_and_live_ones_at_each_scrape(
    client: TestClient, add_job: AddJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts(values: dict[str, float]) -> tuple[float, ...]:
        name = 'semblance_jobs{{queue="training",state="{}"}}'
        return tuple(values[name.format(state)] for state in ("queued", "cancelled"))

    first, second = add_job(), add_job()
    with write() as session:
        jobs.cancel(session, TENANT, first.id)
    assert counts(get_metrics(client)) == (1, 1)
    with write() as session:
        jobs.cancel(session, TENANT, second.id)
    assert counts(get_metrics(client)) == (0, 1)
    monkeypatch.setattr(metrics, "ENDED_COUNTS_S", 0.0)
    assert counts(get_metrics(client)) == (0, 2)


def test_alert_rules_refer_to_existing_metrics_and_runbooks(client: TestClient) -> None:
    rules = (ROOT / "deploy" / "alerts.yml").read_text()
    existing = names_of_metrics(client)
    for name in set(re.findall(r"semblance_[a-z_]+", rules)):
        assert name in existing, name
    runbooks = (ROOT / "docs" / "operations.md").read_text()
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"`{alert}`" in runbooks, alert


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool of Prometheus")
def test_alerts_fire_as_their_tests_say() -> None:
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    subprocess.run(command, cwd=ROOT / "deploy", check=True)
