"""Checks of a worker's device, in child processes."""

from pathlib import Path

import pytest
import torch

from core.devices import DeviceKind
from worker import device_loss
from worker.device_monitor import DeviceMonitor
from worker.device_probe import find_device, probe

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_the_cpu_is_described_without_a_check(tmp_path: Path) -> None:
    monitor = DeviceMonitor("cpu", tmp_path, 1.0, is_idle=lambda: True)
    assert monitor.works
    assert monitor.report.name
    assert monitor.report.memory_bytes is not None
    assert monitor.report.memory_bytes > 2**28


@without_gpu
def test_a_missing_gpu_keeps_its_worker_from_claiming_jobs(tmp_path: Path) -> None:
    monitor = DeviceMonitor("cuda:0", tmp_path, 60.0, is_idle=lambda: True)
    assert not monitor.works  # nothing is known before the first check
    monitor.check()
    assert monitor.kind is DeviceKind.GPU
    assert "finds no GPU" in str(monitor.report.error)
    assert device_loss.is_flagged(tmp_path)


@without_gpu
@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cpu"), ("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")]
)
def test_the_device_of_a_worker_follows_from_its_setting(name: str, device: str) -> None:
    assert find_device(name) == device


def test_a_check_that_cannot_run_is_an_error_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    report, gflops = probe("cuda:0")
    assert "failed" in str(report.error)
    assert gflops is None
