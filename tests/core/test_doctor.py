"""`semblance-server doctor`: what is wrong, how to mend it, and the exit code."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core.doctor import Result, examine
from core.settings import Settings
from tests.processes import eventually, free_port


def results_of(settings: Settings, **changed: object) -> dict[str, Result]:
    fields = {name: getattr(settings, name) for name in ("data_dir", "database_url", "storage_url")}
    examined = Settings(**fields | {"device": "cpu", "min_free_disk_bytes": 0} | changed)
    return {result.name: result for result in examine(examined)}


def test_a_service_that_has_what_it_needs_passes_every_check(configured: Settings) -> None:
    results = results_of(configured)
    assert set(results) == {
        *("disk", "object store", "database", "schema", "clock", "broker", "device"),
    }
    assert [r for r in results.values() if not r.is_ok] == []


def test_a_database_that_does_not_answer_is_named_without_its_password(
    configured: Settings,
) -> None:
    url = f"postgresql+psycopg://user:secret@127.0.0.1:{free_port()}/data"
    results = results_of(configured, database_url=url)
    assert not results["database"].is_ok
    assert "refused" in results["database"].message
    assert "SEMBLANCE_DATABASE_URL" in results["database"].message
    assert "secret" not in results["database"].message
    assert "schema" not in results  # nothing more can be said


def test_a_database_without_the_newest_tables_must_be_migrated(
    configured: Settings, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    assert "does not exist" in results_of(configured, database_url=url)["database"].message
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        for version, remedy in (("0000", "migrate"), ("9999", "Install")):
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES (?)", [version])
            connection.commit()
            schema = results_of(configured, database_url=url)["schema"]
            assert not schema.is_ok
            assert remedy in schema.message


def test_a_folder_that_cannot_be_written_and_a_full_disk_are_reported(
    configured: Settings,
) -> None:
    # Nobody, not even the superuser, can create a folder there.
    results = results_of(
        configured, storage_url="file:///proc/semblance", min_free_disk_bytes=2**60
    )
    assert not results["object store"].is_ok
    assert "SEMBLANCE_STORAGE_URL" in results["object store"].message
    assert not results["disk"].is_ok


def test_a_stopped_broker_ends_with_exit_code_1(configured: Settings, tmp_path: Path) -> None:
    socket = tmp_path / "broker.sock"
    environment = os.environ | {
        "SEMBLANCE_BROKER_URL": f"redis+socket://{socket}",
        "SEMBLANCE_DEVICE": "cpu",
    }

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "core.cli", "doctor"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    if (binary := shutil.which("redis-server")) is not None:
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
        broker = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        try:
            eventually(socket.exists)
            assert run().returncode == 0
        finally:
            broker.terminate()
            broker.wait()
    stopped = run()
    assert stopped.returncode == 1
    (line,) = [line for line in stopped.stdout.splitlines() if line.startswith("FAIL")]
    assert "broker" in line
    assert "SEMBLANCE_BROKER_URL" in line


@pytest.mark.slow
def test_a_device_that_this_machine_lacks_is_reported(configured: Settings) -> None:
    device = results_of(configured, device="cuda:99")["device"]
    assert not device.is_ok
    assert "SEMBLANCE_DEVICE" in device.message
