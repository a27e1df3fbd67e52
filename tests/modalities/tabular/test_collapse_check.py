"""Check for collapsed models at the end of training."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from models.tabular.sampling import TableSampler
from tests.factories import create_dataset
from tests.tiny_configs import TINY_TABLE_CONFIG
from tests.uploads import make_people_csv
from worker.job_runner import run_next


def test_training_job_fails_when_the_model_samples_a_single_row(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = TableSampler.sample

    def sample_one_row(self: TableSampler, seed: int, items: Any, given: Any = None) -> Any:
        return sample(self, seed, 0 * items, given)

    monkeypatch.setattr(TableSampler, "sample", sample_one_row)
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
