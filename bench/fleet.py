"""Connections and statements of many idle workers, on a PostgreSQL server of this program's own.

`python -m bench.fleet [--real 50] [--simulated 200] [--seconds 60]` starts workers on one host,
forked from one process that has imported everything, and counts their connections and their
statements a second with pg_stat_statements. Then it runs as many threads as `--simulated`, each of
which polls as a worker does, through PgBouncer with 20 connections. `max_connections` is 200. It
needs an idle machine: the workers would slow everything else down.
"""

import argparse
import gc
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from sqlalchemy import Engine, create_engine, text

from core.ids import new_id
from core.migration import migrate
from tests import pgbouncer, postgres_cluster

MAX_CONNECTIONS = 200
POOLED_CONNECTIONS = 20
SETTLE_S = 20.0
COUNT_CALLS = text(
    "SELECT sum(calls) FILTER (WHERE query !~* '^(begin|commit|rollback|set )'), sum(calls) "
    "FROM pg_stat_statements JOIN pg_database ON dbid = pg_database.oid "
    "WHERE datname = current_database() AND query NOT LIKE '%pg_stat%'"
)
COUNT_CONNECTIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid()"
)


@contextmanager
def database() -> Iterator[str]:
    with postgres_cluster.running() as cluster:
        engine = create_engine(cluster.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for setting in (
                f"max_connections = {MAX_CONNECTIONS}",
                "shared_preload_libraries = pg_stat_statements",
            ):
                connection.execute(text(f"ALTER SYSTEM SET {setting}"))
        engine.dispose()
        cluster.restart(0)
        with engine.connect() as connection:
            connection.execute(text("CREATE EXTENSION pg_stat_statements"))
        engine.dispose()
        migrate(cluster.url)
        yield cluster.url


@contextmanager
def real_workers(count: int) -> Iterator[list[int]]:
    """Fork `count` workers that share a scratch folder; yield their process ids."""
    from core.settings import QUEUES, get_settings
    from worker.main import WorkerMain
    from worker.worker_folder import create

    gc.collect()
    gc.freeze()  # the workers share these objects
    processes = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                settings = get_settings()
                with create(settings.scratch / new_id("wkr")) as worker_folder:
                    WorkerMain(settings, QUEUES, worker_folder).run()
            finally:
                os._exit(0)  # the blocks around this one belong to the parent
        processes.append(pid)
    try:
        yield processes
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGTERM)
        for pid in processes:
            os.waitpid(pid, 0)


def count(engine: Engine, seconds: float) -> tuple[float, float, int]:
    """Return statements a second, without and with those of transactions, and most connections."""
    connections = []
    with engine.connect() as connection:
        before, started = connection.execute(COUNT_CALLS).one(), time.monotonic()
        while time.monotonic() - started < seconds:
            connections.append(connection.scalar(COUNT_CONNECTIONS) or 0)
            time.sleep(0.2)
        after, elapsed = connection.execute(COUNT_CALLS).one(), time.monotonic() - started
    statements, calls = (float(b - (a or 0)) / elapsed for a, b in zip(before, after, strict=True))
    return statements, calls, max(connections)


def simulate(url: str, number: int, seconds: float) -> list[float]:
    """Poll as `number` workers do, for `seconds`; return the milliseconds of each poll."""
    from core import jobs
    from core.database import make_engine, read
    from core.settings import QUEUES, get_settings

    engine, stop, times = make_engine(url), threading.Event(), []
    interval_s = get_settings().poll_seconds

    def poll(offset_s: float) -> None:
        stop.wait(offset_s)
        while not stop.is_set():
            started = time.perf_counter()
            with read(engine) as session:
                jobs.has_due_jobs(session, QUEUES, 0.0)
                jobs.has_idle_shards(session, QUEUES, 0.0)
            times.append(1_000 * (time.perf_counter() - started))
            stop.wait(interval_s)

    threads = [
        threading.Thread(target=poll, args=(interval_s * n / number,)) for n in range(number)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    engine.dispose()
    return sorted(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=int, default=50)
    parser.add_argument("--simulated", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as name, database() as url:
        os.environ |= {
            "SEMBLANCE_DATA_DIR": name,
            "SEMBLANCE_DATABASE_URL": url,
            "SEMBLANCE_DATABASE_POOL_SIZE": "1",  # as worker.main sets them
            "SEMBLANCE_DATABASE_MAX_CONNECTIONS": "2",
            "SEMBLANCE_LOG_LEVEL": "WARNING",
        }
        from core.settings import get_settings

        get_settings.cache_clear()  # the migration has read them
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with real_workers(options.real) as processes:
            time.sleep(SETTLE_S)
            memory = [psutil.Process(pid).memory_full_info().uss / 2**20 for pid in processes]
            statements, calls, connections = count(engine, options.seconds)
            with engine.connect() as connection:
                rows = connection.scalar(text("SELECT count(*) FROM workers"))
        print(f"{options.real} real workers, of which {rows} registered:")
        print(f"  {statements:.0f} statements a second ({calls:.0f} with those of transactions)")
        print(f"  at most {connections} connections, {statistics.median(memory):.0f} MiB each")
        os.environ |= {
            "SEMBLANCE_DATABASE_TRANSACTION_POOLING": "true",
            "SEMBLANCE_DATABASE_POOL_SIZE": str(options.simulated),
            "SEMBLANCE_DATABASE_MAX_CONNECTIONS": str(options.simulated),
        }
        get_settings.cache_clear()
        with pgbouncer.running(url, POOLED_CONNECTIONS) as pooled:
            counted: list[tuple[float, float, int]] = []
            counter = threading.Thread(
                target=lambda: counted.append(count(engine, options.seconds - 2))
            )
            counter.start()
            times = simulate(pooled, options.simulated, options.seconds)
            counter.join()
        statements, calls, connections = counted[0]
        print(f"{options.simulated} simulated workers through PgBouncer:")
        print(f"  {statements:.0f} statements a second ({calls:.0f} with those of transactions)")
        print(f"  at most {connections} connections of PostgreSQL")
        middle, late = (times[int(q * len(times))] for q in (0.5, 0.99))
        print(f"  a poll takes {middle:.1f} ms, p99 {late:.1f} ms; {len(times)} polls")
        engine.dispose()


if __name__ == "__main__":
    main()
