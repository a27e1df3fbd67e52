"""Lists of many rows: pages, filters and totals of datasets, jobs and models.

`python -m bench.lists [--rows 100000] [--database URL]` fills a new database (SQLite in a temporary
folder by default) and prints of each list the median, the median of this process's CPU
time, and the slowest, in milliseconds. It ends with status 1 if a median is above 50 ms.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, text
from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import make_engine, read
from core.datasets import repository
from core.ids import new_id
from core.listing import PageRequest
from core.migration import migrate
from core.tables import Dataset, DatasetState, Job, JobKind, JobState, Model, Tag, Tenant

TENANT = "bench"
BATCH = 1_000
TRIES = 15
MAX_MEDIAN_MS = 50


def fill(engine: Engine, rows: int) -> None:
    """Insert as many datasets, jobs and models as `rows`, each with a manifest of usual size."""
    manifest = {"labels": [{"name": str(i), "count": 100} for i in range(20)], "note": "x" * 2_000}
    with engine.begin() as connection:
        connection.execute(insert(Tenant).values(id=TENANT, name=TENANT))
    states, kinds = list(JobState), list(JobKind)
    for start in range(0, rows, BATCH):
        numbers = range(start, min(rows, start + BATCH))
        datasets, runs, models, tags = [], [], [], []
        for n in numbers:
            ids = {"tenant_id": TENANT, "name": f"set-{n % 1_000}"}
            dataset_id, job_id, model_id = new_id("ds"), new_id("job"), new_id("mdl")
            datasets.append(
                ids
                | {"id": dataset_id, "modality": "image" if n % 3 else "tabular"}
                | {"state": DatasetState.READY, "summary": manifest}
            )
            runs.append(
                ids
                | {"id": job_id, "kind": kinds[n % 4], "queue": "training"}
                | {"state": JobState.QUEUED if n % 20 == 0 else states[2 + n % 4]}
                | {"dataset_id": dataset_id, "request": {}, "resolved": manifest}
                | {"max_worker_losses": 3, "tags": {"team": str(n % 50)}}
            )
            models.append(
                ids
                | {"id": model_id, "version": n // 1_000 + 1, "modality": "image", "step": n}
                | {"dataset_id": dataset_id, "weights": {}, "manifest": manifest}
            )
            tags.append(
                {"resource_id": job_id, "key": "team", "value": str(n % 50), "tenant_id": TENANT}
            )
        with engine.begin() as connection:
            for table, values in ((Dataset, datasets), (Job, runs), (Model, models), (Tag, tags)):
                connection.execute(insert(table), values)
    # PostgreSQL's autovacuum does the same some minutes after so many rows were inserted.
    statement = "VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "ANALYZE"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


List = Callable[[Session], Any]


def cases(middle: str) -> Iterator[tuple[str, List]]:
    """Yield the lists; `middle` is the id of a job in the middle of all."""

    def page(function: Callable[..., Any], **options: Any) -> List:
        names = ("after", "order", "name", "tag")
        request = PageRequest(50, **{k: options.pop(k) for k in names if k in options})
        return lambda session: function(session, TENANT, request, **options)

    yield "datasets", page(repository.page)
    yield "datasets by name", page(repository.page, order="name")
    yield "datasets, modality", page(repository.page, modality="tabular")
    yield "datasets, state, modality", page(repository.page, state="ready", modality="image")
    yield "jobs", page(jobs.page)
    yield "jobs, middle page", page(jobs.page, after=middle)
    yield "jobs, state", page(jobs.page, state="failed")
    yield "jobs, state and kind", page(jobs.page, state="failed", kind="evaluation")
    yield "jobs, name", page(jobs.page, name="set-7")
    yield "jobs, prefix", page(jobs.page, name="set-9*")
    yield "jobs, tag", page(jobs.page, tag="team:7")
    yield "jobs, oldest first", page(jobs.page, order="created_at")
    yield "queued jobs with positions", _queued
    yield "models", page(model_registry.page)
    yield "models by name, descending", page(model_registry.page, order="-name")


def _queued(session: Session) -> None:
    rows = jobs.page(session, TENANT, PageRequest(50), state="queued").rows
    assert jobs.queue_positions(session, rows)  # noqa: S101 - the bench is useless without them


def measure(engine: Engine) -> list[str]:
    """Print the times of all lists; return the names of those that take too long."""
    slow = []
    with read(engine) as session:
        ids = sorted(session.scalars(select(Job.id)))
    for name, run in cases(ids[len(ids) // 2]):
        times, cpu = [], []
        for _ in range(TRIES):
            with read(engine) as session:
                started, cpu_started = time.perf_counter(), time.process_time()
                run(session)
                cpu.append(1_000 * (time.process_time() - cpu_started))
                times.append(1_000 * (time.perf_counter() - started))
        medians = (statistics.median(times), statistics.median(cpu))
        print(f"{name:30} {medians[0]:7.1f} {medians[1]:7.1f} {max(times):7.1f}", flush=True)
        if medians[0] > MAX_MEDIAN_MS:
            slow.append(name)
    return slow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-lists-") as folder:
        url = options.database or f"sqlite:///{Path(folder) / 'lists.db'}"
        os.environ["SEMBLANCE_DATABASE_URL"] = url
        migrate(url)
        engine = make_engine(url)
        started = time.process_time()
        fill(engine, options.rows)
        print(f"{options.rows} rows of each in {time.process_time() - started:.0f} CPU-seconds")
        print(f"{'list':30} {'median':>7} {'CPU':>7} {'slowest':>7}  (milliseconds)")
        slow = measure(engine)
        engine.dispose()
    if slow:
        sys.exit(f"Above {MAX_MEDIAN_MS} ms: {', '.join(slow)}.")


if __name__ == "__main__":
    main()
