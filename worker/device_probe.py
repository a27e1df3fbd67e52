"""Check of a GPU in a separate process, because the worker's supervisor never imports torch.

`python -m worker.device_probe cuda:0` prints the properties and the speed of the GPU as JSON, and
`python -m worker.device_probe count` the number of GPUs. The GPU holds no memory afterwards.
"""

import ctypes
import json
import logging
import subprocess
import sys
import time
from typing import Any

from core.devices import DeviceKind, DeviceReport, kind_of
from models import device as devices

TIMEOUT_S = 300.0  # on a busy machine, importing torch takes most of it
MATRIX_SIZE, ROUNDS = 1_024, 10

log = logging.getLogger(__name__)


def find_device(name: str) -> str:
    """Return the name of the device that a worker uses: `cpu` or `cuda:N`.

    `auto` is the first GPU if this machine has a driver and torch finds a GPU.
    """
    if name == "auto":
        name = "cuda" if _has_driver() and count_gpus() else "cpu"
    return "cuda:0" if name == "cuda" else name


def _has_driver() -> bool:
    """Return True if the library of the NVIDIA driver can be loaded, without starting a probe."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def count_gpus() -> int:
    """Return the number of GPUs that torch can use; 0 if that cannot be determined."""
    return int(_run("count").get("count", 0))


def probe(name: str) -> tuple[DeviceReport, float | None]:
    """Return a report on the device, and the speed of a GPU in GFLOP/s of a matrix product.

    If the GPU does not work, the report has an error and the speed is None.
    """
    if kind_of(name) is DeviceKind.CPU:
        info = devices.cpu_info()
        return DeviceReport("cpu", DeviceKind.CPU, info.name, info.memory_bytes), None
    found = _run(name)
    gflops = found.pop("gflops", None)
    return DeviceReport(name, DeviceKind.GPU, **found), gflops


def _run(argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "worker.device_probe", argument]
    try:
        process = subprocess.run(  # noqa: S603 - our own module
            command, stdout=subprocess.PIPE, timeout=TIMEOUT_S
        )
        found: dict[str, Any] = json.loads(process.stdout)
    except subprocess.TimeoutExpired:
        return {"error": f"The GPU did not respond within {TIMEOUT_S:g} s."}
    except (OSError, ValueError):
        return {"error": "The process that checks the GPU failed; see the worker's log."}
    return found


def main(argument: str) -> None:
    import torch

    if argument == "count":
        found: dict[str, Any] = {"count": torch.cuda.device_count()}
    else:
        try:
            found = _measure(argument)
        except devices.DeviceUnavailable as error:
            found = {"error": str(error)}
        except RuntimeError as error:  # of CUDA: the device exists, but cannot compute
            found = {"error": str(error).splitlines()[0][:200]}
    sys.stdout.write(json.dumps(found) + "\n")


def _measure(name: str) -> dict[str, Any]:
    import torch

    device = devices.resolve_device(name)
    info = devices.device_info(device)
    matrix = torch.ones(MATRIX_SIZE, MATRIX_SIZE, device=device)
    (matrix @ matrix).sum().item()  # the first product loads the library
    started = time.perf_counter()
    for _ in range(ROUNDS):
        product = matrix @ matrix
    product.sum().item()
    seconds = (time.perf_counter() - started) / ROUNDS
    return {
        "name": info.name,
        "memory_bytes": info.memory_bytes,
        "driver": info.driver,
        "gflops": round(2 * MATRIX_SIZE**3 / seconds / 1e9, 1),
    }


if __name__ == "__main__":
    main(sys.argv[1])
