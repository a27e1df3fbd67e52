"""One worker of a host acts for all; the others take over when it ends or is stopped."""

import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import event

from core import workers
from core.database import get_engine, read, write
from core.settings import Settings
from worker import worker_folder
from worker.host_duty import HostDuty

HOLDER = """
import sys, time
from pathlib import Path
from worker.host_duty import HostDuty

duty = HostDuty(Path(sys.argv[1]), 60)
print(duty.is_mine(), flush=True)
time.sleep(600)
"""


def test_one_worker_acts_for_the_host_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "True\n"
            other = HostDuty(tmp_path, timeout_s=60)
            assert not other.is_mine()
        finally:
            holder.kill()
        holder.wait()
        assert other.is_mine()
        assert not HostDuty(tmp_path, timeout_s=60).is_mine()
        other.release()


def test_each_acts_for_itself_while_the_holder_does_not_prove_that_it_runs(tmp_path: Path) -> None:
    holder, other = HostDuty(tmp_path, timeout_s=0.3), HostDuty(tmp_path, timeout_s=0.3)
    assert holder.acts()
    assert not other.acts()
    time.sleep(0.4)
    assert other.acts()
    assert not other.is_mine()
    holder.prove()
    assert not other.acts()
    holder.release()


def test_heartbeats_of_a_host_are_one_statement_for_its_living_workers(
    configured: Settings, tmp_path: Path
) -> None:
    statements = []

    @event.listens_for(get_engine(), "before_cursor_execute")
    def collect(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    for name in ("wkr_1", "wkr_2", "wkr_3"):
        (tmp_path / name).mkdir()
        description = workers.describe(queues=["training"], host="here", gflops=2.0, cpus=4)
        worker_folder.describe(tmp_path / name, description)
    worker_folder.withdraw(tmp_path / "wkr_3")
    for _ in range(2):  # rows are created, then renewed
        with write() as session:
            workers.heartbeats(session, worker_folder.descriptions(tmp_path, max_age_s=60))
    with read() as session:
        rows = workers.active(session)
    assert [(row.id, row.queues, row.cpus) for row in rows] == [
        (name, ["training"], 4) for name in ("wkr_1", "wkr_2")
    ]
    assert all(row.seen_at >= row.started_at for row in rows)
    assert sum("INSERT INTO workers" in statement for statement in statements) == 2
    assert worker_folder.descriptions(tmp_path, max_age_s=-1) == {}
