"""Where a process can be made to die, hang, or find the disk full; the service knows nothing of it.

A copy of this file, named `sitecustomize.py`, lies on the PYTHONPATH of the service's processes:
Python runs it when they start. A point acts once, when a file with its name lies in `armed` beside
the copy; that file then moves to `reached`.
"""

import importlib.machinery
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TINY_DISK = 4_096
HANGS_AT = 5  # the first step of all may take long


def is_reached(point: str) -> bool:
    try:
        (FOLDER / "armed" / point).rename(FOLDER / "reached" / point)
    except FileNotFoundError:
        return False
    os.utime(FOLDER / "reached" / point)
    return True


def die_at(point: str) -> None:
    if is_reached(point):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


def around(
    owner: Any,
    name: str,
    before: Callable[..., None] = lambda *_, **__: None,
    after: Callable[..., None] = lambda *_, **__: None,
) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        before(*arguments, **named)
        result = original(*arguments, **named)
        after(*arguments, **named)
        return result

    setattr(owner, name, wrapped)


def in_worker_job_runner(module: Any) -> None:
    around(module, "_execute", before=lambda *_: die_at("after the claim"))
    around(module, "_finish", after=lambda *_: die_at("after the finishing commit"))


def in_worker_training(module: Any) -> None:
    def before(run: Any, step: int) -> None:
        if run._attempt_start is None:
            return  # no step of this attempt is done
        die_at("after the first step")
        if (FOLDER / "armed" / "steps take long").exists():
            time.sleep(0.1)
        if step >= HANGS_AT and is_reached("a step hangs"):
            time.sleep(3_600)

    around(module.JobTrainingCallbacks, "progress", before=before)


def in_worker_generation(module: Any) -> None:
    def before(generator: Any) -> None:
        current = generator.current_shard
        if current.items_done and current.shard.number:
            die_at("in the midst of a shard")
        while (FOLDER / "armed" / "shards take long").exists():
            time.sleep(0.1)
            generator.lease.check()

    around(module.ShardGenerator, "check_stop", before=before)


def in_core_storage(module: Any) -> None:
    def before(storage: Any, key: str, data: bytes) -> None:
        if "state-" not in key:
            return
        if is_reached("while a checkpoint is written"):
            module.obstore.put(storage._store, key, half_of(data))

    def after(_storage: Any, key: str, _data: bytes) -> None:
        if "model-" in key:
            die_at("between the files and the row")

    around(module.Storage, "put", before, after)

    def after_stream(_storage: Any, key: str, _chunks: Any) -> None:
        if "/shards/" in key:
            die_at("between a shard's file and its row")

    around(module.Storage, "put_stream", after=after_stream)
    put = module.Storage.put

    def on_a_full_disk(storage: Any, key: str, data: bytes) -> Any:
        if "state-" not in key or not is_reached("the disk is full"):
            return put(storage, key, data)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (TINY_DISK, before[1]))
        try:
            return put(storage, key, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    module.Storage.put = on_a_full_disk


def half_of(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def in_core_jobs(module: Any) -> None:
    """The transaction is open, its changes are made."""
    around(module, "finish", after=lambda *_, **__: die_at("before the finishing commit"))


def in_core_broker(module: Any) -> None:
    if "app" in sys.orig_argv:
        around(module, "publish", before=lambda *_: die_at("between commit and hint"))


POINTS = {
    "worker.job_runner": in_worker_job_runner,
    "worker.training": in_worker_training,
    "worker.generation": in_worker_generation,
    "core.storage": in_core_storage,
    "core.jobs": in_core_jobs,
    "core.broker": in_core_broker,
}


class Finder:
    """Has a module changed as soon as it is imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, _target: Any = None) -> Any:
        if name not in POINTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def changed(module: Any) -> None:
            execute(module)
            POINTS[name](module)

        spec.loader.exec_module = changed  # type: ignore[method-assign]
        return spec


def shift_the_clock() -> None:
    """Of workers and what they start; `clock` holds the seconds."""
    wrong = FOLDER / "clock"
    words = " ".join(sys.orig_argv)
    if wrong.exists() and "-m app" not in words and "semblance-server" not in words:
        right, seconds = time.time, float(wrong.read_text())
        time.time = lambda: right() + seconds


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]
    shift_the_clock()
