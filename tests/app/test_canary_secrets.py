"""Secrets and customers' values appear in no log, column, error or list of processes."""

import logging
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from core.database import read
from core.logging_config import JsonFormatter
from core.settings import Settings
from core.tables import Base
from tests.processes import serving

CANARY = "canary-0f3a9c"


def stored_texts() -> str:
    with read() as session:
        rows = [
            row for table in Base.metadata.sorted_tables for row in session.execute(select(table))
        ]
    return "\n".join(str(tuple(row)) for row in rows)


def test_secrets_and_contents_of_files_are_neither_logged_nor_stored(
    client: TestClient, configured: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret_key = f"sem_{CANARY}-key"
    texts: list[str] = []

    def send(method: str, path: str, **options: Any) -> None:
        response = client.request(method, path, **options)
        texts.append(response.text + str(response.headers))

    send("GET", "/v1/jobs", headers={"Authorization": f"Bearer {secret_key}"})
    send("GET", f"/v1/jobs?access_token={CANARY}-query")
    send("POST", "/v1/login", json={"code": f"{CANARY}-code"})
    send("POST", "/v1/keys", json={"name": "x", "scopes": [f"{CANARY}-scope"]})
    bad_table = f"a,b\n1,{CANARY}-cell\n".encode() + b"\xff\xfe\x00" * 50
    send("POST", "/v1/datasets", files={"file": ("people.csv", bad_table)})
    send("POST", "/v1/datasets", files={"file": ("pets.zip", b"PK\x03\x04" + CANARY.encode())})
    url = f"https://user:{CANARY}-password@192.0.2.1/x"
    send("POST", "/v1/webhooks", json={"url": url})
    job = {"kind": "generation", "model": "x", "count": 1, "webhook": {"url": url}}
    send("POST", "/v1/jobs", json=job)
    send("POST", "/v1/datasets", json={"url": f"https://192.0.2.1/x.csv?token={CANARY}-token"})
    created = client.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()

    formatter = JsonFormatter()
    logged = "\n".join(formatter.format(record) for record in caplog.records)
    # The test's own HTTP client logs the URLs that it requests.
    logged = "\n".join(line for line in logged.splitlines() if '"httpx' not in line)
    for where, text in {"log": logged, "row": stored_texts()}.items():
        assert CANARY not in text, where
        assert created["key"] not in text, where
    answered = "\n".join(texts)
    for part in ("key", "code", "scope", "cell", "password", "token"):
        assert f"{CANARY}-{part}" not in answered, part


@pytest.mark.slow
def test_secrets_of_the_settings_are_in_no_log_and_no_list_of_processes(tmp_path: Any) -> None:
    key = f"sem_{CANARY}{'x' * 40}"
    settings = {"SEMBLANCE_ADMIN_KEY": key, "SEMBLANCE_SIGNING_SECRET": f"{CANARY}-signing"}
    with serving(tmp_path / "data", **settings) as server:
        while not server.is_ready():
            pass
        commands = [" ".join(process.cmdline()) for process in server.descendants()]
        server.stop()
        assert server.process.stdout is not None
        printed = server.process.stdout.read()
    assert CANARY not in "\n".join([*commands, server.log(), printed])
