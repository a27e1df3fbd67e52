"""The dashboard for Grafana: a real Prometheus answers each of its queries with a series."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from starlette.testclient import TestClient

from core import jobs
from core.database import write
from core.jobs import Heartbeat, NewEvent
from core.metrics import PoolCollector
from core.webhooks import delivery
from tests.conftest import AddJob
from tests.factories import create_evaluation
from tests.processes import eventually, free_port
from tests.uploads import upload_part
from worker.metrics import BusyTime, WorkerCollector

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "semblance.json"
CONFIG = """
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
  - job_name: semblance
    metrics_path: /api
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: semblance-worker
    metrics_path: /worker
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_panels_do_not_overlap_and_every_metric_has_one() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        covered = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & covered, panel["title"]
        cells |= covered
    tables = (DASHBOARD.parents[2] / "docs" / "metrics.md").read_text().split("| question")[0]
    documented = set(re.findall(r"`(semblance_[a-z_]+)`", tables))
    shown = set(re.findall(r"semblance_[a-z_]+", " ".join(queries())))
    shown = {name.removesuffix("_bucket") for name in shown}
    assert shown <= documented
    assert documented - shown == {"semblance_job_step", "semblance_worker_busy"}


@contextmanager
def served(pages: dict[str, str]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(pages[self.path].encode())

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def add_running_job(add_job: AddJob) -> None:
    job = add_job()
    with write() as session:
        claimed = jobs.claim(session, job.id, "w/h:1")
        assert claimed is not None
        events = [NewEvent("metrics", {"generator_loss": 0.5}, 20)]
        beat = Heartbeat("training", 20, progress={"percent": 25.0, "rate": 4.5}, events=events)
        jobs.heartbeat(session, claimed[0], beat)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus")
def test_prometheus_answers_every_query_with_a_series(
    client: TestClient, add_job: AddJob, tmp_path: Path
) -> None:
    add_running_job(add_job)
    create_evaluation("mdl_1", "good", detection_auc=0.6)
    upload_id = client.post("/v1/uploads", json={"filename": "pets.zip"}).json()["id"]
    upload_part(client, upload_id, 1, b"PK")
    worker = CollectorRegistry()
    worker.register(WorkerCollector("cpu", lambda: True, BusyTime()))
    worker.register(delivery.attempts)
    worker.register(PoolCollector())
    ProcessCollector(registry=worker)
    client.get("/v1/jobs")
    pages = {"/api": client.get("/metrics").text, "/worker": generate_latest(worker).decode()}
    with served(pages) as scraped:
        (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=scraped))
        port = free_port()
        command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml"]
        command.append(f"--storage.tsdb.path={tmp_path}/data")
        command.append(f"--web.listen-address=127.0.0.1:{port}")
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"http://127.0.0.1:{port}/api/v1/query"
                eventually(lambda: len(ask(url, "count_over_time(up[5m]) >= 3")) == 2)
                results = {query: ask(url, query) for query in queries()}
            finally:
                process.terminate()
    assert [query for query, series in results.items() if not series] == []


def ask(url: str, query: str) -> list[dict[str, Any]]:
    query = query.replace("$__rate_interval", "5m")
    try:
        answer = httpx.get(url, params={"query": query}, timeout=30).json()
    except httpx.TransportError:  # it is starting
        return []
    if answer["status"] != "success":
        assert answer["errorType"] == "unavailable", answer
        return []
    series: list[dict[str, Any]] = answer["data"]["result"]
    return series
