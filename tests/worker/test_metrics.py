"""`/metrics` of a worker: its device and the time for which it was busy."""

import os
import socket
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from core.settings import Settings
from worker import device_usage, metrics
from worker.device_usage import DeviceUsage, read_device_usage
from worker.metrics import BusyTime, WorkerCollector


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_worker_serves_its_own_figures(configured: Settings) -> None:
    busy, port = BusyTime(), free_port()
    busy.update(is_busy=True)
    time.sleep(0.01)
    busy.update(is_busy=False)
    metrics.serve("127.0.0.1", port, WorkerCollector("cpu", lambda: True, busy))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        lines = response.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values["semblance_worker_busy"] == "0.0"
    assert float(values["semblance_worker_busy_seconds_total"]) == busy.seconds >= 0.01
    assert values["semblance_device_works"] == "1.0"
    total, used = (
        float(values[f'semblance_device_memory_{name}{{device="cpu"}}'])
        for name in ("bytes", "used_bytes")
    )
    assert 0 < used < total
    assert 0 <= float(values['semblance_device_busy_ratio{device="cpu"}']) <= 1
    assert 'semblance_webhook_attempts_total{outcome="failed"}' in values  # even without one
    assert 'semblance_database_connections{state="idle"}' in values
    assert not any(name.startswith("semblance_jobs") for name in values)


def test_a_port_in_use_does_not_stop_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        metrics.serve("127.0.0.1", port, WorkerCollector("cpu", lambda: True, BusyTime()))
    assert caplog.messages == ["metrics cannot be served"]


NVIDIA_SMI = """#!/bin/sh
[ "$1" = --id={id} ] || exit 6
echo "{output}"
"""


@pytest.mark.parametrize(
    ("visible", "output", "expected"),
    [
        ("", "143771, 2048, 25", DeviceUsage(143_771 * 1024**2, 2_048 * 1024**2, 0.25)),
        ("GPU-a,GPU-b", "100, 50, 100", DeviceUsage(100 * 1024**2, 50 * 1024**2, 1.0)),
        ("", "143771, 2048, [N/A]", None),
    ],
)
def test_the_usage_of_a_gpu_is_that_of_nvidia_smi(
    visible: str,
    output: str,
    expected: DeviceUsage | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI.format(id="GPU-b" if visible else "1", output=output))
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert read_device_usage("cuda:1") == expected


def test_without_nvidia_smi_the_usage_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_usage.read_device_usage("cuda:0") is None
