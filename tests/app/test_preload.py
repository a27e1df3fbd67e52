"""Imports in the background after startup."""

import gc
import os
import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from app import preload
from core.settings import Settings
from tests.processes import eventually


def test_preloaded_modules_are_excluded_from_garbage_collection(
    anonymous: TestClient,
) -> None:
    eventually(preload.is_loaded)
    assert {"torch", "modalities.image.sampler", "modalities.tabular.sampler"} <= set(sys.modules)
    assert gc.get_freeze_count() > 100_000
    assert gc.get_threshold()[0] == preload.NEW_OBJECTS


@pytest.mark.slow
def test_an_api_that_does_not_sample_does_not_load_torch(configured: Settings) -> None:
    program = """
import sys
from starlette.testclient import TestClient
from app.main import create_app
from core import api_keys
from core.database import write

with write() as session:
    api_keys.add(session, api_keys.DEFAULT_TENANT, "sem_x", name="x", scopes=api_keys.SCOPES)
with TestClient(create_app(), base_url="http://localhost") as client:
    client.headers["Authorization"] = "Bearer sem_x"
    dataset = client.post("/v1/datasets", json={"builtin": "digits"}).json()["id"]
    for path in ("", "/jobs", "/models", "/datasets", "/events", "/usage", "/workers", "/presets"):
        assert client.get(f"/v1{path}").status_code == 200, path
    body = {"kind": "training", "dataset": dataset, "preset": "fast"}
    assert client.post("/v1/jobs", json=body).status_code == 202
    assert client.get("/readyz").status_code == 200
assert "torch" not in sys.modules
"""
    environment = os.environ | {"SEMBLANCE_PRELOAD": "false"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
