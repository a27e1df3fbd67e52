"""Everything that has to be seen on a GPU, in at most eight minutes: `make bench-gpu`.

The parts run in a fixed order, the most important first. The results file is written after each
part, so a run that is cut off keeps what it has. `--quick --device cpu` shows that each part runs
on a machine without a GPU. See bench/gpu.md.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from bench.gpu.equality import equal, memory, resume, smoke
from bench.gpu.quality import quality
from bench.gpu.service import service
from bench.gpu.speed import host, launches, throughput
from bench.gpu.workload import Row, Workload
from models.device import device_info, release_memory, resolve_device
from models.placement import CPU

PARTS: dict[str, Callable[[Workload], Row]] = {
    "smoke": smoke,
    "equal": equal,
    "resume": resume,
    "memory": memory,
    "launches": launches,
    "throughput": throughput,
    "quality": quality,
    "service": service,
    "host": host,
}
TOTAL_SECONDS = 480


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"Parts to run: {', '.join(PARTS)}.")
    parser.add_argument("--data", type=Path, help="Fashion-MNIST as an npz file of x_train, …")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="Folder of results.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, to check the program.")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    if device == CPU:
        torch.set_num_threads(1)  # With tiny networks, threads mostly wait for each other.
    arguments.out.mkdir(parents=True, exist_ok=True)
    workload = Workload(device, arguments.data, arguments.out, quick=arguments.quick)
    info = device_info(device)
    results: Row = {
        "torch": torch.__version__,
        "device": {"kind": info.kind, "name": info.name, "driver": info.driver},
        "quick": arguments.quick,
        "parts": {},
    }
    start = time.monotonic()
    for name in arguments.parts or PARTS:
        part_start = time.monotonic()
        if part_start - start > TOTAL_SECONDS - 30 and not arguments.quick:
            results["parts"][name] = {"skipped": "no time left"}
            continue
        try:
            row = PARTS[name](workload)
        except Exception:
            row = {"failed": traceback.format_exc()[-2_000:]}
        release_memory(device)
        results["parts"][name] = row | {"seconds": round(time.monotonic() - part_start, 1)}
        (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        sys.stdout.write(json.dumps({name: results["parts"][name]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
