"""Backup and restore of a data folder, while its server runs and a job is in progress."""

import filecmp
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from core import cli, jobs
from core.database import get_engine, read, write
from core.settings import Settings
from core.storage import get_storage
from core.tables import Base, Job, JobState
from tests.conftest import clear_caches, expire_lease
from tests.factories import clear_model_caches, create_trained_model
from tests.job_runs import create_training_job
from tests.servers import SERVER
from worker.job_runner import run_next

pytestmark = pytest.mark.skipif(SERVER is not None, reason="copies a SQLite database")
SAMPLES = "/v1/models/pets/samples?count=3&seed=5&format=npz"


def rows(database: Path) -> dict[str, list[object]]:
    with sqlite3.connect(database) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()  # noqa: S608
            for name in Base.metadata.tables
        }


def same_files(first: Path, second: Path) -> bool:
    names = [sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in (first, second)]
    return names[0] == names[1] and all(
        filecmp.cmp(first / name, second / name, shallow=False) for name in names[0]
    )


def test_a_restored_server_has_the_same_rows_files_and_samples(
    client: TestClient, configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_trained_model(client, "pets")
    samples = client.get(SAMPLES).content
    job_id = create_training_job(client)
    with write() as session:
        assert jobs.claim(session, job_id, "w/h:1") is not None
    data, backup, restored = configured.data_dir, tmp_path / "backup", tmp_path / "restored"
    get_storage().put("t/default/datasets/old", b"old")
    assert cli.main(["backup", str(backup), "--data", str(data)]) == 0
    get_storage().delete(["t/default/datasets/old"])  # the second copy has it neither
    assert cli.main(["backup", str(backup), "--data", str(data)]) == 0
    assert cli.main(["restore", str(backup), "--data", str(restored)]) == 0
    assert rows(restored / "semblance.db") == rows(data / "semblance.db")
    assert same_files(restored / "objects", data / "objects")

    get_engine().dispose()
    monkeypatch.setenv("SEMBLANCE_DATA_DIR", str(restored))
    monkeypatch.setenv("SEMBLANCE_DATABASE_URL", f"sqlite:///{restored / 'semblance.db'}")
    clear_caches()
    clear_model_caches()
    assert client.get(SAMPLES).content == samples
    with write() as session:
        expire_lease(session, session.get_one(Job, job_id))
    assert run_next(["training"])
    with read() as session:
        assert session.get_one(Job, job_id).state is JobState.SUCCEEDED
        assert session.execute(text("PRAGMA integrity_check")).scalar() == "ok"


def test_a_restore_never_overwrites(tmp_path: Path, configured: Settings) -> None:
    data, backup = str(configured.data_dir), str(tmp_path / "backup")
    assert cli.main(["restore", backup, "--data", str(tmp_path / "new")]) == 1
    assert cli.main(["backup", str(tmp_path / "none"), "--data", str(tmp_path / "new")]) == 1
    assert cli.main(["backup", backup, "--data", data]) == 0
    assert cli.main(["restore", backup, "--data", data]) == 1
