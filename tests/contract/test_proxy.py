"""The service behind nginx with TLS, configured as `deploy/nginx.conf` says.

Debian's package `nginx` is enough; its own service need not run.
"""

import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import create_certificate
from tests.dashboard.conftest import CHROMIUM
from tests.processes import Server, eventually, free_port, serving
from tests.uploads import make_people_csv

with suppress(ImportError):
    from playwright.sync_api import sync_playwright

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
PAGE_PORT = free_port()
PAGE_ORIGIN = f"http://127.0.0.1:{PAGE_PORT}"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx"),
]


@dataclass
class Proxy:
    """nginx in a folder of its own, as a process without a daemon."""

    folder: Path
    port: int
    server: Server
    certificate: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def start(self) -> None:
        assert NGINX is not None
        command = [NGINX, "-p", str(self.folder), "-c", "nginx.conf", "-e", "error.log"]
        self.process = subprocess.Popen(command)
        eventually(self.is_ready)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=30)

    def is_ready(self) -> bool:
        with suppress(httpx.TransportError), self.client() as client:
            return client.get("/readyz").status_code == 200
        return False

    def client(self) -> httpx.Client:
        key = (self.server.folder / "admin.key").read_text().strip()
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"},
            verify=ssl.create_default_context(cafile=str(self.certificate)),
            timeout=120,
        )


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    certificate, private = create_certificate(folder, "localhost")
    settings = {
        "SEMBLANCE_TRUSTED_PROXIES": '["127.0.0.1"]',
        "SEMBLANCE_CORS_ALLOWED_ORIGINS": json.dumps([PAGE_ORIGIN]),
    }
    with serving(folder / "data", **settings) as server:
        site = EXAMPLE.read_text()
        for example, here in {
            "127.0.0.1:8000": f"127.0.0.1:{server.port}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "semblance.example.com;": "localhost;",
            "/etc/ssl/certs/semblance.pem": str(certificate),
            "/etc/ssl/private/semblance.key": str(private),
        }.items():
            assert example in site
            site = site.replace(example, here)
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid;\n"
            f"events {{ worker_connections 256; }}\n"
            f"http {{ access_log off; {temporary}\n{site}\n}}\n"
        )
        eventually(server.is_ready)
        started = Proxy(folder, port, server, certificate)
        started.start()
        yield started
        started.stop()


def test_absolute_addresses_are_those_of_the_proxy(proxy: Proxy) -> None:
    with proxy.client() as client:
        link = client.post("/v1/links", json={"path": "/v1/datasets"}).json()["url"]
    assert link.startswith(f"{proxy.url}/v1/datasets?")


def test_ten_uploads_at_a_time_all_become_datasets(proxy: Proxy) -> None:
    table = make_people_csv(4_000)

    def upload(number: int) -> Any:
        with proxy.client() as client:
            files = {"file": (f"people-{number}.csv", table)}
            return client.post("/v1/datasets", files=files).raise_for_status().json()

    with ThreadPoolExecutor(10) as pool:
        datasets = list(pool.map(upload, range(10)))
    assert {(d["state"], d["train_items"]) for d in datasets} == {("ready", 4_000)}
    assert len({d["id"] for d in datasets}) == 10


def test_a_stream_goes_on_without_a_gap_after_the_proxy_was_restarted(proxy: Proxy) -> None:
    with proxy.client() as client:
        dataset = client.post("/v1/datasets", json={"builtin": "digits"}).json()["id"]

    def create_and_cancel() -> str:
        body = {"kind": "training", "dataset": dataset}
        with proxy.client() as client:
            job: str = client.post("/v1/jobs", json=body).raise_for_status().json()["id"]
            client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        return job

    def read(after: int, until_job: str) -> list[tuple[int, str]]:
        """Return the ids and jobs of the events up to the last one of a job."""
        events: list[tuple[int, str]] = []
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with proxy.client() as client, client.stream("GET", "/v1/events", headers=headers) as s:
            for line in s.iter_lines():
                event = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if "id" in event:  # progress has none
                    events.append((event["id"], event["job"]))
                    if event["job"] == until_job and event["data"].get("state") == "cancelled":
                        break
        return events

    first = create_and_cancel()
    before = read(0, first)
    # The connection breaks off while the client reads.
    broken: list[object] = []

    def follow() -> None:
        try:
            broken.append(read(before[-1][0], "none"))
        except httpx.TransportError as error:
            broken.append(error)

    follower = threading.Thread(target=follow)
    follower.start()
    proxy.stop()
    proxy.start()
    follower.join(timeout=60)
    assert broken
    second = create_and_cancel()
    after = read(before[-1][0], second)
    with proxy.client() as client:
        stored = client.get("/v1/events?limit=200").json()["data"]
    assert [event for event, _ in before + after] == [event["id"] for event in stored]


def test_a_page_of_another_origin_reads_and_a_third_origin_does_not(
    proxy: Proxy, tmp_path: Path
) -> None:
    ask = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    with proxy.client() as client:
        allowed = client.options("/v1/datasets", headers={"Origin": PAGE_ORIGIN} | ask)
        refused = client.options("/v1/datasets", headers={"Origin": "https://evil.example"} | ask)
    assert allowed.headers["access-control-allow-origin"] == PAGE_ORIGIN
    assert "access-control-allow-origin" not in refused.headers
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH: only the headers were checked")
    (tmp_path / "index.html").write_text("<title>page</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    pages = ThreadingHTTPServer(("127.0.0.1", PAGE_PORT), handler)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    key = (proxy.server.folder / "admin.key").read_text().strip()
    program = """async ([url, key]) => {
        const headers = {Authorization: "Bearer " + key};
        const response = await fetch(url + "/v1/keys/self", {headers});
        const name = (await response.json()).name;
        return [response.status, name, response.headers.get("X-Request-ID")];
    }"""
    try:
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
            page = browser.new_context(ignore_https_errors=True).new_page()
            page.goto(PAGE_ORIGIN)
            status, name, request_id = page.evaluate(program, [proxy.url, key])
            browser.close()
    finally:
        pages.shutdown()
        pages.server_close()
    assert (status, name) == (200, "admin")
    assert request_id.startswith("req_")
