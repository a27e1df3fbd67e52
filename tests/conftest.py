"""A real database, real files, one folder for each test.

SQLite by default; SEMBLANCE_TEST_DATABASE_URL names a PostgreSQL server instead, on which each
process that runs tests has a database, emptied after each of them. SEMBLANCE_TEST_BROKER_URL names
a Redis for the tests that start servers.
"""

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
from core.ids import new_id
from core.jobs import NewJob
from core.migration import migrate
from core.settings import Settings
from core.tables import Dataset, DatasetState, Job, JobKind, Tenant
from tests.servers import SERVER, drop_served, on_server, url_of

TENANT = api_keys.DEFAULT_TENANT
KEY = "sem_test"

# They start servers and workers as processes, and go first, one after the other on one core.
PROCESSES = ("tests/chaos/", "tests/test_end_to_end.py")
LONG = ("tests/core/jobs/simulation/",)
# Who asks for one of these touches the database, the storage or the broker.
OUTSIDE = {"database_url", "storage", "new_broker"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        starts_processes = item.nodeid.startswith(PROCESSES)
        if starts_processes:
            item.add_marker(pytest.mark.processes)
        if starts_processes or not OUTSIDE.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
    order = (*PROCESSES, *LONG)
    items.sort(
        key=lambda item: next(
            (n for n, path in enumerate(order) if item.nodeid.startswith(path)), len(order)
        )
    )


class Scheduling(LoadFileScheduling):
    """File by file in the order above; those that start processes count as one file."""

    def _split_scope(self, nodeid: str) -> str:
        return "processes" if nodeid.startswith(PROCESSES) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database without rows, to be copied: a file, or a template on the server."""
    if SERVER is None:
        path = tmp_path_factory.mktemp("template") / "empty.db"
        migrate(f"sqlite:///{path}")
        with create_engine(f"sqlite:///{path}").connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=DELETE")  # one file, easy to copy
        return str(path)
    name = f"semblance_template_{uuid4().hex[:12]}"
    on_server(f'CREATE DATABASE "{name}"')
    migrate(url_of(name))
    return name


@pytest.fixture
def database_url(empty_database: str, tmp_path: Path) -> Iterator[str]:
    if SERVER is None:
        path = tmp_path / "data" / "semblance.db"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(empty_database, path)
        yield f"sqlite:///{path}"
        return
    name = f"semblance_test_{uuid4().hex[:12]}"
    on_server(f'CREATE DATABASE "{name}" TEMPLATE "{empty_database}"')
    yield url_of(name)
    on_server(f'DROP DATABASE "{name}" WITH (FORCE)')


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
    """Settings for this test alone, with short intervals, and the default tenant."""
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
    clear_caches()
    with database.write() as session:
        session.add(Tenant(id=TENANT, name="default"))
    yield settings.get_settings()
    database.get_engine().dispose()
    clear_caches()


@pytest.fixture(scope="session")
def application() -> FastAPI:
    """Made once: its routes are the same for all tests, and are built at the first request."""
    from app.main import create_app  # many tests need no application

    return create_app()


@pytest.fixture
def anonymous(
    configured: Settings, application: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """The application in this process, on this test's database and files."""
    from tests.factories import clear_model_caches

    clear_model_caches()
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # the application replaces it
    application.middleware_stack = None  # build it again: it belongs to one event loop
    with TestClient(application, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    """With a key that may do everything."""
    with database.write() as session:
        api_keys.add(session, TENANT, KEY, name="test", scopes=api_keys.SCOPES)
    anonymous.headers["Authorization"] = f"Bearer {KEY}"
    return anonymous


@pytest.fixture
def dataset(configured: Settings) -> Dataset:
    """A row of a ready dataset; there is nothing behind it."""
    with database.write() as session:
        row = Dataset(id=new_id("ds"), tenant_id=TENANT, name="garments", state=DatasetState.READY)
        session.add(row)
    return row


AddJob = Callable[..., Job]


@pytest.fixture
def add_job(dataset: Dataset) -> AddJob:
    def add(priority: str = "normal") -> Job:
        with database.write() as session:
            new = NewJob(JobKind.TRAINING, "shoes", dataset.id, {}, {}, priority=priority)
            return jobs.create(session, TENANT, new)

    return add


def reload(job: Job) -> Job:
    with database.read() as session:
        return session.get_one(Job, job.id)


def expire_lease(session: Session, job: Job) -> None:
    """As if the worker had been silent for longer than its lease."""
    session.execute(
        text("UPDATE jobs SET lease_until = :then WHERE id = :id"),
        {"then": "2000-01-01 00:00:00.000000", "id": job.id},
    )
