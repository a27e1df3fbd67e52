"""Memory and busy share of a worker's device: of the GPU by `nvidia-smi`, or of the CPUs."""

import os
import subprocess
from dataclasses import dataclass

import psutil

from core.devices import DeviceKind, kind_of
from core.limits import MIB

TIMEOUT_S = 5.0
QUERY = "memory.total,memory.used,utilization.gpu"


@dataclass(frozen=True)
class DeviceUsage:
    """`busy` is the share of the time in which the device computed, from 0 to 1."""

    memory_bytes: int
    memory_used_bytes: int
    busy: float


def read_device_usage(name: str) -> DeviceUsage | None:
    """Return the usage of `cpu` or `cuda:N` by all processes; None if it cannot be read.

    The busy share of the CPUs is that since the last call.
    """
    if kind_of(name) is DeviceKind.CPU:
        memory = psutil.virtual_memory()
        return DeviceUsage(
            memory.total, memory.total - memory.available, psutil.cpu_percent() / 100
        )
    command = ["nvidia-smi", f"--id={_system_id(name)}", f"--query-gpu={QUERY}"]
    command.append("--format=csv,noheader,nounits")
    try:
        output = subprocess.run(  # noqa: S603 - the name is checked by the settings
            command, capture_output=True, timeout=TIMEOUT_S, check=True, text=True
        ).stdout
        total, used, busy = (float(field) for field in output.split(","))
    except (OSError, ValueError, subprocess.SubprocessError):  # also "[N/A]" of a MIG device
        return None
    return DeviceUsage(int(total * MIB), int(used * MIB), busy / 100)


def _system_id(name: str) -> str:
    """Return the number or UUID of the GPU on this machine: CUDA counts only the visible ones."""
    index = int(name.partition(":")[2] or 0)
    visible = [entry for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if entry]
    return visible[index].strip() if index < len(visible) else str(index)
