"""A PostgreSQL server of a test's own, which it may restart and freeze."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.processes import free_port

IS_AVAILABLE = shutil.which("initdb") is not None and shutil.which("pg_ctl") is not None
# PostgreSQL refuses to run as root; Debian's packages create this user.
USER = "postgres" if os.geteuid() == 0 else None


@dataclass
class Cluster:
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", log, "-o", options)

    def stop(self) -> None:
        """Stop at once: PostgreSQL ends the open transactions and all connections."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._data))

    def restart(self, pause_s: float) -> None:
        self.stop()
        time.sleep(pause_s)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all processes of the server; the kernel still accepts their connections."""
        main = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        processes = [main, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=USER, cwd="/")


@contextmanager
def running() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="semblance-postgres-"))
    if USER is not None:
        shutil.chown(folder, USER)
    cluster = Cluster(folder, free_port())
    try:
        cluster._run(
            "initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", str(folder / "data")
        )
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
