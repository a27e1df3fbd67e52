"""A machine with virtual GPUs, which can break or vanish, without support in the service.

A copy of this file, named `sitecustomize.py`, is on the PYTHONPATH of the worker's processes, so
Python runs it when they start. The GPUs are those of `tests.virtual_gpu`: the CPU computes. The
number of GPUs is in the file `gpus` next to the copy.
"""

import time
from pathlib import Path
from typing import Any

from tests.chaos import failpoints

FOLDER = Path(__file__).parent
HOLD_AT_STEP, BREAK_AT_STEP = 10, 12


def count() -> int:
    return int((FOLDER / "gpus").read_text())


def patch_models_device(module: Any) -> None:
    resolve = module.resolve_device

    def resolve_device(name: str) -> Any:
        device = resolve(name)
        if device.type == "cuda":
            enter_gpu()
        return device

    module.resolve_device = resolve_device


def patch_torch(torch: Any) -> None:
    """Replace the functions by which torch finds GPUs."""
    torch.cuda.is_available = lambda: count() > 0
    torch.cuda.device_count = count


_modes: list[Any] = []  # of torch, entered and never left


def enter_gpu() -> None:
    """Compute on a virtual GPU in this thread, from now on."""
    if _modes:
        return
    from tests.virtual_gpu import VirtualGpu

    _modes.append(VirtualGpu())
    _modes[0].__enter__()


def patch_training_run(module: Any) -> None:
    """Hold runs at a step on request, and break the context in a step, once for each request."""

    def before(run: Any, step: int) -> None:
        if run.device != "cpu" and step >= BREAK_AT_STEP and failpoints.trigger("context breaks"):
            from tests.virtual_gpu import BrokenContext

            _modes.append(BrokenContext())
            _modes[-1].__enter__()

    def after(run: Any, step: int) -> None:
        held = FOLDER / "armed" / "steps are held"
        while step == HOLD_AT_STEP and held.exists() and not run._lease.stopping:
            time.sleep(0.1)

    failpoints.wrap(module.RunningTraining, "progress", before=before, after=after)


def patch_device_probe(module: Any) -> None:
    module._has_driver = lambda: True


if __name__ == "sitecustomize":
    failpoints.install(
        FOLDER,
        {
            "torch": patch_torch,
            "models.device": patch_models_device,
            "job_kinds.training.run": patch_training_run,
            "worker.device_probe": patch_device_probe,
        },
    )
