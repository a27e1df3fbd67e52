"""A model that has not learned is not handed out."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from models.tabular.sampling import TableSampler
from tests.factories import create_dataset
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv
from worker.job_runner import run_next


def test_a_model_that_makes_one_row_fails_its_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = TableSampler.sample

    def collapsed(self: TableSampler, seed: int, items: Any, given: Any = None) -> Any:
        return draw(self, seed, 0 * items, given)

    monkeypatch.setattr(TableSampler, "sample", collapsed)
    dataset = create_dataset(make_people_csv(), "people.csv")
    body = {
        "kind": "training",
        "dataset": dataset,
        "hyperparameters": TINY_TABLE_CONFIG,
        "budget": {"steps": 2},
    }
    job_id = client.post("/v1/jobs", json=body).json()["id"]
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "collapsed")
