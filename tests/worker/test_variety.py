"""A model that has not learned is not handed out."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from models.tables.sampling import RowSampler
from tests.factories import a_dataset
from tests.tiny_configs import TINY_ROWS
from tests.uploads import people
from worker.run import run_next


def test_a_model_that_makes_one_row_fails_its_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = RowSampler.draw

    def collapsed(self: RowSampler, seed: int, items: Any, given: Any = None) -> Any:
        return draw(self, seed, 0 * items, given)

    monkeypatch.setattr(RowSampler, "draw", collapsed)
    dataset = a_dataset(people(), "people.csv")
    body = {
        "kind": "training",
        "dataset": dataset,
        "config": TINY_ROWS,
        "budget": {"steps": 2},
    }
    job_id = client.post("/v1/jobs", json=body).json()["id"]
    assert run_next(["training"])
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "collapsed")
