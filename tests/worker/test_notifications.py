"""A notification only says that there is work: the first due job runs, whichever was announced."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from core.database import read
from core.tables import Event, Job
from tests.conftest import AddJob
from worker import tasks
from worker.job_runner import run_next

PRIORITIES = ("high", "normal", "low")


def run_by_notifications(count: int) -> None:
    for _ in range(count):
        tasks.run()


def run_by_poll(_count: int) -> None:
    while run_next(["training"]):
        pass


@pytest.mark.parametrize("run_all", [run_by_notifications, run_by_poll])
def test_jobs_run_in_the_order_of_their_priority(
    add_job: AddJob,
    run_all: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEMBLANCE_WORKER_FOLDER", str(tmp_path / "worker"))
    rng = random.Random(1)  # noqa: S311 - repeats
    posted = [add_job(rng.choice(PRIORITIES)) for _ in range(30)]
    expected = sorted(posted, key=lambda job: (PRIORITIES.index(job.priority), job.id))
    run_all(len(posted))  # each fails at once: its dataset has no files
    with read() as session:
        started = select(Event.job_id).where(Event.data["state"].as_string() == "running")
        order = session.scalars(started.order_by(Event.id)).all()
        states = {job.state.value for job in session.scalars(select(Job))}
    assert states == {"failed"}
    assert order == [job.id for job in expected]
