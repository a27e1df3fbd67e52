"""Fork servers: one for each process that reads uploads, restarted after a crash."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import BaseModel

from core.datasets import sandbox
from core.datasets.sandbox import run_in_sandbox
from core.errors import DatasetUnreadable
from tests.processes import TIMEOUT_S, eventually

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Instruction(BaseModel):
    """Instruction to a sandbox process, which then describes itself."""

    sleep_s: float = 0
    held_by: Path | None = None  # a file; one with the suffix `.seen` is then created
    signal: int | None = None
    stderr: str = ""
    exit_status: int | None = None


def obey(instruction: Instruction) -> dict[str, Any]:
    time.sleep(instruction.sleep_s)
    if instruction.held_by is not None:
        instruction.held_by.with_suffix(".seen").touch()
        while instruction.held_by.exists():
            time.sleep(0.01)
    os.write(2, instruction.stderr.encode())
    if instruction.signal is not None:
        os.kill(os.getpid(), instruction.signal)
        time.sleep(60)
    if instruction.exit_status is not None:
        os._exit(instruction.exit_status)
    descriptors = Path("/proc/self/fd")
    return {
        "pid": os.getpid(),
        "server": os.getppid(),
        "descriptors": sorted(os.readlink(link) for link in descriptors.iterdir() if link.exists())
        if descriptors.exists()
        else [],
    }


def run(timeout_s: float = TIMEOUT_S, **instruction: Any) -> dict[str, Any]:
    return run_in_sandbox(f"{__name__}:obey", Instruction(**instruction), timeout_s)


def test_sandbox_processes_of_a_process_have_one_server() -> None:
    first, second = run(), run()
    assert first["server"] == second["server"] != os.getpid()
    assert first["pid"] != second["pid"]
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: run(sleep_s=0.05), range(24)))
    assert {report["server"] for report in reports} == {first["server"]}
    assert len({report["pid"] for report in reports}) == 24


@linux_only
def test_a_sandbox_process_has_no_descriptor_of_its_server_or_of_another_sandbox() -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: run(sleep_s=0.2), range(4)))
    for report in reports:
        kinds = [descriptor.partition(":")[0] for descriptor in report["descriptors"]]
        assert sorted(kinds) == ["/dev/null", "pipe", "pipe", "socket"], report


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_after_a_crash_the_next_sandbox_process_has_another_server(number: int) -> None:
    before = run()["server"]
    with pytest.raises(DatasetUnreadable, match="the reader process crashed"):
        run(signal=number)
    assert run()["server"] != before


def test_a_crash_does_not_end_the_other_sandbox_processes_of_its_server(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, held_by=hold)
        eventually(hold.with_suffix(".seen").exists)
        with pytest.raises(DatasetUnreadable):
            run(signal=signal.SIGSEGV)
        new = run()
        assert not slow.done()
        hold.unlink()
        assert slow.result()["server"] != new["server"]


def test_a_server_that_has_ended_is_replaced() -> None:
    server = psutil.Process(run()["server"])
    server.kill()
    server.wait(timeout=TIMEOUT_S)
    assert run()["server"] != server.pid


def test_a_server_that_hangs_is_killed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    server = psutil.Process(run()["server"])
    kill_server = sandbox._fork_server.kill

    def kill() -> None:
        monkeypatch.setattr(sandbox, "_SERVER_REPLY_S", TIMEOUT_S)  # of the next one
        kill_server()

    monkeypatch.setattr(sandbox._fork_server, "kill", kill)
    monkeypatch.setattr(sandbox, "_SERVER_REPLY_S", 0.5)
    server.suspend()
    assert run()["server"] != server.pid
    server.wait(timeout=TIMEOUT_S)


def test_a_timeout_ends_although_the_server_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    server = psutil.Process(run()["server"])
    children: list[psutil.Process] = []

    def suspend_server() -> None:
        if not children:
            children.extend(server.children())
            server.suspend()

    def read_lifeline(lifeline: socket.socket) -> bytes:
        if children:
            lifeline.settimeout(0.5)
        return read(lifeline)

    read = sandbox._read_lifeline
    monkeypatch.setattr(sandbox, "_read_lifeline", read_lifeline)
    monkeypatch.setattr(sandbox, "_WAIT_S", 0.02)
    with pytest.raises(DatasetUnreadable, match="took longer"):
        run_in_sandbox(f"{__name__}:obey", Instruction(sleep_s=600), 2, suspend_server)
    (child,) = children
    child.wait(timeout=TIMEOUT_S)


def test_a_timeout_kills_the_sandbox_process_only() -> None:
    server = psutil.Process(run()["server"])
    with pytest.raises(DatasetUnreadable, match="took longer than 0 seconds"):
        run(timeout_s=0.2, sleep_s=60)
    assert server.status() == psutil.STATUS_ZOMBIE or server.children() == []


def test_long_messages_on_stderr_do_not_block_and_are_logged_in_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(DatasetUnreadable, match="needs more memory"):
        run(stderr="w" * 300_000 + "memory allocation of 9 bytes failed", exit_status=134)
    assert "status 134" in caplog.text
    assert 3_000 < len(caplog.text) < 6_000


def test_a_forked_process_starts_a_server_of_its_own() -> None:
    code = (
        "import os, sys\n"
        f"from {__name__} import run\n"
        "inherited = run()['server']\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(run()['server'] == inherited)\n"
        "status = os.waitpid(pid, 0)[1]\n"
        "sys.exit(status != 0 or run()['server'] != inherited)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT_S)
