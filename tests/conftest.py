"""Fixtures for a real database and real files, in one folder for each test.

SQLite by default; SEMBLANCE_TEST_DATABASE_URL names a PostgreSQL server instead, on which each
process that runs tests has a database, emptied after each of them. SEMBLANCE_TEST_BROKER_URL names
a Redis for the tests that start servers.
"""

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient
from xdist.scheduler import LoadFileScheduling

from core import api_keys, database, jobs, settings, storage
from core.datasets import reader_slots
from core.ids import new_id
from core.jobs import NewJob
from core.migration import migrate
from core.settings import Settings
from core.tables import Dataset, DatasetState, Job, JobKind, Tenant
from tests.loopback import connect_to_loopback_only
from tests.servers import SERVER, create_database, drop_database, drop_served, empty_database

TENANT = api_keys.DEFAULT_TENANT
KEY = "sem_test"

# These start servers and workers as processes. They run first and on one core: they wait more than
# they compute, and two of them at a time would slow each other down.
PROCESSES = (
    *("tests/chaos/", "tests/client/test_guides.py", "tests/client/test_survival.py"),
    *("tests/contract/test_generators.py", "tests/contract/test_proxy.py"),
    *("tests/dashboard/", "tests/deploy/test_image.py", "tests/gpu/", "tests/test_end_to_end.py"),
)
# Then the longest files, so that no core waits for one of them at the end.
LONG = (
    *("tests/core/jobs/simulation/", "tests/job_kinds/", "tests/models/"),
    "tests/modalities/test_contract.py",
)
# A test that requests one of these fixtures uses the database, the storage or the broker.
SERVER_FIXTURES = {"database_url", "storage", "new_broker"}

# Garbage collections visit each new object several times, and in the end all modules and tests. At
# the default of 700 new objects for each collection, this is an eighth of the time of many tests.
gc.set_threshold(10_000)

connect_to_loopback_only()


def pytest_collection_finish() -> None:
    """Exclude the modules and the collected tests from garbage collection."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers `processes` and `servers`, and sort the files for a parallel run."""
    for item in items:
        starts_processes = item.nodeid.startswith(PROCESSES)
        if starts_processes:
            item.add_marker(pytest.mark.processes)
        if starts_processes or not SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
    order = (*PROCESSES, *LONG)
    items.sort(
        key=lambda item: next(
            (n for n, path in enumerate(order) if item.nodeid.startswith(path)), len(order)
        )
    )


class Scheduling(LoadFileScheduling):
    """Distribution by file in the order above, with all tests that start processes as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return "processes" if nodeid.startswith(PROCESSES) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Return the scheduler for `--dist loadfile`; xdist's own would sort files by their tests."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a database without rows: a file to copy, or a database on the server."""
    if SERVER is not None:
        name = f"semblance_test_{uuid4().hex[:12]}"
        url = create_database(name)
        migrate(url)
        yield url
        drop_database(name)
        return
    url = f"sqlite:///{tmp_path_factory.mktemp('template') / 'empty.db'}"
    migrate(url)
    with create_engine(url).connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=DELETE")  # one file, easy to copy
    yield url


@pytest.fixture
def database_url(migrated_database: str, tmp_path: Path) -> Iterator[str]:
    if SERVER is not None:
        yield migrated_database
        empty_database(migrated_database)
        return
    path = tmp_path / "data" / "semblance.db"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(migrated_database.removeprefix("sqlite:///"), path)
    yield f"sqlite:///{path}"


@pytest.fixture(scope="session", autouse=True)
def served_databases() -> Iterator[None]:
    yield
    drop_served()


def clear_caches() -> None:
    for cached_function in (settings.get_settings, database.get_engine, storage.get_storage):
        cached_function.cache_clear()


@pytest.fixture
def configured(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Return settings for this test alone, with short intervals; create the default tenant."""
    environment = {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": database_url,
        "LEASE_SECONDS": "30",
        "HEARTBEAT_SECONDS": "0.3",
        "SWEEP_SECONDS": "0.3",
        "POLL_SECONDS": "0.3",
        "REPORT_SECONDS": "0.1",
        "MIN_FREE_DISK_BYTES": "0",
        "AUTO_EVALUATE": "false",  # it adds a second job to each; its own tests enable it
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"SEMBLANCE_{name}", value)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # the application replaces it
    monkeypatch.setattr(reader_slots, "turns", reader_slots.Turns())  # no tenants of other tests
    clear_caches()
    with database.write() as session:
        session.add(Tenant(id=TENANT, name="default"))
    yield settings.get_settings()
    database.get_engine().dispose()
    clear_caches()


@pytest.fixture(scope="session")
def application() -> FastAPI:
    """Return the application, whose routes are the same for all tests and slow to build."""
    from app.main import create_app  # many tests need no application

    return create_app()


@pytest.fixture
def anonymous(
    configured: Settings, application: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """Run the application in this process, on the database and files of this test."""
    from tests.factories import clear_model_caches

    clear_model_caches()
    application.middleware_stack = None  # build it again: it belongs to one event loop
    with TestClient(application, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    """Return a client with a key that has all scopes."""
    with database.write() as session:
        api_keys.add(session, TENANT, KEY, name="test", scopes=api_keys.SCOPES)
    anonymous.headers["Authorization"] = f"Bearer {KEY}"
    return anonymous


@pytest.fixture
def two_tenants(client: TestClient) -> TestClient:
    """Add a second tenant, `other`, whose key `sem_other` has all scopes, to the service."""
    with database.write() as session:
        session.add(Tenant(id="other", name="other"))
        session.flush()
        api_keys.add(session, "other", "sem_other", name="other", scopes=api_keys.SCOPES)
    return client


@pytest.fixture
def pets(client: TestClient) -> TestClient:
    """Return a client of a service that has an image model, `pets`."""
    from tests.factories import create_trained_model

    create_trained_model(client, "pets")
    return client


@pytest.fixture
def people(client: TestClient) -> TestClient:
    """Return a client of a service that has a tabular model, `people`."""
    from tests.factories import create_trained_model

    create_trained_model(client, "people")
    return client


@pytest.fixture
def dataset(configured: Settings) -> Dataset:
    """Create the row of a ready dataset that has no files."""
    with database.write() as session:
        row = Dataset(
            id=new_id("ds"),
            tenant_id=TENANT,
            name="garments",
            modality="image",
            state=DatasetState.READY,
        )
        session.add(row)
    return row


AddJob = Callable[..., Job]


@pytest.fixture
def add_job(dataset: Dataset) -> AddJob:
    def add(priority: str = "normal") -> Job:
        with database.write() as session:
            new = NewJob(
                JobKind.TRAINING, "shoes", dataset.id, {}, {}, queue="training", priority=priority
            )
            return jobs.create(session, TENANT, new)

    return add


def reload(job: Job) -> Job:
    with database.read() as session:
        return session.get_one(Job, job.id)


def expire_lease(session: Session, job: Job) -> None:
    """Set the end of the lease to the past, as if the worker had stopped."""
    session.execute(
        text("UPDATE jobs SET lease_until = :then WHERE id = :id"),
        {"then": "2000-01-01 00:00:00.000000", "id": job.id},
    )
