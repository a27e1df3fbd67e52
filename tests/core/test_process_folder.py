"""Temporary files do not remain when their process ends or is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core import process_folder
from core.settings import Settings, get_settings
from core.storage import Storage, get_storage

COPY = """
import os, sys, time
from core import process_folder
(process_folder.get() / "copy").write_text("data of a customer")
if sys.argv[1] == "fork" and os.fork() == 0:
    sys.exit()
os.wait() if sys.argv[1] == "fork" else None
print("stored", flush=True)
sys.stdin.read()
"""


def copy_data(how: str = "") -> "subprocess.Popen[str]":
    """Start a process that has a temporary file until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", COPY, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "stored\n"
    return process


def copies(scratch: Path) -> list[Path]:
    return list(scratch.glob("tmp_*/copy"))


@pytest.mark.parametrize("how", ["", "fork"])
def test_the_folder_of_a_process_remains_until_its_end(configured: Settings, how: str) -> None:
    process = copy_data(how)
    process_folder.remove_leftovers(configured.scratch)
    assert len(copies(configured.scratch)) == 1
    process.communicate("")
    assert list(configured.scratch.glob("tmp_*")) == []


def test_the_folder_of_a_killed_process_is_removed_at_once(configured: Settings) -> None:
    process = copy_data()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(copies(configured.scratch)) == 1
    own = process_folder.get()
    process_folder.remove_leftovers(configured.scratch)
    assert list(configured.scratch.iterdir()) == [own]


def test_an_api_removes_what_a_killed_one_has_left(configured: Settings) -> None:
    process = copy_data()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    from app.main import create_sampler_app

    with TestClient(create_sampler_app()):
        assert copies(configured.scratch) == []


def test_a_worker_removes_what_a_killed_job_has_left(configured: Settings) -> None:
    from worker.main import GARBAGE_COLLECTION_S, WorkerMain

    assert GARBAGE_COLLECTION_S <= 60
    killed = copy_data()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    folder = configured.scratch / "wkr_test"
    folder.mkdir()
    worker = WorkerMain(configured, ["training"], folder)
    worker._collect_garbage()
    assert copies(configured.scratch) == []


def test_copies_of_objects_are_in_the_folder_of_the_process(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = get_storage().put("t/default/x", b"weights")
    storage = Storage(get_storage()._store, process_folder.get())
    storage._root = None  # as that of an object store
    with storage.open(stored) as path:
        assert path.parent == process_folder.get()
        assert path.read_bytes() == b"weights"
    assert not path.exists()


def test_another_scratch_folder_gets_a_folder_of_its_own(
    configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = process_folder.get()
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    monkeypatch.setenv("SEMBLANCE_SCRATCH_DIR", str(tmp_path / "other"))
    get_settings.cache_clear()
    second = process_folder.get()
    assert second.parent == tmp_path / "other"
    assert not first.exists()
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == descriptors
