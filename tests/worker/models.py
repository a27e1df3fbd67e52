"""Models to draw from, put into the tables as they were trained once, for all tests of a run."""

from typing import Any

import torch
from sqlalchemy import insert, select
from starlette.testclient import TestClient

from app.sampling.memory import get_memory
from app.sampling.sampler import get_sampler
from core.database import read, write
from core.storage import Stored, get_storage
from core.tables import Dataset, Job, Model
from tests.app.conftest import folders, upload
from tests.app.test_row_samples import TINY as TINY_ROWS
from tests.app.test_row_samples import people
from tests.tiny import TINY
from worker.run import run_next

LABELS = ("ant", "bee", "cat")
WANTED: dict[str, tuple[Any, ...]] = {
    "images": (lambda: folders(LABELS, 12), "pets.zip", "{}", TINY, 4),
    "rows": (lambda: people(), "people.csv", '{"target": "income"}', TINY_ROWS, 60),
}

Kept = tuple[list[tuple[Any, dict[str, Any]]], list[tuple[Stored, bytes]]]


def put(client: TestClient, kind: str) -> None:
    """The model `pets` of images, or `people` of rows."""
    torch.set_num_threads(1)
    get_sampler.cache_clear()
    get_memory.cache_clear()
    rows, files = _kept(client, kind)
    with read() as session:
        if session.scalar(select(Model.id).where(Model.kind == kind)) is not None:
            return  # trained here, a moment ago
    for stored, data in files:
        assert get_storage().put(stored.key, data) == stored
    with write() as session:
        for table, values in rows:
            session.execute(insert(table).values(**values))


_trained: dict[str, Kept] = {}


def _kept(client: TestClient, kind: str) -> Kept:
    if kind not in _trained:
        make, filename, meta, config, steps = WANTED[kind]
        dataset = upload(client, make(), filename, meta).json()
        body = {
            "kind": "training",
            "dataset": dataset["id"],
            "name": filename.split(".")[0],
            "config": config,
            "budget": {"steps": steps},
            "seed": 1,
        }
        posted = client.post("/v1/jobs", json=body)
        assert posted.status_code == 202, posted.text
        assert run_next(["training"])
        with read() as session:
            model = session.scalars(select(Model).where(Model.kind == kind)).one()
            job = session.get_one(Job, model.job_id)
            data = session.get_one(Dataset, model.dataset_id)
            rows = [
                (type(row), {c.key: getattr(row, c.key) for c in type(row).__mapper__.column_attrs})
                for row in (data, job, model)
            ]
        files = [Stored.from_dict(fields) for fields in (model.weights, *data.content.values())]
        _trained[kind] = (rows, [(stored, get_storage().read(stored)) for stored in files])
    return _trained[kind]
