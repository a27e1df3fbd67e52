"""Datasets, settings and training runs that the parts of the GPU benchmark share."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.checkpoint import unpack
from models.images import batched_sampling
from models.images.architectures import resolve
from models.images.data import LabeledImages
from models.images.sampling import ImageSampler
from models.images.settings import ImageData, ImageSettings
from models.metrics import evaluation_classifier
from models.metrics.images import trained_classifiers
from models.placement import CPU
from models.settings import DeviceKind
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy.accountant import NoiseScales
from models.tabular.differential_privacy.domains import ColumnDomain
from models.tabular.differential_privacy.training import train_with_noise
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

    def warn(self, _step: int, message: str, _code: str | None = None) -> None:
        self.warnings.append(message)

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        self.saved[step] = checkpoint

    @property
    def last(self) -> PackedCheckpoint:
        return self.saved[max(self.saved)]


class Workload:
    """The device, the images and the table that all parts use, and a folder for their files."""

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

    def table_runs(self) -> dict[str, Callable[..., None]]:
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

    def sample(
        self, checkpoint: PackedCheckpoint, device: torch.device, count: int
    ) -> NDArray[np.int64]:
        sampler = ImageSampler.load(*unpack(self.write(checkpoint.model)), device)
        parts = np.array_split(np.arange(count), -(-count // sampler.batch_size))
        pixels = [batched_sampling.generate_batch(sampler, 7, part % 10, part) for part in parts]
        return np.concatenate(pixels).astype(np.int64)

    def write(self, data: bytes) -> Path:
        path = self.out / "checkpoint.safetensors"
        path.write_bytes(data)
        return path


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
