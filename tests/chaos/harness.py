"""A server whose processes have the points of `failpoints.py`, and a judge for after the harm."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from semblance import Client
from sqlalchemy import Engine, text

from core.database import make_engine, read
from core.storage import ObjectCorrupted, Storage, StoredObject
from tests import job_invariants
from tests.chaos import failpoints
from tests.processes import Server, eventually, larger_parts, serving
from tests.tiny_configs import TINY_IMAGE_CONFIG

SLOWLY_TOLD = TINY_IMAGE_CONFIG | {"log_interval": 10}
ROOT = Path(__file__).parents[2]
QUICK = {
    "SEMBLANCE_LEASE_SECONDS": "4",  # a busy machine may keep a thread waiting for longer than 2 s
    "SEMBLANCE_HEARTBEAT_SECONDS": "0.4",
    "SEMBLANCE_SWEEP_SECONDS": "0.3",
    "SEMBLANCE_POLL_SECONDS": "0.5",
    "SEMBLANCE_STEP_TIMEOUT_SECONDS": "5",
    "SEMBLANCE_PUBLISH_TIMEOUT_SECONDS": "1",
    "SEMBLANCE_SHUTDOWN_GRACE_SECONDS": "5",
    "SEMBLANCE_WORKER_THREADS": "1",
}


@dataclass
class Disturbed:
    server: Server
    client: Client
    engine: Engine
    storage: Storage
    points: Path
    dataset: str
    model: str = ""

    def arm(self, point: str) -> None:
        (self.points / "armed" / point).touch()

    def disarm(self, point: str) -> None:
        (self.points / "armed" / point).unlink()

    def reached_at(self, point: str) -> float | None:
        path = self.points / "reached" / point
        return path.stat().st_mtime if path.exists() else None

    def train(self, steps: int = 40, *, every: int = 10, **options: Any) -> str:
        job = self.client.train(
            self.dataset,
            hyperparameters=SLOWLY_TOLD,
            budget={"steps": steps},
            checkpoint={"interval_steps": every},
            seed=1,
            **options,
        )
        return str(job["id"])

    def generate(self, count: int, shard_size: int, *, seed: int = 7) -> str:
        """From a model that is trained for the first one who asks."""
        if not self.model:
            trained = self.ended(self.train(steps=5))
            assert trained["state"] == "succeeded", trained["error"]
            self.model = trained["result"]["model"]
        body = {
            "kind": "generation",
            "model": self.model,
            "count": count,
            "shard_size": shard_size,
            "seed": seed,
            "format": "npz",
        }
        return str(self.client.request("POST", "/v1/jobs", json=body).json()["id"])

    def files(self, job_id: str) -> dict[str, str]:
        """The sha256 of each, without the manifest, which names the job."""
        rows = self.client.request("GET", f"/v1/jobs/{job_id}/artifacts").json()
        return {row["name"]: row["sha256"] for row in rows if row["name"] != "manifest.json"}

    def makers(self, job_id: str) -> set[int]:
        """The processes that make shards of the job."""
        with self.engine.connect() as connection:
            query = text("SELECT owner FROM shards WHERE job_id = :id AND state = 'running'")
            owners = connection.execute(query, {"id": job_id}).scalars().all()
        return {int(owner.rsplit(":", 1)[1]) for owner in owners}

    def ended(self, job_id: str, within: float = 60) -> dict[str, Any]:
        return eventually(
            lambda: (job := self.client.job(job_id))["terminal"] and job, within=within
        )

    def until_step(self, job_id: str, step: int) -> None:
        eventually(lambda: self.client.job(job_id)["progress"]["step"] >= step)

    def holder(self, job_id: str) -> int:
        """The process that runs the job."""

        def look() -> str | None:
            with self.engine.connect() as connection:
                query = text("SELECT owner FROM jobs WHERE id = :id")
                return connection.execute(query, {"id": job_id}).scalar()

        return int(eventually(look).rsplit(":", 1)[1])

    def states(self, job_id: str) -> list[str]:
        """All that it has been in, from the first."""
        url = f"/v1/jobs/{job_id}/events?type=state&limit=50"
        events = self.client.request("GET", url).json()["data"]
        return [event["data"]["state"] for event in events]

    def starts(self, job_id: str) -> list[float]:
        """When each attempt began, in seconds since 1970."""
        with self.engine.connect() as connection:
            query = text(
                "SELECT data, created_at FROM events"
                " WHERE job_id = :id AND type = 'state' ORDER BY id"
            )
            rows = connection.execute(query, {"id": job_id}).all()
        return [_seconds(when) for data, when in rows if "running" in str(data)]

    def repeated(self, job_id: str) -> int:
        """Steps from the newest checkpoint before the last attempt to where the one before got."""
        events = self.client.request("GET", f"/v1/jobs/{job_id}/events?limit=200").json()["data"]
        steps = [event["step"] or 0 for event in events if event["type"] == "metrics"]
        return max([0, *(a - b for a, b in pairwise(steps))])

    def judge(self) -> None:
        """What holds after everything: the tables, and a worker that is free."""
        with read(self.engine) as session:
            assert job_invariants.violations(session, self._is_stored) == []

    def _is_stored(self, stored: StoredObject) -> bool:
        try:
            self.storage.read(stored)
        except ObjectCorrupted:
            return False
        return True


def _seconds(when: Any) -> float:
    moment = datetime.fromisoformat(when) if isinstance(when, str) else when
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def prepared(folder: Path) -> Path:
    """The folder that goes to the front of PYTHONPATH."""
    for name in ("armed", "reached"):
        (folder / name).mkdir(parents=True)
    shutil.copy(failpoints.__file__, folder / "sitecustomize.py")
    return folder


def environment(points_folder: Path) -> dict[str, str]:
    path = [str(points_folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return QUICK | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


@contextmanager
def disturbed(folder: Path, clock: int | None = None, **options: str) -> Iterator[Disturbed]:
    where = folder / "points"
    if not where.exists():
        prepared(where)
    if clock is not None:
        (where / "clock").write_text(str(clock))
    data = folder / "data"
    url = larger_parts(data).get("SEMBLANCE_DATABASE_URL", f"sqlite:///{data / 'semblance.db'}")
    with serving(data, **environment(where) | options) as server:
        eventually(server.is_ready)
        engine = make_engine(url)
        try:
            with server.client() as client:
                storage = Storage.from_url((data / "objects").as_uri(), folder)
                dataset = client.create_builtin_dataset("digits")["id"]
                yield Disturbed(server, client, engine, storage, where, dataset)
        finally:
            engine.dispose()
