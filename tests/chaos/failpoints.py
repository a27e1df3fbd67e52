"""Failpoints at which a process dies, hangs, or meets a full disk, without support in the service.

A copy of this file, named `sitecustomize.py`, is on the PYTHONPATH of all processes of the service,
so Python runs it when they start. A failpoint acts once, if the folder `armed` next to the copy has
a file with its name; the file then moves to `reached`.
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
MAX_FILE_BYTES = 4_096
HANG_FROM_STEP = 5  # the first step may take long anyway


def trigger(point: str) -> bool:
    """Return True if the point is armed, and disarm it."""
    try:
        (FOLDER / "armed" / point).rename(FOLDER / "reached" / point)
    except FileNotFoundError:
        return False
    os.utime(FOLDER / "reached" / point)
    return True


def die_at(point: str) -> None:
    if trigger(point):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


def wrap(
    owner: Any,
    name: str,
    before: Callable[..., None] = lambda *_, **__: None,
    after: Callable[..., None] = lambda *_, **__: None,
) -> None:
    original = getattr(owner, name)

    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        before(*arguments, **keywords)
        result = original(*arguments, **keywords)
        after(*arguments, **keywords)
        return result

    setattr(owner, name, wrapper)


def patch_worker_job_runner(module: Any) -> None:
    wrap(module, "_execute", before=lambda *_: die_at("after the claim"))
    wrap(module, "_finish", after=lambda *_: die_at("after the finishing commit"))


def patch_training_run(module: Any) -> None:
    def before(run: Any, step: int) -> None:
        if run._attempt_start is None:
            return  # this attempt has not completed a step
        die_at("after the first step")
        if (FOLDER / "armed" / "steps are slow").exists():
            time.sleep(0.1)
        if step >= HANG_FROM_STEP and trigger("a step hangs"):
            time.sleep(3_600)

    wrap(module.RunningTraining, "progress", before=before)


def patch_generation_run(module: Any) -> None:
    def before(generator: Any) -> None:
        current = generator.current_shard
        if current.items_done and current.shard.number:
            die_at("in the middle of a shard")
        while (FOLDER / "armed" / "shards are slow").exists():
            time.sleep(0.1)
            generator.lease.check()

    wrap(module.ShardGenerator, "check_stop", before=before)


def patch_core_storage(module: Any) -> None:
    def before(storage: Any, key: str, data: bytes) -> None:
        if "state-" not in key:
            return
        if trigger("while a checkpoint is written"):
            module.obstore.put(storage._store, key, write_half_and_die(data))

    def after(_storage: Any, key: str, _data: bytes) -> None:
        if "model-" in key:
            die_at("between the files and the row")

    wrap(module.Storage, "put", before, after)

    def after_stream(_storage: Any, key: str, _chunks: Any) -> None:
        if "/shards/" in key:
            die_at("between a shard's file and its row")

    wrap(module.Storage, "put_stream", after=after_stream)
    put = module.Storage.put

    def put_on_full_disk(storage: Any, key: str, data: bytes) -> Any:
        if "state-" not in key or not trigger("the disk is full"):
            return put(storage, key, data)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, before[1]))
        try:
            return put(storage, key, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    module.Storage.put = put_on_full_disk


def write_half_and_die(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def patch_core_jobs(module: Any) -> None:
    """Patch `finish`, which returns before the commit of its changes."""
    wrap(module, "finish", after=lambda *_, **__: die_at("before the finishing commit"))


def patch_core_broker(module: Any) -> None:
    if "app" in sys.orig_argv:
        wrap(module, "publish", before=lambda *_: die_at("between commit and notification"))


PATCHES = {
    "worker.job_runner": patch_worker_job_runner,
    "job_kinds.training.run": patch_training_run,
    "job_kinds.generation.run": patch_generation_run,
    "core.storage": patch_core_storage,
    "core.jobs": patch_core_jobs,
    "core.broker": patch_core_broker,
}


class PatchingFinder:
    """An import hook that patches modules as soon as they are imported."""

    def __init__(self, patches: dict[str, Callable[[Any], None]]) -> None:
        self._patches = patches

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        if name not in self._patches:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_patch(module: Any) -> None:
            execute(module)
            self._patches[name](module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def install(folder: Path, patches: dict[str, Callable[[Any], None]]) -> None:
    """Patch modules when they are imported; failpoints are files in the folder."""
    global FOLDER
    FOLDER = folder
    sys.meta_path.insert(0, PatchingFinder(patches))  # type: ignore[arg-type]


def shift_clock() -> None:
    """Shift the clock of workers and their child processes by the seconds in the file `clock`."""
    offset_file = FOLDER / "clock"
    command = " ".join(sys.orig_argv)
    if offset_file.exists() and "-m app" not in command and "semblance-server" not in command:
        real_time, seconds = time.time, float(offset_file.read_text())
        time.time = lambda: real_time() + seconds


if __name__ == "sitecustomize":
    install(FOLDER, PATCHES)
    shift_clock()
