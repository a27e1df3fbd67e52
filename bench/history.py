"""Cost of frequent operations on a database with many old jobs.

`python -m bench.history [--jobs 0 100000] [--database URL]` fills a new database (SQLite in a
temporary folder by default) with each number of ended jobs in turn, and with a tenth as many models
and datasets. It prints of each operation the median, the median of this process's CPU time (on
SQLite, that is all of it), and the slowest, in milliseconds. The tests count the instructions of
the same operations (tests/core/test_cost_of_history.py).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Insert, String, cast, insert, literal, select, text, true

from core import evaluation, idempotency, jobs, model_registry, webhooks
from core.database import get_engine, read, write
from core.datasets import repository
from core.jobs import Heartbeat, NewJob
from core.listing import PageRequest
from core.migration import migrate
from core.settings import get_settings
from core.storage import get_storage
from core.tables import (
    Artifact,
    Base,
    Checkpoint,
    Dataset,
    DatasetState,
    Delivery,
    Event,
    IdempotencyKey,
    Job,
    JobKind,
    JobState,
    Model,
    Shard,
    ShardState,
    Tag,
    Tenant,
    Webhook,
)

TENANT = "bench"
BLOCK = 1_000  # jobs that are inserted one by one; the others are copies of them
COPIES = 50  # of the block in one transaction
EVALUATED = {
    "verdict": "good",
    "quality": "good",
    "reasons": [],
    "failed_criteria": [],
    "report": "a",
}
STEPS = 4  # checkpoints of a training job
TRIES = 40

# Tables in the order of their references, with the columns that differ from copy to copy. The first
# of them selects the rows of the block.
COPIED: dict[type[Base], tuple[str, ...]] = {
    Dataset: ("id",),
    Job: ("id", "dataset_id", "model_id"),
    Checkpoint: ("job_id", "id"),
    Shard: ("job_id", "id"),
    Tag: ("resource_id",),
    Artifact: ("job_id", "id", "key"),
    Model: ("job_id", "id", "name", "dataset_id"),
    Webhook: ("job_id", "id"),
    Delivery: ("job_id", "id"),
    IdempotencyKey: ("key",),
    Event: ("job_id",),
}


def fill(engine: Engine, n_jobs: int) -> None:
    """Insert `n_jobs` ended jobs with their rows, and one model and dataset for ten of them.

    A model and dataset that the database has lend their details, which responses show. Above 1,000,
    `n_jobs` is rounded down to thousands.
    """
    with write(engine) as session:
        session.merge(Tenant(id=TENANT, name=TENANT))
        session.flush()
        manifest = session.scalar(select(Model.manifest)) or {"training": {}, "note": "x" * 500}
        summary = session.scalar(select(Dataset.summary)) or {}
        session.add(
            Webhook(
                id="wh_all",
                tenant_id=TENANT,
                url="https://example.com",
                events=["job.failed"],
                secret="s",  # noqa: S106 - of no receiver
            )
        )
    rows: dict[type[Base], list[dict[str, Any]]] = {table: [] for table in COPIED}
    for n in range(min(n_jobs, BLOCK)):
        for table, values in _rows_of_job(n, manifest, summary):
            rows[table].append({"tenant_id": TENANT} | values)
    with engine.begin() as connection:
        for table, block in rows.items():
            connection.execute(insert(table), block)
    if n_jobs >= 2 * BLOCK:
        with _without_indexes(engine):
            for first in range(1, n_jobs // BLOCK, COPIES):
                last = min(first + COPIES, n_jobs // BLOCK) - 1
                with engine.begin() as connection:
                    if engine.dialect.name == "postgresql":  # the copied references are right
                        connection.execute(text("SET LOCAL session_replication_role = replica"))
                    for table, block in rows.items():
                        connection.execute(_copies(table, block, first, last))
    with engine.begin() as connection:  # as autovacuum and the workers do
        connection.execute(text("ANALYZE"))


@contextmanager
def _without_indexes(engine: Engine) -> Iterator[None]:
    """Create the indexes again at the end: that is faster than one row after the other."""
    # The rows of the block are found by these.
    needed = {"ix_events_job_id_id", "ix_webhooks_job_id", "ix_deliveries_job_id"}
    tables = [table.__table__ for table in COPIED]
    indexes = [each for table in tables for each in table.indexes if each.name not in needed]
    for index in indexes:
        index.drop(engine)
    yield
    for index in indexes:
        index.create(engine)


def _copies(table: type[Base], block: list[dict[str, Any]], first: int, last: int) -> Insert:
    """Return a statement that copies the block with the suffixes `.first` to `.last`."""
    numbers = select(literal(first).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < last))
    suffix = literal(".") + cast(numbers.c.n, String)
    columns = {name: c for name, c in table.__table__.c.items() if c.autoincrement is not True}
    names = COPIED[table]
    values = [column + suffix if name in names else column for name, column in columns.items()]
    is_in_block = columns[names[0]].in_({row[names[0]] for row in block})
    copies = select(*values).select_from(table).join(numbers, true())
    copies = copies.where(is_in_block, columns["tenant_id"] == TENANT)
    return insert(table).from_select(list(columns), copies)


def _rows_of_job(
    n: int, manifest: dict[str, Any], summary: dict[str, Any]
) -> Iterator[tuple[type, dict[str, Any]]]:
    """Yield the rows of the n-th old job, in the order of their references."""
    kinds, ends = list(JobKind), [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]
    kind = kinds[n // 10 % 4] if n % 10 else JobKind.TRAINING
    dataset_id, model_id, job_id = f"ds_{n // 10}", f"mdl_{n // 10}", f"job_{n}"
    fields: dict[str, Any]
    times = {name: _moment(n) for name in ("created_at", "started_at", "finished_at")}
    if n % 10 == 0:
        fields = {"name": f"set-{n}", "modality": "image", "state": DatasetState.READY}
        yield Dataset, {"id": dataset_id, "summary": summary} | fields
    yield (
        Job,
        times
        | {"id": job_id, "kind": kind, "queue": "training", "name": f"set-{n % 1_000}"}
        | {"state": ends[n % 3], "dataset_id": dataset_id, "model_id": model_id}
        | {
            "request": {},
            "resolved": {"modality": "image", "samples": 1_000, "note": "x" * 500},
            "result": EVALUATED if kind is JobKind.EVALUATION else None,
            "max_worker_losses": 3,
        }
        | {"usage": {"cpu_s": 1.0}, "orphans_removed_at": _moment(n)},
    )
    if kind is JobKind.TRAINING:
        for step in range(STEPS):
            fields = {"job_id": job_id, "fencing_token": 1, "step": step, "files": {}}
            yield Checkpoint, {"id": f"ckpt_{n}_{step}"} | fields
    if kind is JobKind.GENERATION:
        fields = {"job_id": job_id, "number": 0, "start": 0, "stop": 9, "state": ShardState.DONE}
        yield Shard, {"id": f"shard_{n}"} | fields
    yield Tag, {"resource_id": job_id, "key": "team", "value": str(n % 50)}
    fields = {"job_id": job_id, "name": "report.json", "media_type": "application/json"}
    yield Artifact, {"id": f"art_{n}", "key": job_id, "bytes": 1, "sha256": "0"} | fields
    if n % 10 == 0:
        fields = {"name": f"model-{n}", "version": 1, "modality": "image", "job_id": job_id}
        fields |= {"dataset_id": dataset_id, "step": 1}
        fields |= {"weights": {"key": job_id, "bytes": 1, "sha256": "0"}}
        yield Model, {"id": model_id, "manifest": manifest} | fields
        webhook = {"id": f"wh_{n}", "job_id": job_id, "url": "https://example.com"}
        yield Webhook, webhook | {"events": ["job.failed"], "secret": "s"}
        delivery = {"id": f"dlv_{n}", "webhook_id": "wh_all", "job_id": job_id, "type": "x"}
        yield Delivery, delivery | {"payload": "{}", "next_at": None}
        yield IdempotencyKey, {"key": f"key-{n}", "fingerprint": "f"}
    for name in ("queued", "running", "ended"):
        yield Event, {"job_id": job_id, "type": "state", "data": {"state": name}}


def _moment(n: int) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=n)


Operation = Callable[[int], Any]


def operations() -> dict[str, Operation]:
    """Return the operations by name; each takes a number that differs from call to call."""
    return {
        "model of a samples request": _find_model,
        "POST of a job": lambda _: _create(),
        "idempotency key": lambda n: idempotency.reserve(TENANT, f"new-{n}-{time.time()}", "f"),
        "job from claim to end": _run_job,
        "poll of an idle worker": lambda _: _poll(),
        "sweep": lambda _: _in_write(jobs.sweep),
        "orphaned files": lambda _: jobs.remove_orphans(get_storage()),
        "due webhook": lambda _: _in_read(
            lambda session: webhooks.outbox.next_due(session, busy_urls=[], busy_tenants=[])
        ),
        "poll of event streams": _poll_streams,
        "dataset to validate": lambda _: _in_write(repository.claim_validation),
        "report": _read_report,
        "page of jobs without a total": lambda _: _in_read(
            lambda session: jobs.page(session, TENANT, PageRequest(50), state="running")
        ),
        "deletion of a job": lambda _: _in_write(_delete_job),
        "deletion of a model": lambda n: _in_write(
            lambda s: model_registry.delete(s, s.get_one(Model, f"mdl_{n + 1}"))
        ),
        "deletion of a dataset": lambda n: _in_write(
            lambda s: repository.delete(s, TENANT, f"ds_{n + 1}")
        ),
    }


def _in_read(action: Callable[[Any], Any]) -> Any:
    with read() as session:
        return action(session)


def _in_write(action: Callable[[Any], Any]) -> Any:
    with write() as session:
        return action(session)


def _find_model(n: int) -> None:
    with read() as session:
        model = model_registry.get(session, TENANT, f"model-{10 * n}")
        evaluation.quality_of(session, model)


def _create() -> str:
    with write() as session:
        new = NewJob(JobKind.TRAINING, "new", "ds_0", {}, {}, queue="training")
        job = jobs.create(session, TENANT, new)
        jobs.queue_position(session, job)
        return job.id


def _run_job(_: int) -> None:
    job_id = _create()
    with write() as session:
        jobs.mark_notified(session, [job_id])
    with write() as session:
        claimed = jobs.claim_next(session, ["training"], "w/h:1")
        assert claimed is not None  # noqa: S101 - it was created above
    with write() as session:
        jobs.heartbeat(session, claimed[0], Heartbeat("training", 1))
    with write() as session:
        jobs.finish(session, claimed[0], result={})


def _poll() -> None:
    with write() as session:
        jobs.has_due_jobs(session, ["training"], 1.0)
        jobs.has_idle_shards(session, ["training"], 1.0)
        jobs.claim_any_shard(session, ["training"], "w/h:1")


def _poll_streams(n: int) -> None:
    with read() as session:
        jobs.latest_event_ids(session, [f"job_{n}"])
        jobs.latest_event_id_of_tenant(session, TENANT)
        jobs.running_jobs(session, [f"job_{n}"], [TENANT])


def _read_report(n: int) -> None:
    with read() as session:
        model = model_registry.get(session, TENANT, f"mdl_{n}")
        evaluation.latest(session, model)
        evaluation.latest(session, model, JobState.SUCCEEDED)
        evaluation.latest_of_models(session, [model])
        jobs.artifacts_of(session, TENANT, f"job_{n}")
        jobs.metrics(session, TENANT, f"job_{n}", points=100)
        jobs.checkpoints_of(session, TENANT, f"job_{n}")


def _delete_job(session: Any) -> None:
    new = NewJob(JobKind.TRAINING, "new", "ds_0", {}, {}, queue="training")
    job = jobs.create(session, TENANT, new)
    jobs.cancel(session, TENANT, job.id)
    jobs.delete(session, get_storage(), [job.id])


def measure(n_jobs: int, url: str) -> None:
    os.environ["SEMBLANCE_DATABASE_URL"] = url
    for cached in (get_settings, get_engine, get_storage):
        cached.cache_clear()
    migrate(url)
    fill(get_engine(), max(n_jobs, 10 * TRIES + 20))
    for name, run in operations().items():
        times, cpu = [], []
        for n in range(TRIES):
            started, cpu_started = time.perf_counter(), time.process_time()
            run(n)
            cpu.append(1_000 * (time.process_time() - cpu_started))
            times.append(1_000 * (time.perf_counter() - started))
        medians = f"{statistics.median(times):8.2f} {statistics.median(cpu):8.2f}"
        print(f"{n_jobs:9,} {name:32} {medians} {max(times):8.2f}", flush=True)
    get_engine().dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[0, 100_000])
    parser.add_argument("--database", action="append", help="URLs of empty databases, one a size.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEMBLANCE_DATA_DIR"] = folder
        print(f"{'jobs':>9} {'operation':32}   median      CPU  slowest, ms")
        for i, n_jobs in enumerate(options.jobs):
            default = f"sqlite:///{Path(folder) / str(n_jobs)}.db"
            measure(n_jobs, options.database[i] if options.database else default)


if __name__ == "__main__":
    main()
