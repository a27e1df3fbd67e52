"""Every network on a GPU against the CPU, resumed runs, and runs that exhaust the memory."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.gpu.workload import ARCHITECTURES, Row, Run, Workload
from models import autocast, seeding
from models.checkpoint import unpack
from models.device import release_memory
from models.images.training import ImageTrainer, train
from models.microbatch import Part, Position
from models.placement import CPU
from models.tabular.sampling import TableSampler

MEMORY_LIMIT = 2**30  # bytes, for the part that runs out of memory


def smoke(workload: Workload) -> Row:
    """Train every network, and sample on both kinds of device."""
    rows: Row = {}
    for architecture in ARCHITECTURES:
        run = Run(steps=12 if workload.quick else 40)
        train(
            workload.images(), workload.settings(architecture), run, seed=1, device=workload.device
        )
        here, there = (workload.sample(run.last, device, 64) for device in (CPU, workload.device))
        rows[architecture] = {"max_gray_levels": int(np.abs(here - there).max())}
    for name, train_table in workload.table_runs().items():
        run = Run(steps=12 if workload.quick else 100)
        train_table(run)
        path = workload.write(run.last.model)
        samplers = [TableSampler.load(*unpack(path), device) for device in (CPU, workload.device)]
        here_rows, there_rows = (s.sample(1, np.arange(2_000)).rows for s in samplers)
        pairs = zip(here_rows.to_pylist(), there_rows.to_pylist(), strict=True)
        rows[name] = {"different_rows": sum(a != b for a, b in pairs)}
    return rows


def equal(workload: Workload) -> Row:
    """Compare the gradients of a step in float32 with those on the CPU."""
    rows: Row = {}
    has_bf16, autocast.HAS_BF16 = autocast.HAS_BF16, False
    plain_autocast = torch.autocast
    try:
        torch.autocast = _no_autocast  # type: ignore[assignment, misc]
        for architecture in ARCHITECTURES:
            here, there = (
                _gradients(workload, architecture, device) for device in (CPU, workload.device)
            )
            errors = [
                float((a - b).norm() / a.norm().clamp_min(1e-12))
                for a, b in zip(here, there, strict=True)
            ]
            rows[architecture] = {
                "largest_relative_error": max(errors),
                "median_relative_error": float(np.median(errors)),
            }
    finally:
        autocast.HAS_BF16 = has_bf16
        torch.autocast = plain_autocast  # type: ignore[misc]
    return rows


def _gradients(workload: Workload, architecture: str, device: torch.device) -> list[Tensor]:
    trainer = ImageTrainer(workload.settings(architecture), workload.images().on(device), seed=1)
    trainer.start_main_phase()
    seeding.seed_step(1, 0, device)
    position, batch = Position(0, 0.5), trainer.networks.batches.batch_at(0)
    trainer.networks.begin_step(position)
    trainer.networks.add_gradients(Part(batch, position))
    return [
        weight.grad.double().cpu()
        for optimizer in trainer.networks.optimizers
        for group in optimizer.param_groups
        for weight in group["params"]
        if weight.grad is not None
    ]


def resume(workload: Workload) -> Row:
    """Compare a run with its repetition, one that resumes, and one without CUDA graphs."""
    rows: Row = {}
    steps = 20 if workload.quick else 200
    for architecture in ("vae_gan", "dcgan", "r3gan"):
        settings, whole = workload.settings(architecture), Run(steps, saves_at=steps // 2)
        repeated, resumed, eager = Run(steps), Run(steps), Run(steps)
        train(workload.images(), settings, whole, seed=1, device=workload.device)
        train(workload.images(), settings, repeated, seed=1, device=workload.device)
        state = workload.write(whole.saved[steps // 2].state)
        train(workload.images(), settings, resumed, seed=1, state=state, device=workload.device)
        train(
            workload.images(), settings, eager, seed=1, device=workload.device, records_steps=False
        )
        rows[architecture] = {
            "without_graphs_is_equal": eager.last.state == whole.last.state,
            "repeated_is_equal": repeated.last.state == whole.last.state,
            "resumed_is_equal": resumed.last.state == whole.last.state,
        }
    for name, train_table in workload.table_runs().items():
        whole, resumed = Run(steps, saves_at=steps // 2), Run(steps)
        train_table(whole)
        train_table(resumed, state=workload.write(whole.saved[steps // 2].state))
        rows[name] = {"resumed_is_equal": resumed.last.state == whole.last.state}
    return rows


def memory(workload: Workload) -> Row:
    """Train with more items than fit; then show that the memory is free again."""
    if workload.device.type != "cuda":
        return {"skipped": "needs a GPU"}
    release_memory(workload.device)
    total = torch.cuda.get_device_properties(workload.device).total_memory
    torch.cuda.set_per_process_memory_fraction(MEMORY_LIMIT / total, workload.device)
    try:
        run = Run(steps=6)
        settings = workload.settings(batch_size=4_096, coarse_channels=192, fine_channels=96)
        train(workload.images(), settings, run, seed=1, device=workload.device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, workload.device)
    release_memory(workload.device)
    return {
        "warnings": run.warnings,
        "allocated_bytes": torch.cuda.memory_allocated(workload.device),
        "reserved_bytes": torch.cuda.memory_reserved(workload.device),
    }


def _no_autocast(*_args: Any, **_kwargs: Any) -> torch.autocast:
    return torch.amp.autocast_mode.autocast("cpu", enabled=False)
