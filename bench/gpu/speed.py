"""Speed of training steps: launches, the share of time that the GPU computes, and throughput."""

import time
from collections.abc import Callable
from itertools import product

import torch

from bench import step_costs
from bench.gpu.workload import ARCHITECTURES, Row, Workload
from models import seeding
from models.images.settings import ImageSettings
from models.images.training import ImageTrainer
from models.microbatch import Part, Position
from models.placement import CPU
from models.step_graphs import StepGraphs

BATCH_SIZES = (32, 128, 512)
PROFILED_STEPS = 16
RECORDED_AFTER_STEPS = 40  # Penalties come every eighth step, and three of them warm up.
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")  # calls of the host


def launches(workload: Workload) -> Row:
    """Count kernels and launches of a step, and the share of time that the GPU computes.

    Each network is measured with CUDA graphs of its steps and without.
    """
    if workload.device.type != "cuda":
        return {"skipped": "needs a GPU"}
    rows: Row = {}
    for architecture, records_steps in product(ARCHITECTURES, (False, True)):
        settings = workload.settings(architecture)
        step = _stepper(workload, settings, workload.device, records_steps=records_steps)
        step(RECORDED_AFTER_STEPS)
        activities = [
            torch.profiler.ProfilerActivity.CPU,
            torch.profiler.ProfilerActivity.CUDA,
        ]
        with torch.profiler.profile(activities=activities) as profile:
            start = time.perf_counter()
            step(PROFILED_STEPS)
            seconds = time.perf_counter() - start
        kernels = [
            event
            for event in profile.events()
            if event.device_type == torch.autograd.DeviceType.CUDA
        ]
        launches = [event for event in profile.events() if event.name.startswith(LAUNCHES)]
        busy = sum(event.self_device_time_total for event in kernels) / 1e6
        rows[f"{architecture}{' with graphs' if records_steps else ''}"] = {
            "launches_per_step": round(len(launches) / PROFILED_STEPS, 1),
            "kernels_per_step": round(len(kernels) / PROFILED_STEPS, 1),
            "busy_share": round(busy / seconds, 3),
        }
    return rows


def throughput(workload: Workload) -> Row:
    """Measure steps and images per second on the GPU and on one core of the CPU."""
    rows: Row = {}
    torch.set_num_threads(1)
    ways = dict.fromkeys(((workload.device, True), (workload.device, False), (CPU, False)))
    for device, records_steps in ways:
        for batch_size in BATCH_SIZES[:1] if workload.quick or device == CPU else BATCH_SIZES:
            settings = workload.settings(batch_size=batch_size)
            step = _stepper(workload, settings, device, records_steps=records_steps)
            steps = 8 if workload.quick else 50 if device == CPU else 200
            step(8 if device == CPU else RECORDED_AFTER_STEPS)
            start, cpu_start = time.perf_counter(), time.process_time()
            step(steps)
            seconds = time.perf_counter() - start
            cpu_ms = 1e3 * (time.process_time() - cpu_start) / steps
            graphs = " with graphs" if records_steps and device != CPU else ""
            rows[f"{device.type} batch {batch_size}{graphs}"] = {
                "steps_per_s": round(steps / seconds, 1),
                "images_per_s": round(steps * batch_size / seconds),
                "host_ms_per_step": round(cpu_ms, 2),
            }
    return rows


def host(workload: Workload) -> Row:
    """Count launches and measure the host's time of a step on simulated GPUs."""
    return step_costs.measure(rounds=1 if workload.quick else 5)


def _stepper(
    workload: Workload, settings: ImageSettings, device: torch.device, *, records_steps: bool = True
) -> Callable[[int], None]:
    """Return a function that takes steps of the main phase, and waits for the device."""
    trainer = ImageTrainer(settings, workload.images().on(device), seed=1)
    trainer.start_main_phase()
    graphs, networks = StepGraphs(device, enabled=records_steps), trainer.networks

    def take(steps: int) -> None:
        for _ in range(steps):  # as in models.training_loop.train
            position = Position(trainer.step, 0.5)
            seeding.seed_step(trainer.seed, trainer.step, device)
            for optimizer in networks.optimizers:
                optimizer.zero_grad(set_to_none=True)
            batch, kind = networks.batches.batch_at(trainer.step), networks.begin_step(position)
            with graphs.step(kind, networks, networks.optimizers, batch) as step:
                if not step.is_computed:
                    step.losses = networks.add_gradients(Part(step.batch, position))
            networks.apply_gradients(position)
            networks.update_average(trainer.step)
            trainer.step += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return take
