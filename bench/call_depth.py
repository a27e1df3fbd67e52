"""Count the functions, files and nested calls of this project that a piece of work takes.

The program traces one optimizer step of each architecture. The loop that takes the steps has depth
1; calls of torch and of other libraries do not count, nor do comprehensions and generated methods.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.call_trace import Trace, own_stack
from models.images import architectures
from models.images.data import LabeledImages
from models.images.settings import ImageData
from models.images.training import train as train_images
from models.tabular import settings as table_settings
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy import training as dp_training
from models.tabular.differential_privacy.accountant import NoiseScales
from models.tabular.differential_privacy.domains import ColumnDomain
from models.tabular.schema import ColumnSchema
from models.tabular.training import train as train_rows
from models.training_callbacks import PackedCheckpoint


class StepTracer:
    """Training callbacks that trace some steps of a run whose progress is given for each step.

    A step begins when the loop asks for the progress, and ends when it asks again.
    """

    def __init__(self, progress: list[float], steps: Mapping[int, str]) -> None:
        self._progress, self._steps = progress, steps
        self._current: Trace | None = None
        self._loop_depth = 0
        self.traces: dict[str, Trace] = {}

    def progress(self, step: int) -> float:
        self._end_step()
        if step in self._steps:
            self._current = self.traces[self._steps[step]] = Trace()
            self._loop_depth = len(own_stack(sys._getframe(1)))
            self._current.start()
        return self._progress[step] if step < len(self._progress) else 1.0

    def _end_step(self) -> None:
        if self._current is not None:
            self._current.stop()
            self._current.deepest = self._current.deepest[self._loop_depth - 1 :]
            self._current = None

    def should_checkpoint(self, _step: int) -> bool:
        return False

    def should_preview(self, _step: int) -> bool:
        return False

    def report(self, step: int, metrics: dict[str, float]) -> None: ...

    def warn(self, step: int, message: str, code: str | None = None) -> None: ...

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None: ...

    def preview(self, step: int, grid: Any) -> None: ...


def trace_images(architecture: str) -> dict[str, Trace]:
    """Trace one step of each phase, the last one with a gradient penalty."""
    data = ImageData(28, 28, 1, 10, n_images=200)
    short_schedule = {"feature_budget_fraction": 0.2, "batch_size": 16, "r1_interval": 8}
    settings = architectures.resolve(data, "fast", {"architecture": architecture, **short_schedule})
    rng = np.random.default_rng(0)
    images = LabeledImages.split(
        rng.integers(0, 256, (200, 28, 28), np.uint8),
        np.arange(200, dtype=np.int32) % 10,
        holdout_fraction=0.1,
        seed=1,
    )
    # The first step at 0.7 of the budget freezes the features and evaluates the coverage.
    callbacks = StepTracer([0.01] * 3 + [0.7] * 14, {1: "features", 16: "main phase"})
    train_images(images, settings, callbacks, seed=1)
    return callbacks.traces


def trace_rows(architecture: str, *, label_contrast: float = 0.0) -> dict[str, Trace]:
    table, schema = make_table()
    rows = LabeledRows.split(table, schema, target_column="city", holdout_fraction=0.1, seed=1)
    always: dict[str, float] = {"random_order_prob": 1.0}
    if architecture == "gan":
        always = {"r1_interval": 2}
    elif label_contrast:
        always = {"label_contrast": label_contrast}
    settings = table_settings.resolve(
        table_settings.TableData(len(table), table.num_columns),
        "fast",
        {"architecture": architecture, "batch_size": 32, "eval_interval": 1_000, **always},
    )
    if architecture == "gan":
        callbacks = StepTracer([0.1] * 4, {2: "both players"})
    else:
        done = 1 - settings.critic_budget_fraction  # the generator is complete; its critic follows
        late = done + settings.critic_budget_fraction / 2
        callbacks = StepTracer([0.1] * 3 + [done] + [late] * 3, {1: "generator", 5: "critic"})
    train_rows(rows, settings, callbacks, seed=1)
    return callbacks.traces


def trace_private_rows() -> dict[str, Trace]:
    table, schema = make_table()
    rows = LabeledRows.split(table, schema, target_column="city", holdout_fraction=0.0, seed=1)
    domains = {"city": ColumnDomain(("a", "b")), "age": ColumnDomain(min=0, max=99)}
    settings = table_settings.resolve(
        table_settings.TableData(len(table), 2, 1), "fast", {}, differential_privacy=True
    )
    callbacks = StepTracer([0.1] * 4, {1: "generator"})
    noise = NoiseScales(counts=1.0, gradients=1.0)
    dp_training.train_with_noise(rows, domains, settings, noise, 4, callbacks, seed=1)
    return callbacks.traces


def make_table() -> tuple[pa.Table, tuple[ColumnSchema, ...]]:
    rng = np.random.default_rng(0)
    table = pa.table({"city": rng.choice(["a", "b"], 300), "age": rng.integers(0, 100, 300)})
    return table, (ColumnSchema("city", "category"), ColumnSchema("age", "integer"))


FLOWS: Mapping[str, Callable[[], dict[str, Trace]]] = {
    "vae_gan": lambda: trace_images("vae_gan"),
    "dcgan": lambda: trace_images("dcgan"),
    "mlp": lambda: trace_images("mlp"),
    "autoregressive": lambda: trace_rows("autoregressive"),
    "autoregressive, labels": lambda: trace_rows("autoregressive", label_contrast=3.0),
    "gan": lambda: trace_rows("gan"),
    "differential privacy": trace_private_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.call_depth", description=__doc__)
    parser.add_argument("--stack", action="store_true", help="print the deepest stack of each flow")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| flow | functions | files | depth |\n|---|---|---|---|")
    for name, flow in FLOWS.items():
        for phase, calls in flow().items():
            print(
                f"| {name}, {phase} | {len(calls.functions)} | {len(calls.files)} | {calls.depth} |"
            )
            if arguments.stack:
                print("\n".join(f"{'  ' * k}{call}" for k, call in enumerate(calls.deepest)))


if __name__ == "__main__":
    main()
