"""Everything that has to be seen on a GPU, in at most eight minutes: `make bench-gpu`.

The parts run in a fixed order, the most important first. The results file is written after each
part, so a run that is cut off keeps what it has. `--quick --device cpu` shows that each part runs
on a machine without a GPU. See bench/gpu.md.
"""

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import step_costs
from models import autocast, seeding
from models.checkpoint import unpack
from models.device import device_info, release_memory, resolve_device
from models.images import batched_sampling
from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.sampling import ImageSampler
from models.images.settings import ImageData, ImageSettings
from models.images.training import ImageTrainer, train
from models.metrics import evaluation_classifier
from models.metrics.evaluation_classifier import EvaluationClassifier
from models.metrics.images import trained_classifiers
from models.metrics.images.evaluation import evaluate
from models.microbatch import Part, Position
from models.placement import CPU
from models.settings import DeviceKind
from models.step_graphs import StepGraphs
from models.tabular.data import LabeledRows
from models.tabular.dp_accountant import NoiseScales
from models.tabular.dp_domains import ColumnDomain
from models.tabular.dp_training import train_with_noise
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData
from models.tabular.settings import resolve as resolve_table
from models.tabular.training import train as train_rows
from models.training_callbacks import PackedCheckpoint

Row = dict[str, Any]

ARCHITECTURES = ("vae_gan", "cvae", "cgan", "dcgan", "mlp", "r3gan")
TABLE_NETWORKS: dict[str, Row] = {
    "rows": {},
    "rows in any order": {"random_order_prob": 0.5},
    "rows by gan": {"architecture": "gan"},
}
DOMAINS = {  # of the table, for differential privacy
    "number": ColumnDomain(min=-4, max=6, decimals=2),
    "size": ColumnDomain(min=0, max=899),
    "label": ColumnDomain(("no", "yes")),
}
BATCH_SIZES = (32, 128, 512)
MEMORY_LIMIT = 2**30  # bytes, for the part that runs out of memory
TOTAL_SECONDS = 480
PROFILED_STEPS = 16
RECORDED_AFTER_STEPS = 40  # Penalties come every eighth step, and three of them warm up.
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")  # calls of the host


class Run:
    """Training callbacks of a run of some steps or seconds."""

    def __init__(self, steps: int = 0, seconds: float = 0.0, saves_at: int = -1) -> None:
        self.steps, self.seconds, self.saves_at = steps, seconds, saves_at
        self.start, self.step = time.monotonic(), 0
        self.saved: dict[int, PackedCheckpoint] = {}
        self.warnings: list[str] = []

    def progress(self, step: int) -> float:
        self.step = step
        if self.steps:
            return step / self.steps
        return min(1.0, (time.monotonic() - self.start) / self.seconds)

    def should_checkpoint(self, step: int) -> bool:
        return step == self.saves_at

    def should_preview(self, _step: int) -> bool:
        return False

    def report(self, step: int, metrics: dict[str, float]) -> None:
        """Ignore metrics."""

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None:
        """Ignore pictures."""

    def warn(self, _step: int, message: str) -> None:
        self.warnings.append(message)

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.saved[step] = checkpoint

    @property
    def last(self) -> PackedCheckpoint:
        return self.saved[max(self.saved)]


class Bench:
    def __init__(self, device: torch.device, data: Path | None, out: Path, *, quick: bool) -> None:
        self.device, self.out, self.quick = device, out, quick
        self.is_fashion = data is not None
        if data is not None:
            with np.load(data) as file:
                self.x, self.y = file["x_train"], file["y_train"].astype(np.int32)
                self.x_test, self.y_test = file["x_test"], file["y_test"].astype(np.int32)
        else:
            self.x, self.y = _synthetic_images(6_000, seed=1)
            self.x_test, self.y_test = _synthetic_images(1_000, seed=2)
        if quick:
            self.x, self.y = self.x[:1_000], self.y[:1_000]
            self.x_test, self.y_test = self.x_test[:300], self.y_test[:300]
            evaluation_classifier.STEPS = (8, 8)
            trained_classifiers.TSTR_STEPS = trained_classifiers.DETECTION_STEPS = (8, 8)

    def images(self) -> LabeledImages:
        return LabeledImages.split(self.x, self.y, holdout_fraction=0.05, seed=1)

    def settings(self, architecture: str = "vae_gan", **overrides: Any) -> ImageSettings:
        kind: DeviceKind = "cpu" if self.quick or self.device == CPU else "gpu"
        data = ImageData(28, 28, 1, 10, len(self.x), device=kind)
        explicit = {"architecture": architecture, **overrides}
        if self.quick:
            is_vae = architecture in ("vae_gan", "cvae")
            widths = ("coarse_channels", "fine_channels") if is_vae else ("generator_width",)
            small = dict.fromkeys((*widths, "critic_width", "feature_width"), 8)
            explicit = small | {"batch_size": 8} | explicit
        return resolve(data, "fast", explicit)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def smoke(self) -> Row:
        """Train every network, and sample on both kinds of device."""
        rows: Row = {}
        for architecture in ARCHITECTURES:
            run = Run(steps=12 if self.quick else 40)
            train(self.images(), self.settings(architecture), run, seed=1, device=self.device)
            here, there = (self._sample(run.last, device, 64) for device in (CPU, self.device))
            rows[architecture] = {"max_gray_levels": int(np.abs(here - there).max())}
        for name, train_table in self._table_runs().items():
            run = Run(steps=12 if self.quick else 100)
            train_table(run)
            path = self._write(run.last.model)
            samplers = [TableSampler.load(*unpack(path), device) for device in (CPU, self.device)]
            here_rows, there_rows = (s.sample(1, np.arange(2_000)).rows for s in samplers)
            pairs = zip(here_rows.to_pylist(), there_rows.to_pylist(), strict=True)
            rows[name] = {"different_rows": sum(a != b for a, b in pairs)}
        return rows

    def _table_runs(self) -> dict[str, Callable[..., None]]:
        """Return a function for each network of tables that trains it: of a run, and a state."""
        table, schema = _table(400 if self.quick else 4_000)
        rows = LabeledRows.split(table, schema, target_column="label", holdout_fraction=0.1, seed=1)
        data = TableData(len(table), table.num_columns)
        runs: dict[str, Callable[..., None]] = {}
        for name, overrides in TABLE_NETWORKS.items():
            settings = resolve_table(data, "fast", overrides)
            runs[name] = partial(train_rows, rows, settings, seed=1, device=self.device)
        settings = resolve_table(data, "fast", {}, differential_privacy=True)
        noise = NoiseScales(1.0, 1.0)

        def train_privately(run: Run, **options: Any) -> None:
            train_with_noise(
                rows,
                DOMAINS,
                settings,
                noise,
                run.steps,
                run,
                seed=1,
                device=self.device,
                **options,
            )

        return runs | {"rows with differential privacy": train_privately}

    def equal(self) -> Row:
        """Compare the gradients of a step in float32 with those on the CPU."""
        rows: Row = {}
        has_bf16, autocast.HAS_BF16 = autocast.HAS_BF16, False
        plain_autocast = torch.autocast
        try:
            torch.autocast = _no_autocast  # type: ignore[assignment, misc]
            for architecture in ARCHITECTURES:
                here, there = (
                    self._gradients(architecture, device) for device in (CPU, self.device)
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

    def _gradients(self, architecture: str, device: torch.device) -> list[Tensor]:
        trainer = ImageTrainer(self.settings(architecture), self.images().on(device), seed=1)
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

    def resume(self) -> Row:
        """Compare a run with its repetition, one that resumes, and one without CUDA graphs."""
        rows: Row = {}
        steps = 20 if self.quick else 200
        for architecture in ("vae_gan", "dcgan", "r3gan"):
            settings, whole = self.settings(architecture), Run(steps, saves_at=steps // 2)
            repeated, resumed, eager = Run(steps), Run(steps), Run(steps)
            train(self.images(), settings, whole, seed=1, device=self.device)
            train(self.images(), settings, repeated, seed=1, device=self.device)
            state = self._write(whole.saved[steps // 2].state)
            train(self.images(), settings, resumed, seed=1, state=state, device=self.device)
            train(self.images(), settings, eager, seed=1, device=self.device, records_steps=False)
            rows[architecture] = {
                "without_graphs_is_equal": eager.last.state == whole.last.state,
                "repeated_is_equal": repeated.last.state == whole.last.state,
                "resumed_is_equal": resumed.last.state == whole.last.state,
            }
        for name, train_table in self._table_runs().items():
            whole, resumed = Run(steps, saves_at=steps // 2), Run(steps)
            train_table(whole)
            train_table(resumed, state=self._write(whole.saved[steps // 2].state))
            rows[name] = {"resumed_is_equal": resumed.last.state == whole.last.state}
        return rows

    def memory(self) -> Row:
        """Train with more items than fit; then show that the memory is free again."""
        if self.device.type != "cuda":
            return {"skipped": "needs a GPU"}
        release_memory(self.device)
        total = torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.set_per_process_memory_fraction(MEMORY_LIMIT / total, self.device)
        try:
            run = Run(steps=6)
            settings = self.settings(batch_size=4_096, coarse_channels=192, fine_channels=96)
            train(self.images(), settings, run, seed=1, device=self.device)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)
        release_memory(self.device)
        return {
            "warnings": run.warnings,
            "allocated_bytes": torch.cuda.memory_allocated(self.device),
            "reserved_bytes": torch.cuda.memory_reserved(self.device),
        }

    def launches(self) -> Row:
        """Count kernels and launches of a step, and the share of time that the GPU computes.

        Each network is measured with CUDA graphs of its steps and without.
        """
        if self.device.type != "cuda":
            return {"skipped": "needs a GPU"}
        rows: Row = {}
        for architecture, records_steps in product(ARCHITECTURES, (False, True)):
            settings = self.settings(architecture)
            step = self._stepper(settings, self.device, records_steps=records_steps)
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

    def host(self) -> Row:
        """Count launches and measure the host's time of a step on simulated GPUs."""
        return step_costs.measure(rounds=1 if self.quick else 5)

    def throughput(self) -> Row:
        """Measure steps and images per second, beside those of one core of the CPU."""
        rows: Row = {}
        torch.set_num_threads(1)
        ways = dict.fromkeys(((self.device, True), (self.device, False), (CPU, False)))
        for device, records_steps in ways:
            for batch_size in BATCH_SIZES[:1] if self.quick or device == CPU else BATCH_SIZES:
                settings = self.settings(batch_size=batch_size)
                step = self._stepper(settings, device, records_steps=records_steps)
                steps = 8 if self.quick else 50 if device == CPU else 200
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

    def _stepper(
        self, settings: ImageSettings, device: torch.device, *, records_steps: bool = True
    ) -> Callable[[int], None]:
        """Return a function that takes steps of the main phase, and waits for the device."""
        trainer = ImageTrainer(settings, self.images().on(device), seed=1)
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

    def quality(self) -> Row:
        """Train two architectures for 60 seconds of the GPU; score samples with the test split."""
        n = len(self.x)
        data = LabeledImages(
            np.concatenate([self.x, self.x_test]),
            np.concatenate([self.y, self.y_test]),
            np.arange(n),
            n + np.arange(len(self.x_test)),
        )
        classifier = EvaluationClassifier.fit(data, 10, _never_stop, device=self.device)
        rows: Row = {"data": "Fashion-MNIST" if self.is_fashion else "synthetic images"}
        for architecture in ("vae_gan", "r3gan"):
            run = Run(steps=12) if self.quick else Run(seconds=60.0)
            train(self.images(), self.settings(architecture), run, seed=1, device=self.device)
            count = 200 if self.quick else 10_000
            labels, start = np.arange(count) % 10, time.perf_counter()
            pixels = self._sample(run.last, self.device, count).astype(np.uint8)
            seconds = time.perf_counter() - start
            np.savez(self.out / f"{architecture}-60s.npz", x=pixels, y=labels)
            result = evaluate(
                classifier,
                data,
                (pixels, labels),
                [str(label) for label in range(10)],
                seed=1,
                check_stop=_never_stop,
                device=self.device,
            )
            rows[architecture] = {
                "steps": run.step,
                "samples_per_s": round(count / seconds),
                "scores": {score.name: score.value for score in result.scores},
            }
        return rows

    def service(self) -> Row:
        """Run a job through the API on a worker that is killed; the job must still succeed."""
        try:
            from bench.jobs import tiny_job
            from bench.serving import serving
        except ImportError as error:
            return {"skipped": f"the server's packages are not installed: {error.name}"}
        steps = 200 if self.quick else 2_000
        environment = {
            "SEMBLANCE_DEVICE": str(self.device),
            "SEMBLANCE_CHECKPOINT_SECONDS": "1",
        }
        with serving(**environment) as client:
            body = tiny_job(client.create_builtin_dataset("digits")["id"], steps)
            job = client.request("POST", "/v1/jobs", json=body).json()["id"]
            deadline = time.monotonic() + 300
            while not (job_view := client.request("GET", f"/v1/jobs/{job}").json())["progress"][
                "percent"
            ]:
                if time.monotonic() > deadline:
                    return {"failed": f"the job is still {job_view['state']}"}
                time.sleep(0.2)
            killed = _kill_workers()
            ended = client.wait(job)
            samples = client.samples(ended["result"]["model"], count=100, seed=1, format="npz")
            return {
                "killed_processes": killed,
                "state": ended["state"],
                "attempt": ended["attempt"],
                "usage": ended.get("usage"),
                "workers": client.request("GET", "/v1/workers").json(),
                "sample_bytes": len(samples),
            }

    def _sample(
        self, checkpoint: PackedCheckpoint, device: torch.device, count: int
    ) -> NDArray[np.int64]:
        sampler = ImageSampler.load(*unpack(self._write(checkpoint.model)), device)
        parts = np.array_split(np.arange(count), -(-count // sampler.batch_size))
        pixels = [batched_sampling.generate_batch(sampler, 7, part % 10, part) for part in parts]
        return np.concatenate(pixels).astype(np.int64)

    def _write(self, data: bytes) -> Path:
        path = self.out / "checkpoint.safetensors"
        path.write_bytes(data)
        return path


PARTS = (
    *("smoke", "equal", "resume", "memory", "launches", "throughput", "quality", "service"),
    "host",
)


def _no_autocast(*_args: Any, **_kwargs: Any) -> torch.autocast:
    return torch.amp.autocast_mode.autocast("cpu", enabled=False)


def _never_stop() -> None:
    """Continue."""


def _synthetic_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return noisy images of a bar whose place depends on the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count, np.int32)
    pixels = rng.integers(0, 60, (count, 28, 28), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 6, 4:24] += 180
    return pixels, labels


def _table(count: int) -> tuple[pa.Table, tuple[ColumnSchema, ...]]:
    rng = np.random.default_rng(1)
    label = rng.choice(["no", "yes"], count)
    number = rng.normal(size=count) + (label == "yes")
    table = pa.table({"number": number, "size": rng.integers(0, 900, count), "label": label})
    types = {"number": "number", "size": "integer", "label": "category"}
    return table, tuple(ColumnSchema(name, type) for name, type in types.items())  # type: ignore[arg-type]


def _kill_workers() -> int:
    """Kill the worker processes that descend from this process; return their number."""
    parents, commands = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                commands[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:  # the process has ended
                continue
            parents[int(folder.name)] = int(fields[1])

    def descends(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    workers = [process for process, command in commands.items() if b"-m\0worker" in command]
    workers = [process for process in workers if descends(process)]
    for process in workers:
        os.kill(process, signal.SIGKILL)
    return len(workers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"Parts to run: {', '.join(PARTS)}.")
    parser.add_argument("--data", type=Path, help="Fashion-MNIST as an npz file of x_train, …")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="Folder of results.")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu.")
    parser.add_argument("--quick", action="store_true", help="Tiny sizes, to check the program.")
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(device, arguments.data, arguments.out, quick=arguments.quick)
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
            row = getattr(bench, name)()
        except Exception:
            row = {"failed": traceback.format_exc()[-2_000:]}
        release_memory(device)
        results["parts"][name] = row | {"seconds": round(time.monotonic() - part_start, 1)}
        (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        sys.stdout.write(json.dumps({name: results["parts"][name]}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
