"""A model that has not learned is not handed out."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from models.tables.sampling import RowSampler
from tests.app.conftest import upload
from tests.app.test_row_samples import TINY, people
from worker.run import run_next


def test_a_model_that_makes_one_row_fails_its_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = RowSampler.draw

    def collapsed(self: RowSampler, seed: int, items: Any, given: Any = None) -> Any:
        return draw(self, seed, 0 * items, given)

    monkeypatch.setattr(RowSampler, "draw", collapsed)
    created = upload(client, people(), "people.csv").json()
    body = {"kind": "training", "dataset": created["id"], "config": TINY, "budget": {"steps": 2}}
    job_id = client.post("/v1/jobs", json=body).json()["id"]
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "collapsed")
