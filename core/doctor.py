"""`semblance-server doctor`: checks of everything that the service needs, with remedies.

Each check returns a sentence if all is well, or raises `Fault` with what is wrong and what to do.
The service need not run.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from sqlalchemy import Connection, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from core import migration
from core.database import WRITE, clock, make_engine
from core.errors import SemblanceError
from core.ids import new_id
from core.limits import MIB
from core.settings import Settings
from core.storage import ObjectCorrupted, Storage, key_of

MAX_CLOCK_DIFFERENCE_S = 5.0
CONNECT_S = 5.0
DEVICE_S = 120.0  # on a busy machine, importing torch takes most of it


class Fault(Exception):
    """Something that the service needs does not work."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")


class Result(NamedTuple):
    name: str
    is_ok: bool
    message: str


def examine(settings: Settings) -> list[Result]:
    """Return the result of each check, in the order in which faults should be mended."""
    checks: dict[str, Callable[[Settings], str]] = {
        "disk": _check_disk,
        "object store": _check_storage,
        "database": _check_database,
        "schema": _check_schema,
        "clock": _check_clock,
        "broker": _check_broker,
        "device": _check_device,
    }
    results: list[Result] = []
    for name, check in checks.items():
        needs_database = name in {"schema", "clock"}
        if needs_database and not all(r.is_ok for r in results if r.name == "database"):
            continue
        try:
            results.append(Result(name, True, check(settings)))
        except Fault as fault:
            results.append(Result(name, False, str(fault)))
    return results


def _check_disk(settings: Settings) -> str:
    folder = settings.scratch_dir or settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free, needed = shutil.disk_usage(folder).free, settings.min_free_disk_bytes
    if free < needed:
        raise Fault(
            f"{folder} has {free // MIB} MiB free, less than SEMBLANCE_MIN_FREE_DISK_BYTES "
            f"({needed // MIB} MiB).",
            "Delete files, or choose another disk with SEMBLANCE_DATA_DIR.",
        )
    return f"{folder} has {free // MIB} MiB free."


def _check_storage(settings: Settings) -> str:
    remedy = "Check SEMBLANCE_STORAGE_URL and that this user may write there."
    content = os.urandom(64)
    try:
        storage = Storage.from_url(settings.storage_url, settings.scratch)
        stored = storage.put(key_of("doctor", new_id("object")), content)
        is_equal = storage.read(stored) == content
        storage.delete([stored.key])
    except (SemblanceError, ObjectCorrupted, OSError, ValueError) as error:
        cause = error.__cause__ or error
        raise Fault(f"{settings.storage_url}: {_first_line(cause)}.", remedy) from error
    if not is_equal:
        raise Fault(f"{settings.storage_url} returns other bytes than were stored.", remedy)
    return f"{settings.storage_url}: an object was written, read and deleted."


def _check_database(settings: Settings) -> str:
    url = make_url(settings.database_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise Fault(
            f"{shown} does not exist.", "Run `semblance-server migrate`, or `up` with its --data."
        )
    engine = make_engine(settings.database_url)
    try:
        with engine.execution_options(**WRITE).connect() as connection:
            if connection.dialect.name == "postgresql":
                is_replica = connection.scalar(text("SELECT pg_is_in_recovery()"))
                if is_replica:
                    _reject_database(shown, "it is a read-only replica")
            connection.rollback()  # on SQLite, this has held the lock of a writer
    except DBAPIError as error:
        _reject_database(shown, _first_line(error.orig or error))
    except (SQLAlchemyError, ImportError) as error:
        _reject_database(shown, _first_line(error))
    finally:
        engine.dispose()
    return f"{shown} answers."


def _reject_database(shown: str, reason: str) -> NoReturn:
    raise Fault(
        f"{shown}: {reason}.",
        "Check SEMBLANCE_DATABASE_URL, that the server runs, and that this user may write.",
    )


def _check_schema(settings: Settings) -> str:
    with _connect(settings) as connection:
        current, head = migration.current(connection), migration.head()
    if current == head:
        return f"The tables have the newest version, {head}."
    if current is None:
        raise Fault("The database has no tables.", "Run `semblance-server migrate`.")
    if current > head:
        raise Fault(
            f"The tables have version {current}, but this software knows {head}.",
            "Install the version of the software that has migrated them.",
        )
    raise Fault(f"The tables have version {current} of {head}.", "Run `semblance-server migrate`.")


def _check_clock(settings: Settings) -> str:
    with _connect(settings) as connection:
        before = time.time()
        of_database = connection.execute(select(clock())).scalar_one().timestamp()
        after = time.time()
    difference = max(of_database - after, before - of_database, 0.0)
    if difference > MAX_CLOCK_DIFFERENCE_S:
        raise Fault(
            f"The clocks of this machine and the database differ by {difference:.0f} s.",
            "Set both by NTP: signed URLs and webhooks carry this machine's time.",
        )
    return f"The clocks of this machine and the database differ by {difference:.1f} s."


@contextmanager
def _connect(settings: Settings) -> Iterator[Connection]:
    engine = make_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _check_broker(settings: Settings) -> str:
    from redis import Redis, RedisError

    url = settings.broker_url.get_secret_value() or os.environ.get("REDIS_URL", "")
    socket = settings.data_dir / "redis" / "redis.sock"
    if url == "none" or (not url and not socket.exists()):
        return "None is configured: `up` starts one; other workers poll the database."
    try:
        if url:
            shown = make_url(url).render_as_string(hide_password=True)
            broker = Redis.from_url(
                url.replace("redis+socket://", "unix://"),
                socket_connect_timeout=CONNECT_S,
                socket_timeout=CONNECT_S,
            )
        else:
            shown = str(socket)
            broker = Redis(unix_socket_path=shown, socket_timeout=CONNECT_S)
        broker.ping()
    except (RedisError, OSError, ValueError) as error:
        raise Fault(
            f"{shown}: {_first_line(error)}.",
            "Start Redis and check SEMBLANCE_BROKER_URL. Until then, workers poll the database.",
        ) from error
    return f"{shown} answers."


def _check_device(settings: Settings) -> str:
    name = settings.device
    if name == "cpu":
        return f"Workers compute on {os.cpu_count()} CPU cores."
    argument = {"auto": "count", "cuda": "cuda:0"}.get(name, name)
    command = [sys.executable, "-m", "worker.device_probe", argument]
    remedy = "Check the driver with `nvidia-smi`, or set SEMBLANCE_DEVICE=cpu."
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, capture_output=True, timeout=DEVICE_S
        )
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise Fault(f"{name} did not answer within {DEVICE_S:g} s.", remedy) from None
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no output"]
        raise Fault(f"The check of {name} failed: {lines[-1][:200]}.", remedy) from None
    if "error" in found:
        raise Fault(f"{name}: {found['error']}", remedy)
    if "count" in found:
        gpus = found["count"]
        return f"Workers compute on {gpus} GPU(s)." if gpus else "No GPU: workers use the CPU."
    return f"{name} is {found['name']}, at {found['gflops']:.0f} GFLOP/s."


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")
