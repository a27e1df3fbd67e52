"""Launches and host time of a training step, with and without CUDA graphs, without a GPU.

Launches are counted on the virtual GPU of the tests. Host time is measured on one core of the CPU,
with images of 8 x 8 pixels, networks of a few channels and two items in a batch, so that there is
almost nothing to compute: the time is that of Python and torch, which a host spends on launches.
Graphs are simulated: a replay does nothing. The difference between both ways is therefore what a
graph saves, except for the time to launch the graph. Pinning and uploading a batch is not measured,
nor is the time that CUDA's driver adds to each launch. See bench/gpu.md.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Protocol
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch

from models import training_loop
from models.images.architectures import resolve as resolve_images
from models.images.data import LabeledImages
from models.images.settings import ImageData
from models.images.training import train as train_images
from models.placement import CPU
from models.step_graphs import WARM_UP_STEPS, StepGraphs
from models.tabular.data import LabeledRows
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData
from models.tabular.settings import resolve as resolve_table
from models.tabular.training import train as train_rows
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks
from tests.virtual_gpu import GPU, VirtualGpu


class Train(Protocol):
    """A training run of one kind of network."""

    def __call__(
        self, callbacks: TrainingCallbacks, *, device: torch.device, records_steps: bool
    ) -> None: ...


FIRST_STEP = WARM_UP_STEPS + 5  # that is measured: those before prepare, warm up and record
MEASURED_STEPS = 24
PROGRESS = 0.5  # of the main phase, and of a critic of rows whose share of the budget is large


class _Measured(Exception):
    """The run ends here: the work after the last step is not of interest."""


class _Meter:
    """Training callbacks that read a meter before and after some steps, at constant progress."""

    def __init__(self, read: Callable[[], float], steps: int) -> None:
        self._read, self._steps = read, steps
        self.per_step = 0.0

    def progress(self, step: int) -> float:
        if step == FIRST_STEP:
            self._start = self._read()
        if step == FIRST_STEP + self._steps:
            self.per_step = (self._read() - self._start) / self._steps
            raise _Measured
        return PROGRESS

    def should_checkpoint(self, _step: int) -> bool:
        return False

    def should_preview(self, _step: int) -> bool:
        return False

    def report(self, step: int, metrics: dict[str, float]) -> None: ...

    def warn(self, step: int, message: str, code: str | None = None) -> None: ...

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None: ...

    def preview(self, step: int, grid: Any) -> None: ...


def measure(*, rounds: int) -> dict[str, dict[str, Any]]:
    """Return figures of a step, by network and kind of step. Host time is a median of rounds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: _measure(train, rounds) for name, train in RUNS.items()}
    finally:
        torch.set_num_threads(threads)


def _measure(train: Train, rounds: int) -> dict[str, Any]:
    ways = (False, True)  # with and without recordings, in turns
    times = [[_host_ms(train, records_steps=way) for way in ways] for _ in range(rounds)]
    eager, recorded = (statistics.median(column) for column in zip(*times, strict=True))
    launches, recorded_launches = (_launches(train, records_steps=way) for way in ways)
    return {
        "launches": launches,
        "launches_with_graphs": recorded_launches,
        "host_ms": round(eager, 2),
        "host_ms_with_graphs": round(recorded, 2),
        "share": round(recorded / eager, 2),
    }


def _host_ms(train: Train, *, records_steps: bool) -> float:
    meter = _Meter(time.process_time, MEASURED_STEPS)
    with _simulated_graphs() if records_steps else nullcontext(), suppress(_Measured):
        train(meter, device=CPU, records_steps=records_steps)
    return 1e3 * meter.per_step


def _launches(train: Train, *, records_steps: bool) -> int:
    with VirtualGpu() as gpu, suppress(_Measured):
        meter = _Meter(lambda: float(gpu.launches.total()), 1)
        train(meter, device=GPU, records_steps=records_steps)
    return round(meter.per_step)


class _EmptyGraph:
    """A graph whose replay does nothing. The gradients keep the values of the capture."""

    def pool(self) -> tuple[int, int]:
        return 0, 1

    def replay(self) -> None: ...


class _Stream:
    def __init__(self, device: torch.device) -> None:
        """Create a stream; there is only one."""

    def wait_stream(self, stream: "_Stream") -> None:
        """Do nothing."""


@contextmanager
def _simulated_graphs() -> Iterator[None]:
    """Record the steps of a CPU in graphs whose replay does nothing."""

    def step_graphs(_device: torch.device, *, enabled: bool) -> StepGraphs:
        return StepGraphs(torch.device("cuda"), enabled=enabled)

    with (
        patch.multiple(
            torch.cuda,
            CUDAGraph=_EmptyGraph,
            Stream=_Stream,
            current_stream=_Stream,
            graph=lambda _graph, **_options: nullcontext(),
            stream=lambda _stream: nullcontext(),
        ),
        patch.object(training_loop, "StepGraphs", step_graphs),
    ):
        yield


def _images(architecture: str, **overrides: Any) -> Train:
    """Return a run without penalties, unless `r1_interval` is another."""
    is_vae = architecture in ("vae_gan", "cvae")
    widths = ("coarse_channels", "fine_channels") if is_vae else ("generator_width",)
    settings = resolve_images(
        ImageData(8, 8, 1, 3, 60),
        "fast",
        {
            "architecture": architecture,
            "latent_dim": 4,
            "critic_width": 8,
            "feature_width": 8,
            **dict.fromkeys(widths, 8),
            "batch_size": 2,
            "r1_interval": 1_000,
            "log_interval": 1_000_000,
            **overrides,
        },
    )
    rng = np.random.default_rng(1)
    pixels, labels = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60, dtype=np.int32) % 3

    def train(callbacks: TrainingCallbacks, *, device: torch.device, records_steps: bool) -> None:
        images = LabeledImages.split(pixels, labels, holdout_fraction=0.2, seed=1)
        train_images(
            images, settings, callbacks, seed=1, device=device, records_steps=records_steps
        )

    return train


def _rows(architecture: str, **overrides: Any) -> Train:
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {f"number {i}": rng.normal(size=200) for i in range(6)}
    columns |= {f"category {i}": rng.choice(["a", "b", "c"], 200) for i in range(8)}
    table = pa.table(columns)
    schema = tuple(ColumnSchema(name, name.split()[0]) for name in columns)  # type: ignore[arg-type]
    rows = LabeledRows.split(
        table, schema, target_column="category 0", holdout_fraction=0.2, seed=1
    )
    settings = resolve_table(
        TableData(len(table), table.num_columns),
        "fast",
        {
            "architecture": architecture,
            "embedding_dim": 8,
            "hidden_dim": 8,
            "critic_width": 2,
            "critic_hidden": 8,
            "batch_size": 2,
            "eval_interval": 1_000_000,
            "critic_budget_fraction": 0.0,
            **overrides,
        },
    )

    def train(callbacks: TrainingCallbacks, *, device: torch.device, records_steps: bool) -> None:
        train_rows(rows, settings, callbacks, seed=1, device=device, records_steps=records_steps)

    return train


RUNS: dict[str, Train] = {
    "vae_gan": _images("vae_gan"),
    "vae_gan with penalty": _images("vae_gan", r1_interval=1),
    "vae_gan before the critic": _images("vae_gan", critic_start_fraction=0.9),
    "r3gan": _images("r3gan"),
    "r3gan with penalty": _images("r3gan", r1_interval=1),
    "cgan": _images("cgan"),
    "dcgan": _images("dcgan"),
    "mlp": _images("mlp"),
    "rows": _rows("autoregressive"),
    "rows in any order": _rows("autoregressive", random_order_prob=1.0),
    "critic of rows": _rows("autoregressive", critic_budget_fraction=0.9),
    "rows by gan, not recorded": _rows("gan", r1_interval=1_000),
}
