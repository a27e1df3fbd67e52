"""Modules that a process loads when it starts: each costs memory in every process."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("app.main", {"numpy", "pyarrow", "torch"}),
        ("worker.main", {"numpy", "pyarrow", "torch"}),
        ("worker.tasks", {"numpy", "pyarrow", "torch", "httpcore2", "prometheus_client"}),
    ],
)
def test_a_process_loads_nothing_heavy_before_it_needs_it(module: str, absent: set[str]) -> None:
    program = f"import {module}, sys; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not absent & set(loaded.split())
